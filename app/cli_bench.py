"""signbind bench: what this machine does with the bundled weights."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_errors import CliError

if TYPE_CHECKING:
    from collections.abc import Iterator

bench = typer.Typer(help="Measure speed and lag on this machine.", no_args_is_help=True)
PORT_LINE = "Uvicorn running on"


@bench.callback()
def _group() -> None:
    """Measure speed and lag on this machine."""


@bench.command()
def live(
    file: Annotated[Path, typer.Argument(help="A video of signing; `signbind synth` makes one.")],
    port: Annotated[int, typer.Option(help="A free port for the server that is measured.")] = 8765,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """One live stream at the video's pace: share of the machine's cores, lag of drafts, delay of final captions."""
    if not file.is_file():
        raise CliError(f"{file} is no file; make one with: signbind synth 'my name is Maria' -o {file}.")
    with running_server(port) as server:
        figures = asyncio.run(measured(file, f"http://127.0.0.1:{port}", server))
    for name, value in figures.items():
        typer.echo(f"{name:>24}  {value:.3f}" if isinstance(value, float) else f"{name:>24}  {value}")
    if as_json:
        typer.echo(json.dumps(figures))


@contextmanager
def running_server(port: int) -> Iterator[subprocess.Popen[str]]:
    """The server in a process of its own, ready; ended afterwards."""
    command = [sys.executable, "-m", "app.cli_run", "serve", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True)
    try:
        wait_ready(f"http://127.0.0.1:{port}/readyz", server)
        yield server
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_ready(url: str, server: subprocess.Popen[str], limit_s: float = 120.0) -> None:
    """Asks until the server is ready; CliError when it ends or takes too long."""
    import httpx

    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s and server.poll() is None:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise CliError("the server did not get ready; look at what `signbind serve` says.")


async def measured(file: Path, url: str, server: subprocess.Popen[str]) -> dict[str, Any]:
    """Streams the file once; times are of this machine's monotonic clock."""
    from app.client import LiveRequest, SentMarks, live_events
    from app.client_media import file_pieces, media_of

    marks, lags, finals = SentMarks(), list[float](), list[float]()
    before_s, begun = cpu_seconds(server.pid), time.monotonic()
    async for event in live_events(LiveRequest(url, media_of(file)), file_pieces(file), marks):
        if event["type"] != "caption":
            continue
        latency = event["latency_ms"]
        if event["is_final"]:
            finals.append(float(latency["total"]))
        else:
            lags.append(sum(float(latency[part]) for part in ("decode", "queue", "experts", "fusion")))
    elapsed_s = time.monotonic() - begun
    share = (cpu_seconds(server.pid) - before_s) / elapsed_s / cores()
    return {
        "cpu_share": share, "compute_lag_ms_p50": percentile(lags, 0.5), "compute_lag_ms_p95": percentile(lags, 0.95),
        "final_caption_ms_p95": percentile(finals, 0.95), "captions": len(finals), "drafts": len(lags), "seconds": elapsed_s,
    }  # fmt: skip


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and all its children so far."""
    import psutil

    root = psutil.Process(pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def cores() -> int:
    import psutil

    return int(psutil.cpu_count() or 1)


def percentile(values: list[float], share: float) -> float:
    """Nearest rank; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
