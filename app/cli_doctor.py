"""signbind doctor: what of this machine SignBind needs, one line each, and what to do where something is missing."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

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
    checkpoint: Annotated[
        Path | None, typer.Option(help="The weights to look at; the bundled ones by default.")
    ] = None,
    host: Annotated[str, typer.Option(help="Where the server would listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
) -> None:
    """Check Python, torch, codecs, weights, the port and the GPU; say what to mend."""
    from rich.console import Console
    from rich.table import Table

    findings = examine(checkpoint or default_checkpoint(), host, port)
    table = Table(title="SignBind on this machine")
    for heading in ("", "what", "found"):
        table.add_column(heading)
    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}
    for finding in findings:
        table.add_row(marks[finding.level], finding.what, finding.text)
    Console().print(table)
    if any(finding.level == "missing" for finding in findings):
        raise typer.Exit(2)


def examine(checkpoint: Path, host: str, port: int) -> list[Finding]:
    checks: list[Callable[[], Finding]] = [
        python,
        torch_build,
        graphics,
        codecs,
        lambda: weights(checkpoint),
        lambda: free_port(host, port),
        memory,
    ]
    return [check() for check in checks]


def default_checkpoint() -> Path:
    return Path(__file__).resolve().parent.parent / "models" / "checkpoints" / "compact"


def python() -> Finding:
    version = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036  # pip can be told to ignore what a package requires
        return Finding("Python", "missing", f"{version}; SignBind needs 3.11 or newer")
    return Finding("Python", "ok", f"{version}, {platform.system()} {platform.machine()}")


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
    return Finding("GPU", "ok", ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())))


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
    if not folder.is_dir():
        return Finding("weights", "missing", f"no folder {folder}; reinstall SignBind or name one with --checkpoint")
    lacking = [name for name in NETWORKS if not (folder / f"{name}.safetensors").is_file()]
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
    level: Level = "ok" if free_gb >= 2 else "note"
    return Finding("memory", level, f"{free_gb:.1f} GB free, {psutil.cpu_count()} cores; a server takes about 2 GB")
