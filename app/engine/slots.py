"""Which slots of a worker are taken, and by which stream. Pure bookkeeping."""

from __future__ import annotations

from itertools import count


class SlotTable:
    """Slots 0..slots-1; streams get numbers that are never used again in this process."""

    _numbers = count(1)

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._free = list(range(slots))
        self._slot_of: dict[int, int] = {}

    @property
    def free(self) -> int:
        return len(self._free)

    def take(self) -> tuple[int, int] | None:
        """(stream, slot), the lowest free slot; None when all are taken."""
        if not self._free:
            return None
        stream, slot = next(self._numbers), self._free.pop(0)
        self._slot_of[stream] = slot
        return stream, slot

    def give_back(self, stream: int) -> None:
        """Frees the stream's slot; a stream that has none is a fault of ours."""
        assert stream in self._slot_of, f"stream {stream} holds no slot; {sorted(self._slot_of)} do"
        self._free.append(self._slot_of.pop(stream))
        self._free.sort()
