"""One life of a worker: its process, its pipe, and the thread that listens to it."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.reduction import send_handle
from typing import Any

from app.engine import worker
from app.engine.messages import Ready, Shutdown, StartFailed, ToWorker, WorkerConfig
from app.frames import FrameRing

log = logging.getLogger("signbind.pool")

EXIT_TIMEOUT_S = 5.0


class WorkerProcess:
    """Started when made; `aclose` must be awaited. What it says is given to `on_message` in the event loop."""

    def __init__(self, config: WorkerConfig, rings: list[FrameRing], on_message: Callable[[Any], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._ended = asyncio.Event()
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._connection, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=worker.main, args=(theirs, config), name="signbind-worker", daemon=True
        )
        try:
            self.process.start()
            for ring in rings:
                send_handle(self._connection, ring.descriptor, self.process.pid)
        finally:
            theirs.close()
        self._loop.add_reader(self.process.sentinel, self._gone)
        self._thread = threading.Thread(target=self._listen, name="worker-listener", daemon=True)
        self._thread.start()

    async def started(self, timeout_s: float) -> dict[str, Any]:
        """What it loaded; ValueError where it cannot, TimeoutError where it takes too long."""
        async with asyncio.timeout(timeout_s):
            return await self._ready

    async def ended(self, timeout_s: float) -> bool:
        """Waits for its end for so long; whether it has ended."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    def send(self, message: ToWorker) -> bool:
        """False when it is gone."""
        try:
            self._connection.send(message)
        except OSError:
            return False
        return True

    def kill(self) -> None:
        if self.process.is_alive():
            self.process.kill()

    def how_it_ended(self) -> str:
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}"
        return "still running" if code is None else f"exit code {code}"

    async def aclose(self) -> None:
        """Asks it to end, then makes it end; its thread and pipe end with it."""
        if not self._ready.done():
            self._ready.cancel()
            self.kill()
        elif self.process.is_alive():
            self.send(Shutdown())
            if not await self.ended(EXIT_TIMEOUT_S):
                self.kill()
        await self.ended(EXIT_TIMEOUT_S)
        if self.process.exitcode is None:
            self._loop.remove_reader(self.process.sentinel)
            log.error("worker process %s does not end after a kill", self.process.pid)
            return
        self._thread.join(EXIT_TIMEOUT_S)
        self._connection.close()
        self.process.close()

    def _listen(self) -> None:
        """The listening thread: everything to the event loop, to the end of the pipe."""
        try:
            while True:
                self._loop.call_soon_threadsafe(self._receive, self._connection.recv())
        except (EOFError, OSError, RuntimeError):
            return  # the process, or the event loop, is gone

    def _receive(self, message: Any) -> None:
        if isinstance(message, Ready):
            if not self._ready.done():
                self._ready.set_result(message.model)
        elif isinstance(message, StartFailed):
            if not self._ready.done():
                self._ready.set_exception(ValueError(message.reason))
        else:
            self._on_message(message)

    def _gone(self) -> None:
        self._loop.remove_reader(self.process.sentinel)
        self.process.join(EXIT_TIMEOUT_S)  # its files are closed: gone within the moment
        if not self._ready.done():
            self._ready.set_exception(OSError(f"it ended while starting ({self.how_it_ended()})"))
        self._ended.set()
