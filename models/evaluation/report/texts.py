"""Captions against their references as whole texts: BLEU-1..4, chrF, TER by sacreBLEU, ROUGE-L; and intervals by resampling."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from models.evaluation.scores import plain_words

ORDERS = 4
RESAMPLES, CHRF_RESAMPLES = 1000, 200
SEED = 12345


@dataclass(frozen=True)
class Interval:
    """A figure, and between what the middle 95 % of resampled sets of sentences lie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class TextScore:
    """A score in 0..100 with half the width of its 95 % interval, and sacreBLEU's signature (or what else makes it)."""

    name: str
    score: float
    spread: float
    signature: str


def text_scores(found: Sequence[str], truth: Sequence[str], resamples: int = RESAMPLES) -> list[TextScore]:
    """BLEU-1 to BLEU-4 (cumulative: up to n words at once), chrF, TER and ROUGE-L of a corpus.

    Resampled here by what sacreBLEU tells of each sentence: its own way fails where some sets are faultless or empty (it
    mixes kinds of floats).
    """
    return [*_bleus(found, truth, resamples), _chrf(found, truth), _ter(found, truth, resamples),
            _rouge(found, truth, resamples)]  # fmt: skip


def sentence_chrf(found: str, truth: str) -> float:
    """chrF of one sentence (0..100): BLEU has no meaning on a few words, this has."""
    return float(CHRF().sentence_score(found, [truth]).score)


def _bleus(found: Sequence[str], truth: Sequence[str], resamples: int) -> list[TextScore]:
    rows = bleu_counts(found, truth)
    return [_bleu(order, found, truth, resampled(rows, bleu_of(order), resamples)) for order in range(1, ORDERS + 1)]


def bleu_counts(found: Sequence[str], truth: Sequence[str]) -> NDArray[np.float64]:
    """What BLEU needs of each sentence, (sentences, right and all n-grams of each order, both lengths); sums are a corpus's."""
    each = [BLEU(effective_order=True).sentence_score(x, [y]) for x, y in zip(found, truth, strict=True)]
    return np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in each], dtype=np.float64)


def _bleu(order: int, found: Sequence[str], truth: Sequence[str], whole: Interval) -> TextScore:
    metric = BLEU(max_ngram_order=order)
    score = float(metric.corpus_score(list(found), [list(truth)]).score)
    return TextScore(f"BLEU-{order}", score, (whole.high - whole.low) / 2, str(metric.get_signature()))


def bleu_of(order: int) -> Callable[[NDArray[np.float64]], float]:
    """BLEU-`order` of the sums of `bleu_counts`."""

    def figure(sums: NDArray[np.float64]) -> float:
        right, totals = sums[:order].tolist(), sums[ORDERS : ORDERS + order].tolist()
        lengths = (int(sums[-2]), int(sums[-1]))
        return float(BLEU.compute_bleu(right, totals, *lengths, smooth_method="exp", max_ngram_order=order).score)

    return figure


def _chrf(found: Sequence[str], truth: Sequence[str]) -> TextScore:
    """Every resampled set is scored anew, so there are fewer of them."""
    metric, rng = CHRF(), np.random.default_rng(SEED)
    scores = [
        float(metric.corpus_score([found[at] for at in drawn], [[truth[at] for at in drawn]]).score)
        for drawn in rng.integers(len(found), size=(CHRF_RESAMPLES, len(found)))
    ]
    low, high = np.quantile(scores, (0.025, 0.975))
    score = float(metric.corpus_score(list(found), [list(truth)]).score)
    return TextScore("chrF", score, float(high - low) / 2, str(metric.get_signature()))


def _ter(found: Sequence[str], truth: Sequence[str], resamples: int) -> TextScore:
    metric = TER()
    each = [metric.sentence_score(one, [other]) for one, other in zip(found, truth, strict=True)]
    rows = np.array([[100 * float(score.num_edits), float(score.ref_length)] for score in each])
    whole = resampled(rows, ratio, resamples)
    return TextScore("TER", whole.value, (whole.high - whole.low) / 2, str(metric.get_signature()))


def _rouge(found: Sequence[str], truth: Sequence[str], resamples: int) -> TextScore:
    each = np.array([[100 * rouge_l(one, other), 1.0] for one, other in zip(found, truth, strict=True)])
    whole = resampled(each, ratio, resamples)
    return TextScore("ROUGE-L", whole.value, (whole.high - whole.low) / 2, "f1|mean over sentences|words without case")


def rouge_l(found: str, truth: str) -> float:
    """F1 of the longest common subsequence of words, in 0..1 (Lin 2004 with beta 1); two empty texts agree."""
    one, other = plain_words(found), plain_words(truth)
    if not one or not other:
        return float(one == other)
    common = longest_common(one, other)
    return 2 * common / (len(one) + len(other))


def longest_common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for x in one:
        before = 0
        for at, y in enumerate(other, start=1):
            before, row[at] = row[at], before + 1 if x == y else max(row[at], row[at - 1])
    return row[-1]


def percent(share: float) -> str:
    """0.8 -> "80 %"."""
    return f"{100 * share:.0f} %"


def ratio(sums: NDArray[np.float64]) -> float:
    """The first of two sums over the second; 0 where that is 0."""
    return float(sums[0] / sums[1]) if sums[1] else 0.0


def resampled(
    rows: NDArray[np.float64], figure: Callable[[NDArray[np.float64]], float] = ratio, resamples: int = RESAMPLES
) -> Interval:
    """A figure of the sums of rows (sentences, counts), with its interval by the bootstrap (Efron 1979)."""
    if not len(rows):
        return Interval(0.0, 0.0, 0.0)
    drawn = np.random.default_rng(SEED).integers(len(rows), size=(resamples, len(rows)))
    figures = [figure(rows[one].sum(0)) for one in drawn]
    low, high = np.quantile(figures, (0.025, 0.975))
    return Interval(figure(rows.sum(0)), float(low), float(high))
