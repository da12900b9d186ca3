"""One life of a worker: its process, its pipe, and the thread that listens to it.

Workers are forked from a process that has loaded the libraries and done nothing else (`preload`): a replacement is there in
a tenth of the time that a fresh interpreter takes.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.reduction import send_handle
from typing import Any

from app.engine import worker
from app.engine.messages import Ready, Shutdown, StartFailed, ToWorker, WorkerConfig

log = logging.getLogger("signbind.pool")

EXIT_TIMEOUT_S = 5.0
PRELOADED = ["app.engine.preload"]


class WorkerProcess:
    """Made by `start`; `aclose` must be awaited. What it says is given to `on_message` in the event loop."""

    def __init__(self, config: WorkerConfig, on_message: Callable[[Any], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._ended, self._heard_out = asyncio.Event(), asyncio.Event()
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._connection, self._theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.process = context.Process(
            target=worker.main, args=(self._theirs, config), name="signbind-worker", daemon=True
        )
        self._thread = threading.Thread(target=self._listen, name="worker-listener", daemon=True)

    @classmethod
    async def start(
        cls, config: WorkerConfig, descriptors: Sequence[int], on_message: Callable[[Any], None]
    ) -> WorkerProcess:
        """A process under way that has the shared memory's `descriptors`; OSError where there can be none."""
        made = cls(config, on_message)
        launching = asyncio.create_task(asyncio.to_thread(made._launch, descriptors))
        try:
            await asyncio.shield(launching)
            made._loop.add_reader(made.process.sentinel, made._gone)
            made._thread.start()
        except BaseException:
            await made._abandon(launching)
            raise
        return made

    def _launch(self, descriptors: Sequence[int]) -> None:
        """In a thread: the first process waits for the libraries to be loaded."""
        try:
            self.process.start()
            for descriptor in descriptors:
                send_handle(self._connection, descriptor, self.process.pid)
        except EOFError:
            raise OSError("the process that workers are forked from has ended") from None
        finally:
            self._theirs.close()

    async def _abandon(self, launching: asyncio.Task[None]) -> None:
        """Nobody waits for it any more: when it is there, it is ended."""
        with suppress(OSError):
            await launching
        if self.process.pid is not None:
            self.process.kill()
            await asyncio.to_thread(self.process.join, EXIT_TIMEOUT_S)
        self._connection.close()

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
        """Asks it to end, then makes it end. All that it said has been given to `on_message` when this returns."""
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
        await self._heard_out.wait()  # the pipe's other end is closed
        self._connection.close()
        self.process.close()

    def _listen(self) -> None:
        """The listening thread: everything to the event loop, to the end of the pipe."""
        with suppress(RuntimeError):  # the event loop is gone
            try:
                while True:
                    self._loop.call_soon_threadsafe(self._receive, self._connection.recv())
            except (EOFError, OSError):  # the process is gone, perhaps in the middle of a word
                self._loop.call_soon_threadsafe(self._heard_out.set)

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
