"""One tick of a worker: schedule, run, tell. It knows no torch, only a `Translator` that has its methods."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.engine.eyes import Eyes, Looked
from app.engine.messages import (
    Chunk,
    Closed,
    CloseStream,
    Finalize,
    Finalized,
    Forgotten,
    FromWorker,
    Open,
    Refine,
    SetVocabulary,
    Stepped,
    Told,
)
from app.engine.recalls import Recalls
from app.engine.refine_queue import RefineRequest
from app.engine.scheduler import Scheduler
from app.frames import FrameRing
from models.clock import CHUNK_FRAMES
from models.hypothesis import Caption, Hypothesis, Recall, StreamOptions, Token, Update

log = logging.getLogger("signbind.engine")


Frames = Mapping[int, Sequence[NDArray[np.uint8]]]
"""Of each active slot its chunk's frames, where they lie in shared memory: nothing is copied."""


class Translator(Protocol):
    """What the engine asks of `models.pipeline.Translator`."""

    slots: int
    lanes: int
    """How many threads may call `see` at once, for different slots."""
    timings_ms: dict[str, float]

    def open(self, slot: int, options: StreamOptions | None = None) -> None: ...
    def expect(self, slot: int, vocabulary: tuple[str, ...]) -> None: ...
    def close(self, slot: int) -> None: ...
    def see(self, frames: Frames, active: NDArray[np.bool_], small: Frames | None = None) -> Any: ...
    def together(self, parts: Sequence[tuple[Any, list[int]]]) -> Any: ...
    def advance(self, seen: Any, active: NDArray[np.bool_]) -> list[list[Update]]: ...
    def finalize(self, slot: int) -> list[Update]: ...
    def last_features(self) -> NDArray[np.float32]: ...
    def numbers(self, slot: int) -> NDArray[np.float64]: ...
    def recall(self, recalls: list[Recall]) -> None: ...
    def draft(self, hypothesis: Hypothesis, vocabulary: tuple[str, ...] = (), *, running: bool = True) -> Caption: ...


@dataclass
class Stream:
    """The worker's side of one open stream."""

    opened: Open
    vocabulary: tuple[str, ...]
    answered: int
    """Chunks and finalizes that were answered, by this worker or by one before."""
    told_tokens: tuple[Token, ...] = ()
    told_s: float = field(default=float("-inf"))


