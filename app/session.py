"""One stream from its bytes to its captions: decoder, frame buffer, engine slot and caption book, joined.

Live streams and uploads are the same session; an upload reads a file and waits where a live stream drops frames.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.captions import CaptionBook, Choices, Measured
from app.engine.messages import Finalized, Interrupted, Lost, Recovered, Refined, RefinedDraft, Stepped, Told, ToStream
from app.engine.streams import EngineStream
from app.errors import ServiceError, failure
from app.ingest.arrivals import Arrivals
from app.ingest.decoder import Decoded, Decoder
from app.ingest.frame_buffer import IN_FLIGHT_CHUNKS, FrameBuffer, WaitingFrame
from app.ingest.pace import Timeline
from app.ingest.patience import Patience
from app.protocol import CaptionEvent, Event, Status
from app.services import Services
from models.clock import CHUNK_FRAMES, STEP_MS


@dataclass(frozen=True)
class Origin:
    """Where a stream's media comes from: bytes fed as `media`, or a file's descriptor."""

    media: str
    codec: str | None = None
    file: int | None = None

    @property
    def is_live(self) -> bool:
        return self.file is None


@dataclass(frozen=True)
class ChunkInFlight:
    newest: WaitingFrame
    oldest: WaitingFrame
    submitted_s: float


class Session:
    """Made by `admission.open_session`. `run` gives events to `emit` until the media's end; `aclose` frees everything."""

    def __init__(
        self, services: Services, origin: Origin, choices: Choices, held: tuple[EngineStream, Decoder],
        emit: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self._services, self._origin, self.choices, self._emit = services, origin, choices, emit
        self._engine, self._decoder = held
        self._metrics = services.metrics
        self._buffer = FrameBuffer(self._engine.ring.capacity, drops=origin.is_live)
        self._timeline = Timeline()
        self._book = CaptionBook(choices, self._timeline.media_ms)
        self._in_flight: deque[ChunkInFlight] = deque()
        self._arrivals = Arrivals()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._steps = self._finalizing = self._idle_at = 0
        self._flush_at: int | None = None
        self._flush_due = self._media_over = False
        self._patience = Patience(self._buffer, self._decoder, origin.is_live, services.settings.catch_up_s)
        self._measured = Measured(0, time.monotonic(), 0.0, 0.0, 0.0, 0.0)
        self._reported_steps, self._reported_s = 0, time.monotonic()
        self._signer_visible = False
        self.duration_ms = self.captions = self.words = 0

    @property
    def frames_dropped(self) -> int:
        return self._buffer.dropped

    async def feed(self, data: bytes) -> None:
        """Bytes of the stream, as they came; waits while the decoder is behind, which is never long."""
        self._metrics.received.inc(len(data))
        self._metrics.frames_dropped.inc(self._patience.make_room(len(data)))
        self._arrivals.note(self._decoder.fed + len(data), time.monotonic())
        await self._decoder.feed(data)

    def finalize(self) -> None:
        """Ends the running segment after what was fed so far."""
        self._flush_at = self._decoder.fed
        self._note_idle(self._idle_at)
        self._advance()

    def end_media(self) -> None:
        """No more bytes come: `run` ends after the last caption."""
        self._decoder.end_of_media()

    def update(self, interim: bool | None, min_confidence: float | None, vocabulary: tuple[str, ...] | None) -> None:
        """Changes choices from now on; None leaves one as it is."""
        if interim is not None:
            self.choices.interim = interim
        if min_confidence is not None:
            self.choices.min_confidence = min_confidence
        if vocabulary is not None:
            self.choices.vocabulary = vocabulary
            self._engine.set_vocabulary(vocabulary)

    async def run(self) -> None:
        """Until the media's end and its last caption; raises `ServiceError` where either side fails."""
        listening = [asyncio.create_task(self._listen_to_decoder()), asyncio.create_task(self._listen_to_engine())]
        try:
            await asyncio.gather(*listening)
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)

    def status(self) -> Status:
        """How the stream fares, since the status before."""
        now_s = time.monotonic()
        waiting = self._in_flight[0].oldest if self._in_flight else self._buffer.oldest
        elapsed_s, steps = max(1e-3, now_s - self._reported_s), self._steps - self._reported_steps
        self._reported_s, self._reported_steps = now_s, self._steps
        return Status(
            lag_ms=round((now_s - waiting.arrived_s) * 1e3) if waiting else 0,
            fps_effective=round(steps / elapsed_s, 1),
            frames_dropped=self.frames_dropped,
            signer_visible=self._signer_visible,
        )

    async def aclose(self) -> None:
        """Ends the decoder, then gives the slot back."""
        for timer in self._timers.values():
            timer.cancel()
        self._patience.end()
        try:
            await self._services.supervisor.discard(self._decoder)
        finally:
            await self._engine.aclose()

    async def _listen_to_decoder(self) -> None:
        try:
            async for event in self._decoder.events():
                if isinstance(event, Decoded):
                    self._take_in(event)
                else:
                    self._note_idle(event.consumed)
                self._advance()
        except ServiceError as error:
            if error.code != "no_frames" or not self._origin.is_live or self._decoder.fed:
                raise
        self._media_over = self._flush_due = True
        self._advance()

    async def _listen_to_engine(self) -> None:
        while not self._is_over:
            self._hear(await self._engine.messages.get())
            self._advance()

    @property
    def _is_over(self) -> bool:
        return self._media_over and not self._flush_due and not self._finalizing and not self._book.awaits_finals

    def _take_in(self, frame: Decoded) -> None:
        now_s = time.monotonic()
        arrived_s = self._arrivals.of(frame.consumed)
        if arrived_s is None:  # of a file, nothing arrives
            arrived_s = now_s - frame.decode_ms / 1e3
        self.duration_ms = (frame.tick + 1) * STEP_MS
        limit_s = self._services.settings.max_upload_s
        if not self._origin.is_live and self.duration_ms > limit_s * 1e3:
            raise failure("too_long", limit_s=limit_s)
        self._patience.note_taken()
        freed = self._buffer.add(WaitingFrame(frame.position, frame.tick, arrived_s, now_s))
        self._decoder.free(freed)
        self._metrics.frames_decoded.inc()
        self._metrics.frames_dropped.inc(len(freed))

    def _note_idle(self, consumed: int) -> None:
        self._idle_at = consumed
        self._arrivals.forget(consumed)
        self._patience.note_idle(consumed)
        if self._flush_at is not None and consumed >= self._flush_at:
            self._flush_at, self._flush_due = None, True

    def _advance(self) -> None:
        """Gives the engine what is ready, and at a flush what is left."""
        while len(self._in_flight) < IN_FLIGHT_CHUNKS and (chunk := self._buffer.take_chunk()):
            self._submit(chunk)
        can_flush = not self._finalizing and len(self._in_flight) < IN_FLIGHT_CHUNKS
        if self._flush_due and can_flush and len(self._buffer) < CHUNK_FRAMES:
            if rest := self._buffer.take_rest():
                self._submit(rest)
            self._engine.finalize()
            self._finalizing += 1
            self._flush_due = False

    def _submit(self, frames: list[WaitingFrame]) -> None:
        for offset, frame in enumerate(frames):
            self._timeline.note(self._steps + offset, frame.tick)
        padding = (frames[-1].position,) * (CHUNK_FRAMES - len(frames))
        self._engine.submit((*(frame.position for frame in frames), *padding))
        self._in_flight.append(ChunkInFlight(frames[-1], frames[0], time.monotonic()))
        self._steps += CHUNK_FRAMES

    def _hear(self, message: ToStream) -> None:
        if isinstance(message, Stepped):
            self._measure(message)
            self._decoder.free(sorted(set(message.positions)))
            self._tell(message.told)
        elif isinstance(message, Finalized):
            self._finalizing -= 1
            self._tell(message.told)
        elif isinstance(message, Refined):
            self._finish(message)
        elif isinstance(message, RefinedDraft):
            for event in self._book.redraft(message, time.monotonic()):
                self._say(event)
        elif isinstance(message, Interrupted):
            self._patience.hold()
        elif isinstance(message, Recovered):
            self._catch_up()
        elif isinstance(message, Lost):
            for segment_id in self._book.waiting():
                self._finish(Refined(message.stream, segment_id, None, 0.0))
            raise failure("worker_lost")

    def _catch_up(self) -> None:
        """The worker's successor goes on, with what the one before owed."""
        now_s = time.monotonic()
        self._patience.catch_up()
        self._in_flight = deque(replace(chunk, submitted_s=now_s) for chunk in self._in_flight)
        for segment_id, timer in self._timers.items():
            if (owed := self._book.owed(segment_id)) is not None:
                self._engine.refine_again(segment_id, *owed, timer.when())

    def _measure(self, message: Stepped) -> None:
        chunk = self._in_flight.popleft()
        queue_ms = max(0.0, message.begun_s - chunk.newest.decoded_s) * 1e3
        times = message.timings_ms
        newest = chunk.newest
        self._measured = Measured(
            (newest.tick + 1) * STEP_MS, newest.arrived_s, (newest.decoded_s - newest.arrived_s) * 1e3, queue_ms,
            times.get("sight", 0.0) + times.get("experts", 0.0), times.get("fusion", 0.0),
        )  # fmt: skip
        self._engine.worker.note_queue_wait(max(0.0, message.begun_s - chunk.submitted_s) * 1e3)
        self._metrics.queue_wait.labels(*self._engine.worker.labels).observe(queue_ms / 1e3)
        self._signer_visible = message.signer_visible

    def _tell(self, told: tuple[Told, ...]) -> None:
        for one in told:
            for event in self._book.told(one.update, one.draft, self._measured, time.monotonic()):
                self._say(event)
        for segment_id in self._book.waiting():
            if segment_id not in self._timers:
                self._timers[segment_id] = asyncio.get_running_loop().call_later(
                    self._deadline_s,
                    self._engine.messages.put_nowait,
                    Refined(self._engine.number, segment_id, None, 0.0),
                )

    @property
    def _deadline_s(self) -> float:
        settings = self._services.settings
        return (settings.refine_deadline_ms if self._origin.is_live else settings.upload_refine_deadline_ms) / 1000

    def _finish(self, message: Refined) -> None:
        owed = self._book.owed(message.segment_id)
        caption = self._book.finish(message.segment_id, message.caption, message.llm_ms, time.monotonic())
        timer = self._timers.pop(message.segment_id, None)
        if timer is not None:
            timer.cancel()
        if caption is None or owed is None:
            return
        self._engine.note_sentence(message.caption.text if message.caption else owed[1])
        self.captions += 1
        self.words += len(caption.words)
        self._say(caption)
        if not self._book.open:
            self._timeline.forget_before(self._steps - CHUNK_FRAMES * IN_FLIGHT_CHUNKS)

    def _say(self, event: Event) -> None:
        if isinstance(event, CaptionEvent):
            self._metrics.observe_caption(event)
        self._emit(event)
