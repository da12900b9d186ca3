"""One life of a worker: its process, its pipe, and the thread that listens to it.

Workers are forked from a process that has loaded the libraries and done nothing else (`preload`): a replacement is there in
a tenth of the time that a fresh interpreter takes. That process is not relied on for more: a worker's end is seen by its pipe.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.reduction import send_handle
from typing import Any

from app.engine import worker
from app.engine.messages import FromWorker, Ready, Shutdown, StartFailed, ToWorker, WorkerConfig

log = logging.getLogger("signbind.pool")

EXIT_TIMEOUT_S = 5.0
PRELOADED = ["app.engine.preload"]


class WorkerProcess:
    """Made by `start`; `aclose` must be awaited. What it says is given to `on_message` in the event loop."""

    def __init__(self, config: WorkerConfig, on_message: Callable[[Any], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._heard_out, self._reaped = asyncio.Event(), asyncio.Event()
        self._exit_code: int | None = None
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
            made._loop.add_reader(made.process.sentinel, made._reap)
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
            self.kill()
            await asyncio.to_thread(self.process.join, EXIT_TIMEOUT_S)
        self._connection.close()

    async def started(self, timeout_s: float) -> dict[str, Any]:
        """What it loaded; ValueError where it cannot, TimeoutError where it takes too long."""
        async with asyncio.timeout(timeout_s):
            return await self._ready

    async def ended(self, timeout_s: float) -> bool:
        """Waits for its end for so long; whether it has ended, and all that it said has been given to `on_message`."""
        return await _within(self._heard_out, timeout_s)

    def send(self, message: ToWorker) -> bool:
        """False when it is gone."""
        try:
            self._connection.send(message)
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """At once; without a word from the process that it was forked from, which may be gone."""
        if not self._heard_out.is_set() and self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)

    def how_it_ended(self) -> str:
        if self._exit_code is None:
            return "nobody knows how"
        return (
            f"signal {signal.Signals(-self._exit_code).name}" if self._exit_code < 0 else f"exit code {self._exit_code}"
        )

    async def silence(self) -> None:
        """Asks it to end, then makes it end. All that it said has been given to `on_message` when this returns."""
        if self._is_up:
            self.send(Shutdown())
            if await self.ended(EXIT_TIMEOUT_S):
                return
        self._ready.cancel()
        self.kill()
        if not await self.ended(EXIT_TIMEOUT_S):
            log.error("worker process %s does not end after a kill", self.process.pid)

    async def aclose(self) -> None:
        """Ends it, and waits until what it held is free."""
        await self.silence()
        await _within(self._reaped, EXIT_TIMEOUT_S)
        if self._reaped.is_set():
            self.process.close()
        else:
            self._loop.remove_reader(self.process.sentinel)
        if self._heard_out.is_set():
            self._connection.close()

    @property
    def _is_up(self) -> bool:
        return self._ready.done() and not self._ready.cancelled() and self._ready.exception() is None

    def _listen(self) -> None:
        """The listening thread: everything to the event loop, to the end of the pipe."""
        with suppress(RuntimeError):  # the event loop is gone
            try:
                while True:
                    self._loop.call_soon_threadsafe(self._receive, self._connection.recv())
            except (EOFError, OSError):  # the process is gone, perhaps in the middle of a word
                self._loop.call_soon_threadsafe(self._gone)

    def _gone(self) -> None:
        self._heard_out.set()
        if not self._ready.done():
            self._ready.set_exception(OSError("it ended while starting"))

    def _receive(self, messages: tuple[FromWorker, ...]) -> None:
        for message in messages:
            self._hear(message)

    def _hear(self, message: FromWorker) -> None:
        if isinstance(message, Ready):
            if not self._ready.done():
                self._ready.set_result(message.model)
        elif isinstance(message, StartFailed):
            if not self._ready.done():
                self._ready.set_exception(ValueError(message.reason))
        else:
            self._on_message(message)

    def _reap(self) -> None:
        """Its exit code can be had."""
        self._loop.remove_reader(self.process.sentinel)
        self.process.join(EXIT_TIMEOUT_S)
        self._exit_code = self.process.exitcode
        self._reaped.set()


async def _within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
