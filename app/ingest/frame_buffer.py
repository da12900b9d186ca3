"""Which position of a stream's frame ring holds what: free, waiting, or in the engine's hands. Pure bookkeeping.

Positions go round: the decoder is granted free ones, returns them filled, they wait in order, are taken as chunks, and
are free again when the engine is done. A live stream that falls behind loses its oldest waiting frames; an upload, and a
live stream whose worker is being replaced (`drops` false), makes its decoder wait instead.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from models.clock import CHUNK_FRAMES, STEP_MS

IN_FLIGHT_CHUNKS = 3
"""One chunk looked at, one in the networks over time, one ready behind them: the engine never waits for the gateway."""
GRANTED = 8
"""Positions the decoder holds, so that it never waits for the gateway either."""

MOST_POSITIONS = 256
"""A position is told to the decoder as one byte."""


@dataclass(frozen=True)
class WaitingFrame:
    """One frame in the ring; times in seconds of the monotonic clock."""

    position: int
    tick: int
    arrived_s: float
    """When the bytes it was decoded from arrived."""
    decoded_s: float


def ring_capacity(backlog_ms: int) -> int:
    """Positions that a stream with `backlog_ms` of waiting video needs."""
    capacity = backlog_ms // STEP_MS + CHUNK_FRAMES * IN_FLIGHT_CHUNKS + GRANTED
    assert capacity <= MOST_POSITIONS, f"{backlog_ms} ms of video need {capacity} positions: settings allow too much"
    return capacity


class FrameBuffer:
    def __init__(self, capacity: int, drops: bool) -> None:
        self.drops = drops
        self.dropped = 0
        self._backlog = capacity - CHUNK_FRAMES * IN_FLIGHT_CHUNKS - GRANTED
        assert self._backlog >= CHUNK_FRAMES, f"a ring of {capacity} frames holds no chunk beside those in flight"
        self._waiting: deque[WaitingFrame] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest(self) -> WaitingFrame | None:
        return self._waiting[0] if self._waiting else None

    def add(self, frame: WaitingFrame) -> list[int]:
        """One more waiting frame; returns the positions of those dropped for it, free again."""
        self._waiting.append(frame)
        return self.trim()

    def trim(self) -> list[int]:
        """Drops, where that is the rule, all but the newest; returns their positions."""
        freed: list[int] = []
        while self.drops and len(self._waiting) > self._backlog:
            freed.append(self._waiting.popleft().position)
        self.dropped += len(freed)
        return freed

    def take_chunk(self) -> list[WaitingFrame] | None:
        """The oldest CHUNK_FRAMES waiting frames; None when there are fewer."""
        return self._take(CHUNK_FRAMES) if len(self._waiting) >= CHUNK_FRAMES else None

    def take_rest(self) -> list[WaitingFrame]:
        """What waits at the end of a stream or at `finalize`: fewer than a chunk, perhaps nothing."""
        assert len(self._waiting) < CHUNK_FRAMES, f"{len(self._waiting)} frames wait: take the whole chunks first"
        return self._take(len(self._waiting))

    def _take(self, count: int) -> list[WaitingFrame]:
        return [self._waiting.popleft() for _ in range(count)]
