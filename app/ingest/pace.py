"""Media time -> steps of the translator's clock: a camera of any rate, one that stutters or jumps, becomes 25 Hz.

Pure arithmetic; no frames, no clocks of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from models.clock import STEP_MS

MAX_HELD_STEPS = 50
"""Longest gap that is filled by the frame before it; beyond it, time jumps."""
RESTART_BACK_MS = 1_000
"""A time stamp so far behind begins a new count: the encoder was restarted."""


@dataclass(frozen=True)
class Place:
    """Where a frame goes: `held` steps of the frame before it from `tick - held`, then the frame at `tick`.

    `tick` None: the step has its frame already, this one is not needed.
    """

    tick: int | None
    held: int = 0


class Pacer:
    """Places frames on ticks of STEP_MS by their media time; tick 0 is `origin_ms`, by default the first frame."""

    def __init__(self, origin_ms: float | None = None) -> None:
        self._origin_ms = origin_ms
        self._last_tick = -1

    def place(self, time_ms: float) -> Place:
        """The place of a frame of media time `time_ms` (of any origin); each tick is given out once, in order."""
        if self._origin_ms is None:
            self._origin_ms = time_ms
        if time_ms - self._origin_ms < self._last_tick * STEP_MS - RESTART_BACK_MS:
            self._origin_ms = time_ms - (self._last_tick + 1) * STEP_MS
        tick = round((time_ms - self._origin_ms) / STEP_MS)
        gap = tick - self._last_tick - 1
        if gap < 0:
            return Place(None)
        held = gap if self._last_tick >= 0 and gap <= MAX_HELD_STEPS else 0
        self._last_tick = tick
        return Place(tick, held)


class Timeline:
    """Steps the translator was given -> media time; they part where frames were dropped, padded or missing."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._ticks: list[int] = []
        self._end_tick = 0

    def note(self, step: int, tick: int) -> None:
        """The frame of `step` has `tick`; what comes after it follows on, until noted otherwise."""
        self._end_tick = tick + 1
        if self._steps and self._ticks[-1] + step - self._steps[-1] == tick:
            return
        self._steps.append(step)
        self._ticks.append(tick)

    def media_ms(self, stream_ms: float) -> int:
        """Media time of the translator's time `stream_ms` (steps given, times STEP_MS); padding lies at the end."""
        step = int(stream_ms // STEP_MS)
        index = bisect_right(self._steps, step) - 1
        if index < 0:
            return round(stream_ms)
        media_ms = (self._ticks[index] - self._steps[index]) * STEP_MS + stream_ms
        if index + 1 < len(self._ticks):
            media_ms = min(media_ms, self._ticks[index + 1] * STEP_MS)
        return round(min(media_ms, self._end_tick * STEP_MS))

    def forget_before(self, step: int) -> None:
        """Drops what only times before `step` need."""
        keep = max(0, bisect_right(self._steps, step) - 1)
        del self._steps[:keep], self._ticks[:keep]
