"""A server that is told to end finishes what was being signed, says so to everybody, and exits with 0."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect

from tests.app import media
from tests.app.conftest import START_TIMEOUT_S
from tests.app.live_client import LiveClient

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 90)
CLI = "from app.cli import main; main()"
SETTINGS = {
    "SIGNBIND_CHECKPOINT": "random:0", "SIGNBIND_SLOTS": "2", "SIGNBIND_TORCH_THREADS": "1",
    "SIGNBIND_MAX_SEGMENT_MS": "20000", "SIGNBIND_LOG_LEVEL": "warning",
}  # fmt: skip


class Serving:
    """`signbind serve` as an operator starts it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def until_ready(self) -> None:
        async with httpx.AsyncClient() as http, asyncio.timeout(START_TIMEOUT_S):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(self.url("/readyz"))).status_code == 200:
                        return
                assert self.process.returncode is None, "the server ended while starting"
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def live(self) -> AsyncIterator[LiveClient]:
        async with connect(f"ws://127.0.0.1:{self.port}/v1/live", compression=None, open_timeout=20) as connection:
            yield LiveClient(connection)


@asynccontextmanager
async def serving(**settings: str) -> AsyncIterator[Serving]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLI, "serve", "--port", str(port), env={**os.environ, **SETTINGS, **settings}
    )
    try:
        server = Serving(process, port)
        await server.until_ready()
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_sigterm_finishes_the_running_segment_and_exits_with_0() -> None:
    async with serving(SIGNBIND_DRAIN_S="20") as server, server.live() as client, server.live() as silent:
        await client.start("jpeg")
        await client.send(*media.jpeg_messages(24))
        await client.until("caption")
        begun_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert await client.until_closed() == 1012
        assert await silent.until_closed() == 1012
        assert await asyncio.wait_for(server.process.wait(), 20) == 0
        assert time.monotonic() - begun_s < 20
    assert [event["time_left_ms"] for event in client.of("go_away")] == [14_000]
    after = [event["type"] for event in client.events[client.events.index(client.of("go_away")[0]) :]]
    assert "signing.ended" in after
    assert [caption["end_ms"] for caption in client.of("caption") if caption["is_final"]] == [960]
    assert client.errors == []
    assert client.events[-1]["type"] == "session.closed"
    assert client.events[-1]["summary"]["reason"] == "shutting_down"
    assert silent.errors == ["shutting_down"]


async def test_a_draining_server_takes_nothing_new_and_says_so() -> None:
    """The only worker is stopped (SIGSTOP), so that the first stream cannot be finished while we look."""
    async with serving(SIGNBIND_DRAIN_S="6") as server, server.live() as client, server.live() as late:
        await client.start("jpeg")
        await client.send(*media.jpeg_messages(24))
        await client.until("signing.started")
        with worker_stopped(server.process.pid):
            await client.send(*media.jpeg_messages(8))
            begun_s = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            await client.until("go_away")
            assert await late.until_closed() == 1012
            async with httpx.AsyncClient() as http:
                answer = await http.get(server.url("/readyz"))
            assert answer.status_code == 503
            assert "draining" in answer.json()["detail"]
            async with server.live() as refused:
                assert await refused.until_closed() == 1012
            assert await client.until_closed() == 1012
        assert await asyncio.wait_for(server.process.wait(), 20) == 0
        assert time.monotonic() - begun_s < 13
    assert late.errors == refused.errors == ["shutting_down"]
    assert client.errors == ["shutting_down"]
    assert client.events[-1]["summary"]["reason"] == "shutting_down"


@contextlib.contextmanager
def worker_stopped(server_pid: int) -> Iterator[None]:
    (worker,) = [
        child for child in psutil.Process(server_pid).children(recursive=True) if "forkserver" in " ".join(child.cmdline())
        and "forkserver" in " ".join(child.parent().cmdline())
    ]  # fmt: skip
    worker.suspend()
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.resume()
