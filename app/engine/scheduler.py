"""Which chunks run next. Pure Python: it knows neither frames nor networks.

Every tick takes at most one chunk from every slot that has one, so a stream that sends faster than it is translated
waits for itself alone. What a slot is given runs in order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from app.engine.messages import Chunk, Finalize


@dataclass(frozen=True)
class Tick:
    """First the `finalizes`, then one batched step over `chunks` (by slot)."""

    finalizes: list[Finalize] = field(default_factory=list)
    chunks: dict[int, Chunk] = field(default_factory=dict)


class Scheduler:
    def __init__(self, slots: int) -> None:
        self._waiting: list[deque[Chunk | Finalize]] = [deque() for _ in range(slots)]

    @property
    def has_work(self) -> bool:
        return any(self._waiting)

    def push(self, work: Chunk | Finalize) -> None:
        """Puts work behind what its slot has already."""
        self._waiting[work.slot].append(work)

    def clear(self, slot: int) -> None:
        """Forgets a slot's work: its stream is closed."""
        self._waiting[slot].clear()

    def plan(self) -> Tick:
        """Takes the next tick's work out of the queues."""
        tick = Tick()
        for slot, waiting in enumerate(self._waiting):
            while waiting and isinstance(waiting[0], Finalize):
                tick.finalizes.append(waiting.popleft())  # type: ignore[arg-type]
            if waiting:
                tick.chunks[slot] = waiting.popleft()  # type: ignore[assignment]
        return tick