class EngineStep:
    """Streams in slots, their frames in `rings`; what is to be said goes to `send`, ended segments to `refine`.

    A chunk is first looked at by one of the `eyes`, threads with a batch of slots each, then gone on with here: networks
    over time, search, what to tell. Eyes take what waits by themselves, so they never wait for what follows, nor for each
    other. Batches that were looked at go on together where they can, for the networks over time cost less so.
    """

    def __init__(
        self,
        translator: Translator,
        rings: list[FrameRing],
        send: Callable[[FromWorker], None],
        refine: Callable[[RefineRequest], None],
        recalls: Recalls | None = None,
    ) -> None:
        self.scheduler = Scheduler(translator.slots)
        self._translator, self._rings, self._send, self._refine = translator, rings, send, refine
        self._streams: dict[int, Stream] = {}
        self._recalls, self._returning = recalls, list[Open]()
        self.eyes = Eyes(translator.lanes, self._look, self._take)
        self._ready: deque[Looked | Finalize] = deque()

    def receive(self, message: Any) -> None:
        """One message of the server. Work for a stream that is closed already is left out."""
        if isinstance(message, Open) and message.answered:
            self._returning.append(message)
            return
        self._recall()
        if isinstance(message, Open):
            self._translator.open(message.slot, message.options)
            self._streams[message.slot] = Stream(message, message.options.vocabulary, 0)
        elif self._stream(message) is None:
            log.warning("no stream %s in slot %s: %s is left out", message.stream, message.slot, type(message).__name__)
        elif isinstance(message, CloseStream):
            self._close(message)
        elif isinstance(message, SetVocabulary):
            self._streams[message.slot].vocabulary = message.vocabulary
            self._translator.expect(message.slot, message.vocabulary)
        elif isinstance(message, Refine):
            self._refine_again(self._streams[message.slot], message)
        else:
            with self.eyes.lock:
                self.scheduler.push(message)

    @property
    def has_work(self) -> bool:
        """Whether a tick would find something to do at once."""
        with self.eyes.lock:
            waits = self.scheduler.waits_for(self.eyes.slots, looks=self.eyes.idle > 0)
            goes_on = bool(self._ready) and not self._waits_for_more
            return bool(goes_on or self._returning or self.eyes.is_over or waits)

    def has_time(self) -> bool:
        """Whether no chunk waits for an eye; any thread may ask."""
        with self.eyes.lock:
            return not self.scheduler.waits_for(self.eyes.slots)

    def tick(self) -> None:
        """Sets idle eyes to look at what waits, then goes on with what was looked at, or finishes a segment."""
        self._recall()
        with self.eyes.lock:  # between the two no eye may end a look that a finalize comes after
            self._collect()
            self._ready.extend(self.scheduler.finalizes(self.eyes.slots))
        self.eyes.start()
        if not self._ready or self._waits_for_more:
            return
        if isinstance(self._ready[0], Finalize):
            self._finalize(self._ready.popleft())  # type: ignore[arg-type]
        else:
            self._advance(self._next_looked())

    @property
    def _waits_for_more(self) -> bool:
        """Whether to go on later is cheaper and makes no caption later that is not late anyway: every eye still looks, at
        other slots too, and each stream that could go on has given its next chunk already, so it is behind, or a file."""
        if any(isinstance(work, Finalize) for work in self._ready):
            return False
        ready = {slot for looked in self._ready for slot in looked.chunks}  # type: ignore[union-attr]
        with self.eyes.lock:
            looking = self.eyes.slots
            more = self.eyes.idle == 0 and bool(looking - ready)
            return more and all(slot in looking or self.scheduler.gives(slot) for slot in ready)

    def _next_looked(self) -> list[Looked]:
        """What can go on at once: of each slot one chunk, before anything is finalized."""
        taken: list[Looked] = []
        slots: set[int] = set()
        while self._ready and isinstance(looked := self._ready[0], Looked) and slots.isdisjoint(looked.chunks):
            self._ready.popleft()
            slots |= looked.chunks.keys()
            taken.append(looked)
        return taken

    def _collect(self) -> None:
        self._ready.extend(self.eyes.collect())

    def _take(self, busy: Set[int], idle: int) -> dict[int, Chunk]:
        return self.scheduler.chunks(busy, idle, self._translator.lanes)

    def _look(self, chunks: dict[int, Chunk]) -> Looked:
        begun_s = time.monotonic()
        frames = {slot: [self._rings[slot].frames[at] for at in chunk.positions] for slot, chunk in chunks.items()}
        small = {slot: [self._rings[slot].small[at] for at in chunk.positions] for slot, chunk in chunks.items()}
        return Looked(chunks, self._translator.see(frames, self._mask(chunks), small), begun_s)

    def _advance(self, together: list[Looked]) -> None:
        together = [looked for looked in together if looked.chunks]
        if not together:
            return  # all their streams were closed meanwhile
        seen = self._translator.together([(looked.seen, list(looked.chunks)) for looked in together])
        chunks = {slot: (chunk, looked.begun_s) for looked in together for slot, chunk in looked.chunks.items()}
        updates = self._translator.advance(seen, self._mask(chunks))
        timings_ms = dict(self._translator.timings_ms)
        features = self._translator.last_features()
        for slot, (chunk, begun_s) in chunks.items():
            self._keep(slot, features[slot])
            told = self._tell(slot, updates[slot])
            self._send(Stepped(chunk.stream, chunk.positions, told, seen.shows_someone(slot), begun_s, timings_ms))

    def _mask(self, chunks: Collection[int]) -> NDArray[np.bool_]:
        active = np.zeros(self._translator.slots, bool)
        active[list(chunks)] = True
        return active

    def _finalize(self, finalize: Finalize) -> None:
        updates = self._translator.finalize(finalize.slot)
        self._keep(finalize.slot, None)
        told = self._tell(finalize.slot, updates)
        self._send(Finalized(finalize.stream, told))

    def _keep(self, slot: int, features: NDArray[np.float32] | None) -> None:
        """Notes what the stream would go on from, before anybody hears of it."""
        stream = self._streams[slot]
        stream.answered += 1
        if self._recalls is None:
            return
        numbers = self._translator.numbers(slot)
        if features is not None:
            self._recalls.note_features(slot, int(numbers[0]) // CHUNK_FRAMES - 1, features)
        self._recalls.note(slot, stream.opened.stream, stream.answered, numbers)

    def _recall(self) -> None:
        """Goes on with the streams of a worker that died, all side by side."""
        recalls: list[Recall] = []
        for opened in self._returning:
            kept = self._recalls and self._recalls.read(opened.slot, opened.stream, opened.answered)
            if not kept:
                self._send(Forgotten(opened.stream))
                continue
            recalls.append(Recall(opened.slot, opened.options, kept.numbers, kept.features))
            self._streams[opened.slot] = Stream(opened, opened.options.vocabulary, opened.answered)
        self._returning.clear()
        if recalls:
            self._translator.recall(recalls)

    def _tell(self, slot: int, updates: list[Update]) -> tuple[Told, ...]:
        """The updates worth saying: all but drafts that say nothing new or come too soon after the last."""
        return tuple(told for update in updates if (told := self._told(self._streams[slot], update)) is not None)

    def _told(self, stream: Stream, update: Update) -> Told | None:
        hypothesis = update.hypothesis
        if hypothesis is None:
            stream.told_tokens = ()
            return Told(update, None)
        if update.kind == "hypothesis":
            now_s = time.monotonic()
            if hypothesis.tokens == stream.told_tokens or now_s - stream.told_s < stream.opened.draft_interval_s:
                return None
            stream.told_tokens, stream.told_s = hypothesis.tokens, now_s
        told = Told(update, self._translator.draft(hypothesis, stream.vocabulary, running=update.kind != "ended"))
        if update.kind == "ended":
            stream.told_tokens = ()
        self._request_refinement(stream, update, hypothesis, told.draft)
        return told

    def _request_refinement(
        self, stream: Stream, update: Update, hypothesis: Hypothesis, draft: Caption | None
    ) -> None:
        """Asks for the sentence of an ended segment, or of a running one (which only spare time is spent on, if any)."""
        if draft is not None and draft.text and stream.opened.refine_deadline_s > 0:
            deadline_s = time.monotonic() + stream.opened.refine_deadline_s
            self._refine(
                RefineRequest(
                    stream.opened.stream,
                    update.segment_id,
                    hypothesis,
                    stream.vocabulary,
                    draft.text,
                    deadline_s,
                    stream.opened.options.adapter,
                    is_final=update.kind == "ended",
                )
            )

    def _refine_again(self, stream: Stream, message: Refine) -> None:
        request = (message.segment_id, message.hypothesis, stream.vocabulary, message.draft, message.deadline_s)
        self._refine(RefineRequest(message.stream, *request, stream.opened.options.adapter))

    def _close(self, message: CloseStream) -> None:
        self._forget(message.slot)
        self._translator.close(message.slot)
        del self._streams[message.slot]
        self._send(Closed(message.stream))

    def _forget(self, slot: int) -> None:
        """Leaves out all work of a slot, wherever it is, so that another stream may begin there."""
        with self.eyes.lock:
            self.scheduler.clear(slot)
        self.eyes.settle(slot)
        self._collect()
        for work in self._ready:
            if isinstance(work, Looked):
                work.chunks.pop(slot, None)
        self._ready = deque(work for work in self._ready if isinstance(work, Looked) or work.slot != slot)

    def _stream(self, message: Any) -> Stream | None:
        stream = self._streams.get(message.slot)
        return stream if stream is not None and stream.opened.stream == message.stream else None
