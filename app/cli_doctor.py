"""signbind doctor: what of this machine SignBind needs, one line each, and what to do where something is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Level = Literal["ok", "note", "missing"]

DECODERS = ("h264", "vp8", "vp9", "av1")
ENCODERS = ("libx264", "libvpx-vp9")
NETWORKS = ("locate", "hand_encoder", "mouth_encoder", "sign", "fingerspelling", "lips", "router", "fusion")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `missing` keeps SignBind from running here, `note` is only worth knowing."""

    what: str
    level: Level
    text: str


def doctor(
    checkpoint: Annotated[Path | None, typer.Option(help="The weights to look at; the server's if not given.")] = None,
    host: Annotated[str | None, typer.Option(help="Where the server would listen.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The port that it would take.")] = None,
) -> None:
    """Check Python, packages, torch, GPU, codecs, settings, weights, port and memory; say what to mend.

    Exits with 2 where something is missing without which SignBind cannot run here.
    """
    from rich.console import Console
    from rich.table import Table

    asked = {"checkpoint": str(checkpoint) if checkpoint else None, "host": host, "port": port}
    findings = examine({name: value for name, value in asked.items() if value is not None})
    table = Table(title="SignBind on this machine")
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}
    for finding in findings:
        table.add_row(marks[finding.level], finding.what, finding.text)
    Console().print(table)
    if any(finding.level == "missing" for finding in findings):
        raise typer.Exit(2)


def examine(asked: dict[str, Any]) -> list[Finding]:
    """All findings; `asked` are settings that win over the environment's."""
    from app.settings import SettingsError, load_settings

    findings = [check() for check in (python, packages, torch_build, graphics, codecs, memory)]
    try:
        settings = load_settings(**asked)
    except SettingsError as error:
        return [*findings, Finding("settings", "missing", f"{str(error).rstrip('.')}; mend it")]
    said = ", ".join(sorted(name for name in os.environ if name.startswith("SIGNBIND_"))) or "none set: all defaults"
    lacking = lacking_device(settings.worker_devices)
    return [
        *findings,
        Finding("settings", "ok", said) if lacking is None else Finding("settings", "missing", lacking),
        weights(Path(settings.checkpoint)),
        free_port(settings.host, settings.port),
    ]


def python() -> Finding:
    version = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036  # pip can be told to ignore what a package requires
        return Finding("Python", "missing", f"{version}; SignBind needs 3.11 or newer")
    return Finding("Python", "ok", f"{version}, {platform.system()} {platform.machine()}")


def packages() -> Finding:
    """What the installed SignBind says it requires, against what is there."""
    from packaging.requirements import Requirement

    try:
        said = [Requirement(text) for text in metadata.requires("signbind") or []]
    except metadata.PackageNotFoundError:
        return Finding("packages", "note", "SignBind is not installed as a package; run `make setup`")
    wanted = [one for one in said if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [
        f"{one.name}{one.specifier} ({found or 'not there'})" for one in wanted if (found := unfit(one)) is not None
    ]
    if wrong:
        return Finding("packages", "missing", f"expected {', '.join(wrong)}; run `make setup`")
    return Finding("packages", "ok", f"{len(wanted)} required, all there")


def unfit(wanted: Requirement) -> str | None:
    """The installed version where it does not fit, "" where there is none; None where all is well."""
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return ""
    return None if wanted.specifier.contains(found, prereleases=True) else found


def torch_build() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("torch", "missing", "not installed; run `make setup`")
    import torch

    return Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")


def graphics() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("GPU", "note", "unknown without torch")
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", "note", "none; the compact model runs on the CPU")
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return Finding("GPU", "ok", f"{names}; the server takes it with SIGNBIND_DEVICE=cuda")


def lacking_device(devices: Iterable[str]) -> str | None:
    """What is amiss with the devices that workers shall have; None where nothing is.

    Asked in a process of its own: the server, which asks too, never loads torch.
    """
    numbers = [int(device.partition(":")[2] or 0) for device in devices if device.startswith("cuda")]
    if not numbers:
        return None
    asked = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    count = int(said) if said.strip().isdigit() else 0
    if max(numbers) < count:
        return None
    return f"SIGNBIND_DEVICE(S) asks for cuda:{max(numbers)}, but torch sees {count} GPUs here; name cpu, or one that is there"


def codecs() -> Finding:
    if importlib.util.find_spec("av") is None:
        return Finding("codecs", "missing", "PyAV is not installed; run `make setup`")
    import av

    lacking = [name for name in (*DECODERS, *ENCODERS) if name not in av.codecs_available]
    if lacking:
        return Finding(
            "codecs", "missing", f"PyAV {av.__version__} lacks {', '.join(lacking)}; pip install --force-reinstall av"
        )
    return Finding("codecs", "ok", f"PyAV {av.__version__}: {', '.join(DECODERS)}")


def weights(folder: Path) -> Finding:
    from app.settings import RANDOM
    from models.checkpoint import weights_file

    if str(folder).startswith(RANDOM):
        return Finding("weights", "note", f"{folder}: random ones for tests, which understand nothing")
    if not folder.is_dir():
        return Finding("weights", "missing", f"no folder {folder}; reinstall SignBind or name one with --checkpoint")
    parts = {name: weights_file(folder, name) for name in NETWORKS}
    language = next((folder / "llm").glob("model*"), folder / "llm" / "model")
    parts |= {"glosses.txt": folder / "glosses.txt", "the language model": language}
    lacking = [name for name, file in parts.items() if not file.is_file()]
    if lacking:
        return Finding("weights", "missing", f"{folder} lacks {', '.join(lacking)}; train them: signbind train --help")
    megabytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    return Finding("weights", "ok", f"{folder} ({megabytes:.1f} MB)")


def free_port(host: str, port: int) -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding("port", "note", f"{host}:{port}: {error.strerror}; serve on another with --port")
    return Finding("port", "ok", f"{host}:{port} is free")


def memory() -> Finding:
    import psutil

    free_gb = psutil.virtual_memory().available / 1e9
    level: Level = "ok" if free_gb >= 1.5 else "note"
    return Finding("memory", level, f"{free_gb:.1f} GB free, {psutil.cpu_count()} cores; a server takes about 1 GB")
