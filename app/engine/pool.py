"""The server's side of the workers: streams admitted to slots, messages brought to their stream, the dead replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.engine.messages import (
    Chunk,
    Closed,
    CloseStream,
    Finalize,
    Finalized,
    Lost,
    Open,
    Refined,
    SetVocabulary,
    Shutdown,
    Stepped,
    ToStream,
    ToWorker,
    WorkerConfig,
)
from app.engine.process import WorkerProcess
from app.engine.slots import SlotTable
from app.errors import failure
from app.frames import FrameRing
from app.metrics import Metrics
from app.settings import Settings
from models.hypothesis import StreamOptions

log = logging.getLogger("signbind.pool")

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 30.0
CLOSE_TIMEOUT_S = 10.0
QUEUE_WAIT_SMOOTHING = 0.2


@dataclass(eq=False)
class EngineStream:
    """A stream's hold on a slot: what to do goes in by methods, what came of it comes out of `messages`."""

    worker: Worker
    number: int
    slot: int
    ring: FrameRing
    messages: asyncio.Queue[ToStream] = field(default_factory=asyncio.Queue)
    awaited: int = 0
    """Messages that the worker has not answered yet."""
    lost: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def submit(self, positions: tuple[int, ...]) -> None:
        """One chunk; a Stepped answers it."""
        self.worker.send(Chunk(self.number, self.slot, positions))

    def finalize(self) -> None:
        """Ends the segment after the chunks before; a Finalized answers it."""
        self.worker.send(Finalize(self.number, self.slot))

    def set_vocabulary(self, vocabulary: tuple[str, ...]) -> None:
        self.worker.send(SetVocabulary(self.number, self.slot, vocabulary))

    async def aclose(self) -> None:
        """Gives the slot back; nobody may write to the ring any more."""
        await self.worker.release(self)


