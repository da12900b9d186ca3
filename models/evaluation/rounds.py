"""Several ways of doing the same, timed fairly on a machine that does other things as well: they take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Call = Callable[[], object]
TURN_S = 0.05
"""A turn repeats its call for so long at most, so that caches are its own."""


class Spent(NamedTuple):
    """Of one call, the median of its turns: wall time, and processor time of all threads of this process."""

    wall_ms: float
    cpu_ms: float


def in_turns(calls: Mapping[str, Call], seconds: float, least: int = 3) -> dict[str, Spent]:
    """Rounds of one turn each for about `seconds` a call, at least `least` of them."""
    turns: dict[str, list[Spent]] = {name: [] for name in calls}
    turn_s = min(TURN_S, seconds / least)
    until, rounds = time.perf_counter() + seconds * len(calls), 0
    while rounds < least or time.perf_counter() < until:
        for name, call in calls.items():
            turns[name].append(_turn(call, turn_s))
        rounds += 1
    return {name: Spent(*map(statistics.median, zip(*spent, strict=True))) for name, spent in turns.items()}


def _turn(call: Call, turn_s: float) -> Spent:
    """The first call fills the caches and does not count, but for calls so long that they are a turn of their own."""
    first = _timed(call, 0.0)
    return first if first.wall_ms > turn_s * 1e3 else _timed(call, turn_s)


def _timed(call: Call, at_least_s: float) -> Spent:
    count, wall, cpu = 0, time.perf_counter(), time.process_time()
    while not count or time.perf_counter() - wall < at_least_s:
        call()
        count += 1
    return Spent((time.perf_counter() - wall) * 1e3 / count, (time.process_time() - cpu) * 1e3 / count)
