"""When the bytes of a stream came, so that a caption can tell how long it took from there. Pure bookkeeping."""

from __future__ import annotations

from collections import deque


class Arrivals:
    """Each message's end, in bytes of the stream, and when it came; what is behind the decoder is forgotten."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, float]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def note(self, end: int, at_s: float) -> None:
        self._waiting.append((end, at_s))

    def forget(self, consumed: int) -> None:
        """The decoder has read so many bytes: no later frame asks for messages that ended before."""
        while self._waiting and self._waiting[0][0] < consumed:
            self._waiting.popleft()

    def of(self, consumed: int) -> float | None:
        """When the last of the first `consumed` bytes came; None where that is not known."""
        self.forget(consumed)
        return self._waiting[0][1] if self._waiting else None