class Worker:
    """One worker through all its lives: its slots, rings and streams stay, its process is replaced."""

    def __init__(self, settings: Settings, metrics: Metrics, capacity: int, report: Callable[[], None]) -> None:
        self._settings, self._metrics, self._report = settings, metrics, report
        self.rings = [FrameRing.create(capacity) for _ in range(settings.slots)]
        self._config = WorkerConfig(
            settings.checkpoint,
            settings.device,
            settings.slots,
            capacity,
            max(1, settings.torch_threads // settings.workers),
        )
        self.table = SlotTable(settings.slots)
        self.streams: dict[int, EngineStream] = {}
        self.process: WorkerProcess | None = None
        self.model: dict[str, Any] | None = None
        self.reason = "its weights are being loaded"
        self.has_failed = False
        self.queue_wait_ms = 0.0
        self._answered_s = 0.0

    @property
    def is_ready(self) -> bool:
        return self.model is not None

    async def run(self) -> None:
        """Keeps a process alive until cancelled."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            process = self.process = WorkerProcess(self._config, self.rings, self._on_message)
            try:
                self.model = await process.started(self._settings.worker_start_timeout_s)
                self._report()
                backoff_s = FIRST_BACKOFF_S
                await self._watch(process)
                self.reason = f"it stopped ({process.how_it_ended()}) and is being restarted"
            except (OSError, ValueError, TimeoutError) as error:
                self.reason, self.has_failed = " ".join(str(error).split()) or "it did not start in time", True
            finally:
                self.model, self.process = None, None
                await process.aclose()
                self._lose_streams()
                self._report()
            log.error("worker: %s", self.reason)
            self._metrics.worker_restarts.inc()
            await asyncio.sleep(backoff_s)
            backoff_s = min(LONGEST_BACKOFF_S, backoff_s * 2)

    def open(self, options: StreamOptions, refine_deadline_s: float) -> EngineStream | None:
        """A stream in the lowest free slot; None when all are taken."""
        taken = self.table.take()
        if taken is None:
            return None
        number, slot = taken
        stream = self.streams[number] = EngineStream(self, number, slot, self.rings[slot])
        self.send(Open(number, slot, options, refine_deadline_s, self._settings.draft_interval_ms / 1000))
        self._report()
        return stream

    def send(self, message: ToWorker) -> None:
        """To the process, if there is one; a dead one's streams are told `Lost` anyway."""
        if not any(stream.awaited for stream in self.streams.values()):
            self._answered_s = asyncio.get_running_loop().time()
        stream = None if isinstance(message, Shutdown) else self.streams.get(message.stream)
        if self.process is not None and self.process.send(message) and stream is not None:
            stream.awaited += isinstance(message, (Chunk, Finalize, CloseStream))

    async def release(self, stream: EngineStream) -> None:
        """Waits until the worker has let go of the slot, then frees it."""
        if stream.number not in self.streams:
            return
        if not stream.lost:
            self.send(CloseStream(stream.number, stream.slot))
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await stream.closed.wait()
            except TimeoutError:
                log.error("the worker does not close stream %s; it is replaced", stream.number)
                if self.process is not None:
                    self.process.kill()
        if self.streams.pop(stream.number, None) is not None:
            self.table.give_back(stream.number)
            self._report()

    def _on_message(self, message: Stepped | Finalized | Refined | Closed) -> None:
        self._answered_s = asyncio.get_running_loop().time()
        if isinstance(message, Stepped):
            self._metrics.step_duration.observe(sum(message.timings_ms.values()) / 1000)
        stream = self.streams.get(message.stream)
        if stream is None:
            return
        if isinstance(message, Closed):
            stream.awaited = 0
            stream.closed.set()
            return
        stream.awaited -= not isinstance(message, Refined)
        stream.messages.put_nowait(message)

    async def _watch(self, process: WorkerProcess) -> None:
        """Until the process ends, by itself or because it stalls."""
        loop, limit_s = asyncio.get_running_loop(), self._settings.worker_stall_timeout_s
        while not await process.ended(min(1.0, limit_s)):
            is_awaited = any(stream.awaited for stream in self.streams.values())
            if is_awaited and loop.time() - self._answered_s > limit_s:
                log.error("the worker has answered nothing for %.0f s; it is replaced", limit_s)
                process.kill()

    def _lose_streams(self) -> None:
        for stream in self.streams.values():
            stream.lost, stream.awaited = True, 0
            stream.closed.set()
            stream.messages.put_nowait(Lost(stream.number))

    def note_queue_wait(self, wait_ms: float) -> None:
        self.queue_wait_ms += QUEUE_WAIT_SMOOTHING * (wait_ms - self.queue_wait_ms)

    def close_rings(self) -> None:
        for ring in self.rings:
            ring.close()


class Pool:
    """All workers of this machine."""

    def __init__(self, settings: Settings, metrics: Metrics, ring_capacity: int) -> None:
        self._settings, self._metrics = settings, metrics
        self.workers = [Worker(settings, metrics, ring_capacity, self._report) for _ in range(settings.workers)]
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Begins to start the workers; `is_ready` says when one is."""
        self._tasks = [asyncio.create_task(worker.run(), name="worker") for worker in self.workers]
        self._report()

    @property
    def is_ready(self) -> bool:
        return any(worker.is_ready for worker in self.workers)

    @property
    def reason(self) -> str:
        """Why no worker is ready."""
        return "; ".join(sorted({worker.reason for worker in self.workers if not worker.is_ready}))

    @property
    def models(self) -> list[dict[str, Any]]:
        """What the ready workers have loaded, each checkpoint once."""
        found = {worker.model["id"]: worker.model for worker in self.workers if worker.model is not None}
        return list(found.values())

    @property
    def free_slots(self) -> int:
        return sum(worker.table.free for worker in self.workers if worker.is_ready)

    async def until_ready(self, timeout_s: float, gives_up: bool = False) -> None:
        """Waits for the first ready worker; raises `not_ready`, with `gives_up` at the first that cannot start."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_ready:
                    if gives_up and any(worker.has_failed for worker in self.workers):
                        raise failure("not_ready", reason=self.reason)
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise failure("not_ready", reason=self.reason) from None

    def open(self, options: StreamOptions, refine_deadline_s: float) -> EngineStream:
        """Admits a stream to the worker with most room; raises `not_ready`, `no_slot` or `overloaded` at once."""
        ready = [worker for worker in self.workers if worker.is_ready]
        if not ready:
            raise failure("not_ready", reason=self.reason)
        worker = max(ready, key=lambda candidate: candidate.table.free)
        limit_ms = self._settings.max_queue_wait_ms
        if worker.streams and worker.queue_wait_ms > limit_ms:
            raise failure("overloaded", retry_after_ms=5_000, wait_ms=worker.queue_wait_ms, limit_ms=limit_ms)
        stream = worker.open(options, refine_deadline_s)
        if stream is None:
            raise failure("no_slot", retry_after_ms=2_000, slots=self._settings.total_slots)
        return stream

    async def aclose(self) -> None:
        """Ends every worker and waits until they are gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self.workers:
            worker.close_rings()

    def _report(self) -> None:
        self._metrics.free_slots.set(self.free_slots)
        self._metrics.ready_workers.set(sum(worker.is_ready for worker in self.workers))
        self._changed.set()
