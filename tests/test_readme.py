"""The README's commands, each run for real: its code blocks and inline commands, on a drawn clip and a running server."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

from app.bench.server import free_port, running_server

ROOT = Path(__file__).resolve().parent.parent
SERVER = "http://127.0.0.1:8000"
MINUTES = 5 * 60
README = (ROOT / "README.md").read_text(encoding="utf-8")


def said_commands(text: str) -> list[str]:
    """`signbind ...`, `curl ...` and `make ...` of indented, fenced and inline code, without their comments."""
    blocks = re.findall(r"^(?: {4}|\t)(.+)$", text, re.M) + re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [" ".join(inline.split()) for inline in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    commands = [line.strip().removeprefix("$ ").split("  #")[0].strip() for line in lines]
    return [command for command in dict.fromkeys(commands) if re.match(r"(signbind|curl|make) \S", command)]


COMMANDS = said_commands(README)


@dataclass(frozen=True)
class Place:
    """Where commands run: a folder with the clips that the README names, and a server's address."""

    folder: Path
    url: str

    def run(self, words: list[str]) -> str:
        """The command's output; its exit code must be 0."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=MINUTES)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def signbind(self, *words: str) -> str:
        return self.run([sys.executable, "-m", "app.cli_run", *words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Every video that a command reads is the drawn signer, who says her name."""
    folder = tmp_path_factory.mktemp("readme")
    with running_server(free_port()) as server:
        here = Place(folder, server.url)
        here.signbind("synth", "My name is Maria.", "-o", "drawn.mp4")
        for name in set(re.findall(r"[\w./-]+\.mp4", " ".join(COMMANDS))):
            (folder / name).write_bytes((folder / "drawn.mp4").read_bytes())
        yield here


def test_the_readme_shows_how_to_use_it() -> None:
    shown = {" ".join(command.split()[:2]) for command in COMMANDS}
    assert shown >= {
        "signbind live",
        "signbind translate",
        "signbind synth",
        "signbind doctor",
        "make serve",
        "make test",
    }
    assert any(command.startswith("curl ") for command in COMMANDS)


def test_makes_targets_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for command in COMMANDS:
        if command.startswith("make "):
            assert command.split()[1] in targets, f"the README names `{command}`, the Makefile has no such target"


def test_every_command_can_be_checked() -> None:
    named = {command.split()[1] for command in COMMANDS if command.startswith("signbind ")}
    assert named <= CHECKS.keys(), "teach this test how to run the others"


@pytest.mark.slow
@pytest.mark.timeout(2 * MINUTES)
@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("make ")])
def test_a_command_of_the_readme(place: Place, command: str) -> None:
    words = shlex.split(command.replace(SERVER, place.url))
    if words[0] == "curl":
        check_curl(place, words)
        return
    CHECKS[words[1]](place, words[1:])


def check_live(place: Place, words: list[str]) -> None:
    """A camera is stood in for by the clip: test machines have none."""
    words = ["drawn.mp4" if word.startswith("camera") else word for word in words]
    if "--url" not in words:
        words += ["--url", place.url]
    lines = place.signbind(*words).splitlines()
    if "ndjson" in words:
        kinds = [json.loads(line)["type"] for line in lines]
        assert kinds[0] == "session.ready" and kinds[-1] == "session.closed" and "caption" in kinds
    else:
        assert any(re.match(r"\d\d:\d\d\.\d  .+ \(\d+ %\)$", line) for line in lines), lines


def check_translate(place: Place, words: list[str]) -> None:
    said = place.signbind(*words)
    style = words[words.index("--format") + 1] if "--format" in words else "text"
    check_captions(style, said)


def check_captions(style: str, said: str) -> None:
    if style in ("json", "verbose_json"):
        assert json.loads(said)["text"]
    elif style == "vtt":
        assert said.startswith("WEBVTT\n\n") and "-->" in said
    elif style == "srt":
        assert said.startswith("1\n00:00:0")
    else:
        assert said.strip()


def check_curl(place: Place, words: list[str]) -> None:
    style = next((word.split("=")[1] for word in words if word.startswith("response_format=")), "json")
    said = place.run([*words, "--silent", "--show-error", "--fail-with-body"])
    if any(word.startswith("file=") for word in words):
        check_captions(style, said)


def check_synth(place: Place, words: list[str]) -> None:
    out = place.folder / (words[words.index("-o") + 1] if "-o" in words else "clip.mp4")
    out.unlink(missing_ok=True)
    place.signbind(*words)
    with av.open(str(out)) as container:
        assert container.streams.video[0].width == 640


def check_evaluate(place: Place, words: list[str]) -> None:
    """With few sentences; what reads data that is not bundled is only asked for its help."""
    if words[1] != "synthetic":
        check_help(place, words)
        return
    if "--sentences" in words:
        words[words.index("--sentences") + 1] = "1"
    else:
        words += ["--sentences", "1"]
    last = place.signbind(*words).splitlines()[-1]
    if "--json" in words:
        assert {"gloss_wer", "letter_accuracy", "bleu4", "route_accuracy"} <= set(json.loads(last))


def check_bench(place: Place, words: list[str]) -> None:
    most = ["--most", "2"] if words[1] == "streams" else []
    figures = json.loads(place.signbind(*words, *most, "--seconds", "4", "--json").splitlines()[-1])
    if words[1] == "streams":
        assert {"max_streams", "compute_lag_ms_p95", "curve"} <= set(figures)
        assert len(figures["curve"]) in (1, 2)
        return
    assert {"cpu_share", "compute_lag_ms_p95", "final_caption_ms_p95"} <= set(figures)
    assert figures["captions"] >= 1


def check_doctor(place: Place, words: list[str]) -> None:
    assert "Python" in place.signbind(*words)


def check_help(place: Place, words: list[str]) -> None:
    """The options that the README shows exist, and its placeholders stand where a value does."""
    shown = place.signbind(words[0], "--help")
    for option in (word for word in words if word.startswith("--")):
        assert option in shown, f"`signbind {words[0]}` has no option {option}"


CHECKS: dict[str, Callable[[Place, list[str]], None]] = {
    "live": check_live, "translate": check_translate, "synth": check_synth, "evaluate": check_evaluate,
    "bench": check_bench, "doctor": check_doctor, "serve": check_help, "train": check_help, "labels": check_help,
}  # fmt: skip
