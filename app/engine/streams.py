"""One stream's hold on a slot of the engine, through all lives of its worker."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.engine.messages import (
    Chunk,
    Finalize,
    Finalized,
    Open,
    Refine,
    Refined,
    RefinedDraft,
    SetVocabulary,
    Stepped,
    ToStream,
    ToWorker,
)
from app.frames import FrameRing
from models.hypothesis import Hypothesis

CONTEXT_SENTENCES = 3
MOST_DEATHS, DEATHS_S = 3, 10.0
"""A stream that so many workers in a row do not answer, for so long, is likely to be what kills them."""


class Holder(Protocol):
    """The worker that the stream's slot belongs to."""

    @property
    def labels(self) -> tuple[str, str]: ...
    def send(self, message: ToWorker) -> None: ...
    def note_asked(self) -> None: ...
    def note_queue_wait(self, wait_ms: float) -> None: ...
    async def release(self, stream: EngineStream) -> None: ...


@dataclass(eq=False)
class EngineStream:
    """What to do goes in by methods, what came of it comes out of `messages`, each answer once whatever becomes of workers."""

    worker: Holder
    opened: Open
    ring: FrameRing
    messages: asyncio.Queue[ToStream] = field(default_factory=asyncio.Queue)
    unanswered: deque[Chunk | Finalize] = field(default_factory=deque)
    answered: int = 0
    context: deque[str] = field(default_factory=lambda: deque(maxlen=CONTEXT_SENTENCES))
    deaths: list[float] = field(default_factory=list)
    """When workers died since the last answer while something was asked of them, monotonic seconds."""
    closing: bool = False
    lost: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def number(self) -> int:
        return self.opened.stream

    @property
    def slot(self) -> int:
        return self.opened.slot

    @property
    def is_awaited(self) -> bool:
        return not self.lost and (bool(self.unanswered) or (self.closing and not self.closed.is_set()))

    def submit(self, positions: tuple[int, ...]) -> None:
        """One chunk; a Stepped answers it."""
        self._ask(Chunk(self.number, self.slot, positions))

    def finalize(self) -> None:
        """Ends the segment after the chunks before; a Finalized answers it."""
        self._ask(Finalize(self.number, self.slot))

    def set_vocabulary(self, vocabulary: tuple[str, ...]) -> None:
        self.opened = replace(self.opened, options=replace(self.opened.options, vocabulary=vocabulary))
        self.worker.send(SetVocabulary(self.number, self.slot, vocabulary))

    def refine_again(self, segment_id: int, hypothesis: Hypothesis, draft: str, deadline_s: float) -> None:
        """Asks for a sentence that the worker before still owed; perhaps a Refined answers it."""
        self.worker.send(Refine(self.number, self.slot, segment_id, hypothesis, draft, deadline_s))

    def note_sentence(self, text: str) -> None:
        """The sentence of the segment before, which the next one's is written after."""
        if text:
            self.context.append(text)

    def hear(self, message: Stepped | Finalized | Refined | RefinedDraft) -> None:
        """An answer of the worker."""
        if isinstance(message, (Stepped, Finalized)):
            self.unanswered.popleft()
            self.answered += 1
            self.deaths.clear()
        self.messages.put_nowait(message)

    def outlives(self, now_s: float) -> bool:
        """Its worker died; False where the stream itself is suspected and must not be given to the next one."""
        if self.unanswered:
            self.deaths.append(now_s)
        return len(self.deaths) < MOST_DEATHS or self.deaths[-1] - self.deaths[0] < DEATHS_S

    def reopened(self) -> Open:
        """What the next worker is told first; what is unanswered comes after it."""
        return replace(self.opened, answered=self.answered, context=tuple(self.context))

    async def aclose(self) -> None:
        """Gives the slot back; nobody may write to the ring any more."""
        await self.worker.release(self)

    def _ask(self, work: Chunk | Finalize) -> None:
        self.worker.note_asked()
        self.unanswered.append(work)
        self.worker.send(work)
