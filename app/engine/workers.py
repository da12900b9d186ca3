"""A worker through all its lives: its slots, rings and streams stay, its process is replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.engine.messages import (
    Closed,
    CloseStream,
    Finalized,
    Forgotten,
    Interrupted,
    LlmConfig,
    Lost,
    Open,
    Recovered,
    Refined,
    RefinedDraft,
    Stepped,
    ToWorker,
    WorkerConfig,
)
from app.engine.process import WorkerProcess
from app.engine.recalls import Recalls, chunks_kept
from app.engine.slots import SlotTable
from app.engine.streams import EngineStream
from app.frames import FrameRing
from app.metrics import Metrics
from app.settings import Settings
from models.hypothesis import StreamOptions

log = logging.getLogger("signbind.pool")

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 30.0
CLOSE_TIMEOUT_S = 10.0
QUEUE_WAIT_SMOOTHING = 0.2


@dataclass(frozen=True)
class Place:
    """Which worker it is, and what it computes on."""

    index: int
    device: str


class Worker:
    def __init__(
        self, place: Place, settings: Settings, metrics: Metrics, capacity: int, report: Callable[[], None]
    ) -> None:
        self.place, self.labels = place, (str(place.index), place.device)
        self._settings, self._metrics, self._report = settings, metrics, report
        chunks = chunks_kept(settings.max_segment_ms)
        self.rings = [FrameRing.create(capacity) for _ in range(settings.slots)]
        self.recalls = Recalls.create(settings.slots, chunks)
        threads = max(1, settings.torch_threads // len(settings.worker_devices))
        self._config = WorkerConfig(
            settings.checkpoint,
            place.device,
            settings.slots,
            capacity,
            threads,
            LlmConfig.of(settings),
            chunks,
            settings.backend,
            max(1, settings.picture_threads // len(settings.worker_devices)),
            None if settings.cache_dir is None else str(settings.cache_dir / "openvino"),
        )
        self.table = SlotTable(settings.slots)
        self.streams: dict[int, EngineStream] = {}
        self.process: WorkerProcess | None = None
        self.model: dict[str, Any] | None = None
        self.reason = "its weights are being loaded"
        self.has_failed = self.is_ending = False
        self._smooth_wait_ms = 0.0
        self._answered_s = 0.0
        self._has_answered = False
        self._gives_up: asyncio.TimerHandle | None = None

    @property
    def is_ready(self) -> bool:
        return self.model is not None

    @property
    def free_slots(self) -> int:
        return self.table.free if self.is_ready else 0

    @property
    def queue_wait_ms(self) -> float:
        """How long chunks wait for this worker, of late; nothing without streams."""
        return self._smooth_wait_ms if self.streams else 0.0

    async def run(self) -> None:
        """Keeps a process alive until cancelled."""
        pause_s, loop = 0.0, asyncio.get_running_loop()
        try:
            while True:
                began_s, self._has_answered = loop.time(), False
                await self._live_guarded()
                was_useful = self._has_answered or loop.time() - began_s > LONGEST_BACKOFF_S
                log.error("worker %s on %s: %s", *self.labels, self.reason)
                self._metrics.worker_restarts.labels(*self.labels).inc()
                pause_s = 0.0 if was_useful else min(LONGEST_BACKOFF_S, max(FIRST_BACKOFF_S, pause_s * 2))
                await asyncio.sleep(pause_s)
        finally:
            self._lose_streams()

    async def _live_guarded(self) -> None:
        """A fault of ours costs one life, never the worker."""
        try:
            await self._live()
        except Exception:
            log.exception("worker %s on %s: its life ends by a fault of the server", *self.labels)
            self.reason, self.has_failed = "it could not be started", True

    async def _live(self) -> None:
        """One life, from its start to its end; afterwards `reason` says why it ended."""
        descriptors = [*(ring.descriptor for ring in self.rings), self.recalls.descriptor]
        try:
            process = self.process = await WorkerProcess.start(self._config, descriptors, self._on_message)
        except OSError as error:
            self.reason, self.has_failed = str(error), True
            return
        try:
            self.model = await process.started(self._settings.worker_start_timeout_s)
            self._reopen_streams()
            self._report()
            await self._watch(process)
            self.reason = "it stopped and is being restarted"
        except (OSError, ValueError, TimeoutError) as error:
            self.reason, self.has_failed = " ".join(str(error).split()) or "it did not start in time", True
        finally:
            self.model, self.process = None, None
            await process.silence()
            self._interrupt_streams()
            self._report()
            await process.aclose()
            self.reason += f" ({process.how_it_ended()})"

    def open(self, options: StreamOptions, refine_deadline_s: float) -> EngineStream | None:
        """A stream in the lowest free slot; None when all are taken."""
        taken = self.table.take()
        if taken is None:
            return None
        number, slot = taken
        opened = Open(number, slot, options, refine_deadline_s, self._settings.draft_interval_ms / 1000)
        stream = self.streams[number] = EngineStream(self, opened, self.rings[slot])
        self.send(opened)
        self._report()
        return stream

    def send(self, message: ToWorker) -> None:
        """To the process, if it is there; what must be answered is told to the next one as well."""
        if self.process is not None and self.is_ready:
            self.process.send(message)

    def note_asked(self) -> None:
        """Something is about to be asked: it has the time of `worker_stall_timeout_s` from now, or from the last answer."""
        if not any(stream.is_awaited for stream in self.streams.values()):
            self._answered_s = asyncio.get_running_loop().time()

    async def release(self, stream: EngineStream) -> None:
        """Waits until the worker has let go of the slot, then frees it; at the server's end nobody takes it, so none waits."""
        if stream.number not in self.streams:
            return
        if self.is_ready and not stream.lost:
            if self.is_ending:
                self.send(CloseStream(stream.number, stream.slot))
            else:
                await self._close(stream)
        if self.streams.pop(stream.number, None) is not None:
            self.table.give_back(stream.number)
            self._report()

    async def _close(self, stream: EngineStream) -> None:
        self.note_asked()
        stream.closing = True
        self.send(CloseStream(stream.number, stream.slot))
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await stream.closed.wait()
        except TimeoutError:
            log.error("the worker does not close stream %s; it is replaced", stream.number)
            if self.process is not None:
                self.process.kill()

    def _on_message(self, message: Stepped | Finalized | Refined | RefinedDraft | Closed | Forgotten) -> None:
        self._answered_s, self._has_answered = asyncio.get_running_loop().time(), True
        if isinstance(message, Stepped):
            self._metrics.step_duration.labels(*self.labels).observe(sum(message.timings_ms.values()) / 1000)
        stream = self.streams.get(message.stream)
        if stream is None:
            return
        if isinstance(message, Closed):
            stream.closed.set()
        elif isinstance(message, Forgotten):
            log.error("stream %s cannot go on: what it would go on from is not there", stream.number)
            self._lose(stream)
        elif not stream.closing and not stream.lost:
            stream.hear(message)

    async def _watch(self, process: WorkerProcess) -> None:
        """Until the process ends, by itself or because it stalls."""
        loop, limit_s = asyncio.get_running_loop(), self._settings.worker_stall_timeout_s
        while not await process.ended(min(1.0, limit_s)):
            is_awaited = any(stream.is_awaited for stream in self.streams.values())
            if is_awaited and loop.time() - self._answered_s > limit_s:
                log.error("the worker has answered nothing for %.0f s; it is replaced", limit_s)
                process.kill()

    def _reopen_streams(self) -> None:
        """The streams of the life before go on in this one."""
        self._cancel_giving_up()
        self._answered_s = asyncio.get_running_loop().time()
        streams = [stream for stream in self.streams.values() if not stream.lost and not stream.closing]
        for stream in streams:  # all of them first, so that they are recalled side by side
            self.send(stream.reopened())
            self._metrics.stream_recoveries.labels(*self.labels).inc()
            stream.messages.put_nowait(Recovered(stream.number))
        for stream in streams:
            for work in stream.unanswered:
                self.send(work)

    def _interrupt_streams(self) -> None:
        for stream in self.streams.values():
            stream.closed.set()
            if stream.lost:
                continue
            if stream.outlives(asyncio.get_running_loop().time()):
                stream.messages.put_nowait(Interrupted(stream.number))
            else:
                log.error("stream %s is given up: %s workers died over it", stream.number, len(stream.deaths))
                self._lose(stream)
        if self.streams and self._gives_up is None:
            loop, limit_s = asyncio.get_running_loop(), self._settings.worker_recovery_timeout_s
            self._gives_up = loop.call_later(limit_s, self._lose_streams)

    def _lose_streams(self) -> None:
        """No worker comes back for them in time."""
        self._cancel_giving_up()
        for stream in self.streams.values():
            if not stream.lost:
                self._lose(stream)

    @staticmethod
    def _lose(stream: EngineStream) -> None:
        stream.lost = True
        stream.closed.set()
        stream.messages.put_nowait(Lost(stream.number))

    def _cancel_giving_up(self) -> None:
        if self._gives_up is not None:
            self._gives_up.cancel()
            self._gives_up = None

    def note_queue_wait(self, wait_ms: float) -> None:
        self._smooth_wait_ms += QUEUE_WAIT_SMOOTHING * (wait_ms - self._smooth_wait_ms)

    def close_memory(self) -> None:
        for ring in self.rings:
            ring.close()
        self.recalls.close()
