"""signbind bench: what this machine does with the weights, measured from outside: a real server, a real WebSocket."""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from app.cli_errors import CliError

if TYPE_CHECKING:
    from app.client import SentMarks
    from app.client_media import Piece

bench = typer.Typer(help="Measure speed and lag on this machine.", no_args_is_help=True)
GOALS = {"cpu_share": 0.5, "compute_lag_ms_p95": 150.0, "final_caption_ms_p95": 1000.0}
"""On two cores, with one stream of 25 frames a second: at most so much."""


@bench.callback()
def _group() -> None:
    """Measure speed and lag on this machine."""


@bench.command()
def live(
    file: Annotated[Path, typer.Argument(help="A video of signing; `signbind synth` makes one.")],
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Repeat the video until so much is sent.")] = 30,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The port of the server that is measured; 0: any free one.")
    ] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="The weights; the bundled ones if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """One live stream at its pace: share of the machine's cores, lag of drafts, delay of final captions.

    The lag is the time from the sending of the last frame that a draft needs to the arrival of the draft. A final
    caption is timed from its segment's end (the frame that completes the rest), and from the last sign before it.
    """
    if not file.is_file():
        raise CliError(f"{file} is no file; make one with: signbind synth 'my name is Maria' -o {file}.")
    from app.cli_doctor import free_port as port_finding
    from app.cli_recipes import show
    from app.client_media import MediaError

    if port and (taken := port_finding("127.0.0.1", port)).level != "ok":
        raise CliError(f"{taken.text}.")
    try:
        pieces = filmed(file, seconds)
        with running_server(port or free_port(), checkpoint) as (server, url):
            figures = asyncio.run(measured(pieces, url, server.pid))
    except MediaError as error:
        raise CliError(str(error)) from error
    goals = ", ".join(f"{name} <= {goal:g}" for name, goal in GOALS.items())
    typer.echo(f"goals on two cores: {goals}")
    show(f"live: {file}", figures, as_json)


def filmed(file: Path, seconds: float) -> list[Piece]:
    """The video as a camera would send it, every frame in a piece of its own; encoded before the clock runs."""
    from app.client_media import decoded_frames, encoded_pieces

    return list(encoded_pieces(decoded_frames(file, repeat_for_ms=round(1000 * seconds))))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(port: int, checkpoint: Path | None = None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """(process, address) of a server of its own, ready; ended afterwards."""
    command = [sys.executable, "-m", "app.cli_run", "serve", "--port", str(port)]
    command += ["--checkpoint", str(checkpoint)] if checkpoint else []
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_ready(f"{url}/readyz", server, log)
            yield server, url
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def wait_ready(url: str, server: subprocess.Popen[bytes], log: IO[bytes], limit_s: float = 300.0) -> None:
    """Asks until the server is ready; CliError with its last words when it ends or takes too long."""
    import httpx

    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s and server.poll() is None:
        try:
            answer = httpx.get(url, timeout=2)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == 200:
            return
        time.sleep(0.2)
    log.seek(0)
    words = log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
    raise CliError(f"The measured server did not get ready: {words[-1].removeprefix('signbind: ').rstrip('.')}.")


@dataclass
class Lateness:
    """How late events were, in ms after the frames they answer were sent."""

    drafts: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    after_signing: list[float] = field(default_factory=list)

    def note(self, event: dict[str, Any], marks: SentMarks, now_s: float) -> None:
        """Counts a caption that has just come."""
        last_frame_ms = event["newest_ms"] - FRAME_MS
        if event["is_final"]:
            add_since(self.finals, marks.sent_s(last_frame_ms), now_s)
            add_since(self.after_signing, marks.sent_s(event["end_ms"] - FRAME_MS), now_s)
        else:
            add_since(self.drafts, marks.sent_s(last_frame_ms), now_s)


FRAME_MS = 40


def add_since(times_ms: list[float], sent_s: float | None, now_s: float) -> None:
    if sent_s is not None:
        times_ms.append((now_s - sent_s) * 1e3)


async def measured(pieces: list[Piece], url: str, pid: int) -> dict[str, Any]:
    """Streams the pieces once at their pace; times are of this machine's monotonic clock."""
    from app.client import LiveRequest, SentMarks, live_events

    marks, late, summary = SentMarks(), Lateness(), dict[str, Any]()
    before_s, begun_s = cpu_seconds(pid), time.monotonic()
    async with aclosing(live_events(LiveRequest(url, "fmp4"), iter(pieces), marks)) as events:
        async for event in events:
            if event["type"] == "caption":
                late.note(event, marks, time.monotonic())
            elif event["type"] == "error":
                raise CliError(str(event["message"]))
            elif event["type"] == "session.closed":
                summary = event["summary"]
    elapsed_s, used_s = time.monotonic() - begun_s, cpu_seconds(pid) - before_s
    return {
        "cpu_share": used_s / elapsed_s / cores(), "cores": cores(),
        "cpu_s_per_media_s": used_s / max(1e-3, summary["duration_ms"] / 1000),
        "compute_lag_ms_p50": percentile(late.drafts, 0.5), "compute_lag_ms_p95": percentile(late.drafts, 0.95),
        "final_caption_ms_p50": percentile(late.finals, 0.5), "final_caption_ms_p95": percentile(late.finals, 0.95),
        "final_after_last_sign_ms_p95": percentile(late.after_signing, 0.95),
        "drafts": len(late.drafts), "captions": len(late.finals), "frames_dropped": summary["frames_dropped"],
        "seconds": elapsed_s,
    }  # fmt: skip


def cpu_seconds(pid: int) -> float:
    """Processor time so far of a process and all its children, those that have ended included."""
    import psutil

    root = psutil.Process(pid)
    own = root.cpu_times()
    times = [own.user, own.system, own.children_user, own.children_system]
    for child in root.children(recursive=True):
        spent = child.cpu_times()
        times += [spent.user, spent.system]
    return float(sum(times))


def cores() -> int:
    import psutil

    return int(psutil.cpu_count() or 1)


def percentile(values: list[float], share: float) -> float:
    """Nearest rank; NaN of nothing."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else float("nan")
