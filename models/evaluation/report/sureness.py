"""Is a confidence of 0.8 right in 80 of 100? Of captions and of words: calibration, separation, risk against coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.confidence import auroc, expected_calibration_error, risk_coverage
from models.evaluation.report.records import Sentence
from models.evaluation.scores import caption_right, words_right

BINS = 15
COVERAGE = 0.8


@dataclass(frozen=True)
class Sureness:
    """`curve`: (share shown, share of them wrong), the surest first; `reliability`: (mean confidence, share right, count)
    of BINS equally filled bins. `auroc` is None where all are right or all wrong."""

    count: int
    right: float
    ece: float
    auroc: float | None
    error: float
    error_at_80: float
    curve: tuple[tuple[float, float], ...]
    reliability: tuple[tuple[float, float, int], ...]


def sureness(confidence: Sequence[float], right: Sequence[int]) -> Sureness | None:
    """None where there is nothing."""
    if not right:
        return None
    curve = risk_coverage(confidence, right, points=50)
    shown = min(curve, key=lambda point: abs(point[0] - COVERAGE))
    apart = auroc(confidence, right) if 0 < sum(right) < len(right) else None
    return Sureness(
        len(right), sum(right) / len(right), expected_calibration_error(confidence, right, BINS), apart,
        1 - sum(right) / len(right), shown[1], tuple(curve), tuple(_reliability(confidence, right)),
    )  # fmt: skip


def of_captions(sentences: Sequence[Sentence]) -> Sureness | None:
    """Of sentences for which anything was said: right means all words of the truth, in order."""
    said = [sentence for sentence in sentences if sentence.caption]
    right = [int(caption_right(sentence.caption, sentence.truth.english)) for sentence in said]
    return sureness([sentence.confidence for sentence in said], right)


def of_words(sentences: Sequence[Sentence]) -> Sureness | None:
    """Of every word of every caption: right means at its place in the truth."""
    confidence, right = list[float](), list[int]()
    for sentence in sentences:
        words = [word for segment in sentence.segments for word in segment.words]
        right += [int(one) for one in words_right([word.text for word in words], sentence.truth.english)]
        confidence += [word.confidence for word in words]
    return sureness(confidence, right)


def _reliability(confidence: Sequence[float], right: Sequence[int]) -> list[tuple[float, float, int]]:
    order = np.argsort(np.asarray(confidence), kind="stable")
    sure, labels = np.asarray(confidence)[order], np.asarray(right, dtype=float)[order]
    parts = [part for part in np.array_split(np.arange(len(order)), BINS) if len(part)]
    return [(float(sure[part].mean()), float(labels[part].mean()), len(part)) for part in parts]
