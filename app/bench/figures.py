"""Numbers of many: percentiles, and how late answers were. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from models.percentile import percentile

NOTHING = float("nan")
"""A figure that was not measured; null in JSON."""


def percentiles(name: str, values: Sequence[float], *percents: int) -> dict[str, float]:
    """{"name_p50": ..., "name_p95": ...}"""
    return {f"{name}_p{percent}": percentile(values, percent / 100) for percent in percents}


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else NOTHING


def median(values: Sequence[float]) -> float:
    """The middle value, of an even number the mean of the middle two; NaN of nothing."""
    ordered, middle = sorted(values), len(values) // 2
    return mean(ordered[(len(ordered) - 1) // 2 : middle + 1])


def ratio(above: float, below: float) -> float:
    return above / below if below else NOTHING


def line_through(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(slope, R^2) of the least-squares line through (x, y); NaN of fewer than three points or where they do not vary."""
    if len(points) < 3:
        return NOTHING, NOTHING
    middle_x, middle_y = mean([x for x, _ in points]), mean([y for _, y in points])
    square_x = sum((x - middle_x) ** 2 for x, _ in points)
    square_y = sum((y - middle_y) ** 2 for _, y in points)
    product = sum((x - middle_x) * (y - middle_y) for x, y in points)
    return ratio(product, square_x), ratio(product**2, square_x * square_y)
