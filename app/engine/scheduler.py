"""Which chunks run next. Pure Python: it knows neither frames nor networks.

A batch takes at most one chunk from every slot that has one, so a stream that sends faster than it is translated waits for
itself alone. What a slot is given runs in order: a slot that is busy with a chunk gives no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set

from app.engine.messages import Chunk, Finalize


class Scheduler:
    def __init__(self, slots: int) -> None:
        self._waiting: list[deque[Chunk | Finalize]] = [deque() for _ in range(slots)]

    def waits_for(self, busy: Set[int], *, looks: bool = True) -> bool:
        """Whether anything waits that is not behind a `busy` slot's earlier chunk; without `looks`, anything but chunks."""
        return any(
            waiting and slot not in busy and (looks or isinstance(waiting[0], Finalize))
            for slot, waiting in enumerate(self._waiting)
        )

    def gives(self, slot: int) -> bool:
        """Whether the next work that waits in the slot is a chunk."""
        waiting = self._waiting[slot]
        return bool(waiting) and isinstance(waiting[0], Chunk)

    def push(self, work: Chunk | Finalize) -> None:
        """Puts work behind what its slot has already."""
        self._waiting[work.slot].append(work)

    def clear(self, slot: int) -> None:
        """Forgets a slot's work: its stream is closed."""
        self._waiting[slot].clear()

    def finalizes(self, busy: Set[int]) -> list[Finalize]:
        """Takes out what is to be finalized before any other chunk of its slot; slots that are `busy` with an earlier chunk
        wait."""
        found: list[Finalize] = []
        for slot, waiting in enumerate(self._waiting):
            while slot not in busy and waiting and isinstance(waiting[0], Finalize):
                found.append(waiting.popleft())  # type: ignore[arg-type]
        return found

    def chunks(self, busy: Set[int], idle: int, eyes: int) -> dict[int, Chunk]:
        """Takes out the next chunk of slots that are not `busy`, by slot: an even share for each of the `idle` eyes, and no
        more than an even share for each of all `eyes` of what is looked at or waits."""
        ready = [
            slot for slot, waiting in enumerate(self._waiting)
            if slot not in busy and waiting and isinstance(waiting[0], Chunk)
        ]  # fmt: skip
        most = min(-(-len(ready) // idle), -(-(len(ready) + len(busy)) // eyes))
        return {slot: self._waiting[slot].popleft() for slot in ready[:most]}  # type: ignore[misc]
