"""Alpha and the routes: how they are spread, whether they follow what is shown, and whether one has collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.clock import STEP_MS
from models.evaluation.report.records import LETTER_OF_ROUTE, Sentence
from models.evaluation.report.texts import percent
from models.vocabulary import ROUTES

BINS = 20
STUCK = 0.95
"""Alpha is stuck when this share of steps lies above STUCK, or below 1 - STUCK."""
LEAST_SPREAD = 0.02
LEAST_DIFFERENCE = 0.02
"""Alpha follows nothing when its means over signs, spelling and rest differ by less."""
ONE_ROUTE = 0.98


@dataclass(frozen=True)
class Alarm:
    """A collapse by name: its rule, the value it was tested on, and whether it rings."""

    name: str
    rule: str
    value: float
    rings: bool
    meaning: str


@dataclass(frozen=True)
class Gate:
    """Alpha over all steps within segments: a share of steps a bin of 0..1, mean and spread, its mean by true route."""

    histogram: tuple[float, ...]
    mean: float
    spread: float
    by_route: dict[str, float | None]
    steps: int


@dataclass(frozen=True)
class Routes:
    """`confusion[true][found]` counts steps; recall and precision a route; what was spelled and how it was routed."""

    confusion: dict[str, dict[str, int]]
    accuracy: float
    recall: dict[str, float | None]
    precision: dict[str, float | None]


def paired(sentence: Sentence) -> list[tuple[float, str]]:
    """(alpha, true route) of every step within a segment; after the clip's end the signer rests."""
    pairs = []
    for segment in sentence.segments:
        first = segment.start_ms // STEP_MS
        for step, alpha in enumerate(segment.alpha, first):
            pairs.append((alpha, sentence.truth.routes[step] if step < len(sentence.truth.routes) else "r"))
    return pairs


def gate_of(sentences: Sequence[Sentence]) -> Gate:
    """Alpha over all sentences."""
    pairs = [pair for sentence in sentences for pair in paired(sentence)]
    alpha = np.array([value for value, _ in pairs])
    if not len(alpha):
        return Gate((0.0,) * BINS, 0.0, 0.0, dict.fromkeys(ROUTES), 0)
    counts, _ = np.histogram(alpha, BINS, (0, 1))
    of_route = {route: [a for a, letter in pairs if letter == route[0]] for route in ROUTES}
    means = {route: float(np.mean(own)) if own else None for route, own in of_route.items()}
    return Gate(tuple((counts / len(alpha)).tolist()), float(alpha.mean()), float(alpha.std()), means, len(alpha))


def routes_of(sentences: Sequence[Sentence]) -> Routes:
    """Found routes against true ones over the clips' own steps."""
    counts = {true: dict.fromkeys(ROUTES, 0) for true in ROUTES}
    for sentence in sentences:
        for true, found in zip(sentence.truth.routes, sentence.routes, strict=False):
            counts[_name(true)][_name(found)] += 1
    right, total = sum(counts[r][r] for r in ROUTES), sum(sum(row.values()) for row in counts.values())
    recall = {r: _share(counts[r][r], sum(counts[r].values())) for r in ROUTES}
    precision = {r: _share(counts[r][r], sum(counts[true][r] for true in ROUTES)) for r in ROUTES}
    return Routes(counts, right / max(1, total), recall, precision)


def alarms(gate: Gate, alpha: Sequence[float], routes: Routes) -> list[Alarm]:
    """Every collapse that is looked for, ringing or not."""
    values = np.asarray(alpha)
    above = float((values > STUCK).mean()) if len(values) else 0.0
    below = float((values < 1 - STUCK).mean()) if len(values) else 0.0
    means = [mean for mean in gate.by_route.values() if mean is not None]
    apart = max(means) - min(means) if means else 0.0
    total = max(1, sum(sum(row.values()) for row in routes.confusion.values()))
    most = max(sum(row[route] for row in routes.confusion.values()) for route in ROUTES) / total
    return [
        Alarm("gate stuck on the hands", f"over {percent(STUCK)} of steps have alpha above {STUCK}", above, above > STUCK,
              "The lips are never listened to."),
        Alarm("gate stuck on the lips", f"over {percent(STUCK)} of steps have alpha below {1 - STUCK:.2f}", below,
              below > STUCK, "The hands are never looked at."),
        Alarm("gate does not move", f"alpha's standard deviation is under {LEAST_SPREAD}", gate.spread,
              gate.steps > 0 and gate.spread < LEAST_SPREAD, "Alpha is a constant, not a gate."),
        Alarm("gate follows nothing", f"mean alpha over signs, spelling and rest differs by less than {LEAST_DIFFERENCE}",
              apart, len(means) > 1 and apart < LEAST_DIFFERENCE, "Alpha moves, but not with what is shown."),
        Alarm("one route for all", f"over {percent(ONE_ROUTE)} of steps are given the same route", most, most > ONE_ROUTE,
              "The router has collapsed."),
    ]  # fmt: skip


def _name(letter: str) -> str:
    return ROUTES[LETTER_OF_ROUTE.index(letter)]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
