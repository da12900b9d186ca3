"""Several measurements of one level made one: most of them decide, its figures are their medians, its noise is told. Pure.

Of dropped frames the most counts: a median would hide them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.bench.figures import NOTHING, median

Level = dict[str, Any]
LAG = "compute_lag_ms_p95"


def measured(measure: Callable[[int], Level], most: int) -> list[Level]:
    """Rounds 0, 1, ... until more than half of `most` agree whether the level passes, or all are done."""
    rounds: list[Level] = []
    while len(rounds) < most and not agreed([level["passed"] for level in rounds], most):
        rounds.append(measure(len(rounds)))
    return rounds


def agreed(verdicts: Sequence[bool], most: int) -> bool:
    """Whether further rounds, of at most `most`, could not change what most of them say."""
    passed = sum(verdicts)
    return max(passed, len(verdicts) - passed) > most // 2


def decided(rounds: Sequence[Level]) -> Level:
    """One level of all its rounds; it passes if more than half of them do."""
    passed = 2 * sum(bool(level["passed"]) for level in rounds) > len(rounds)
    lags = finite(level.get(LAG) for level in rounds)
    names = {name: None for level in rounds for name in level}
    figures = {name: middle([level.get(name) for level in rounds]) for name in names}
    if drops := finite(level.get("frames_dropped") for level in rounds):
        figures["frames_dropped"] = max(drops)
    why = next((level["why"] for level in rounds if not level["passed"]), None)
    told: dict[str, float] = {"rounds": len(rounds), "rounds_passed": sum(bool(level["passed"]) for level in rounds)}
    if lags:
        told |= {f"{LAG}_low": min(lags), f"{LAG}_high": max(lags)}
    return {**figures, "streams": rounds[0]["streams"], "passed": passed, "why": None if passed else why, **told}


def middle(values: Sequence[Any]) -> float | None:
    """The median of what was measured; NaN of figures that are all NaN, None where there are none."""
    numbers = finite(values)
    if numbers:
        return median(numbers)
    return NOTHING if any(isinstance(value, float) for value in values) else None


def finite(values: Iterable[Any]) -> list[float]:
    return [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]


def noise(levels: Sequence[Level]) -> dict[str, float]:
    """How far rounds of the same level lay apart: (highest - lowest lag p95) / median, of levels that had several."""
    several = [level for level in levels if level["rounds"] > 1 and f"{LAG}_low" in level]
    spreads = [(level[f"{LAG}_high"] - level[f"{LAG}_low"]) / level[LAG] for level in several]
    return {
        "rounds": sum(level["rounds"] for level in levels),
        "levels_disagreed": sum(0 < level["rounds_passed"] < level["rounds"] for level in levels),
        "lag_p95_spread_median": median(spreads),
        "lag_p95_spread_most": max(spreads, default=NOTHING),
    }
