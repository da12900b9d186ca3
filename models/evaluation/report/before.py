"""Two records of the same sentences side by side: what other weights, or another language model, changed.

The intervals are of the change: both records are resampled together, sentence by sentence (a paired bootstrap, Koehn 2004), so
that what makes a sentence hard for both does not count as a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.evaluation.report.edits import gloss_edits
from models.evaluation.report.records import Records, Run, Sentence
from models.evaluation.report.texts import Interval, bleu_counts, bleu_of, ratio, resampled
from models.evaluation.report.words import CONTENT_WORDS, FUNCTION_WORDS, word_classes

Counts = NDArray[np.float64]
Unit = Literal["share", "points"]


@dataclass(frozen=True)
class Change:
    """A figure before and after: a share in 0..1, or `points` in 0..100; None where nothing was asked for. `less` is better for
    errors. `count` is how many words, signs or sentences it is of."""

    name: str
    unit: Unit
    count: int
    before: float | None
    after: float | None
    change: Interval
    less: bool = False

    @property
    def verdict(self) -> str:
        """What its interval says, which holds 0 where the change may be chance."""
        if self.change.low <= 0 <= self.change.high:
            return "may be chance"
        return "better" if (self.change.value < 0) == self.less else "worse"


@dataclass(frozen=True)
class Comparison:
    """What ran before, how many sentences both records have, and every change over those alone."""

    run: Run
    sentences: int
    changes: list[Change]

    def plain(self) -> dict[str, Any]:
        """For a line of JSON."""
        figures = {
            one.name: {"before": one.before, "after": one.after, "change": one.change.value, "low": one.change.low,
                       "high": one.change.high, "count": one.count}
            for one in self.changes
        }  # fmt: skip
        return {"weights": self.run.weights, "sentences": self.sentences, **figures}


def compared(before: Records, after: Records) -> Comparison:
    """ValueError where the two have no sentence in common: the same number, and all of the same clip."""
    earlier = {one.number: one for one in before.sentences}
    pairs = [
        (earlier[one.number], one)
        for one in after.sentences
        if one.number in earlier and earlier[one.number].truth == one.truth
    ]
    if not pairs:
        raise ValueError(
            f"the records given with --before (seed {before.run.seed}) hold none of these sentences (seed {after.run.seed}): "
            "measure both with the same --seed and the same version of the signer"
        )
    return Comparison(before.run, len(pairs), changes([one for one, _ in pairs], [other for _, other in pairs]))


def changes(before: Sequence[Sentence], after: Sequence[Sentence]) -> list[Change]:
    """Every figure of sentences that stand at the same places in both."""
    pair = (before, after)
    return [
        _change("function words", pair, _words(FUNCTION_WORDS, "asked")),
        *(_change(name, pair, _words([name], "asked")) for name in (*FUNCTION_WORDS, CONTENT_WORDS)),
        _change("function words, precision", pair, _words(FUNCTION_WORDS, "given")),
        _change(f"{CONTENT_WORDS}, precision", pair, _words([CONTENT_WORDS], "given")),
        _change("BLEU-4", pair, _bleu_counts, bleu_of(4)),
        _change("gloss WER", pair, _gloss_counts, less=True),
    ]


def _change(
    name: str, pair: tuple[Sequence[Sentence], Sequence[Sentence]], counts: Callable[[Sequence[Sentence]], Counts],
    figure: Callable[[Counts], float] = ratio, *, less: bool = False,
) -> Change:  # fmt: skip
    """`counts` gives rows (sentences, counts), the last what a figure is of; `figure` takes their sums."""
    one, other = counts(pair[0]), counts(pair[1])
    middle = one.shape[1]
    change = resampled(np.hstack([one, other]), lambda sums: figure(sums[middle:]) - figure(sums[:middle]))
    before, after = (figure(rows.sum(0)) if rows[:, -1].sum() else None for rows in (one, other))
    if figure is ratio:
        return Change(name, "share", int(other[:, -1].sum()), before, after, change, less)
    return Change(name, "points", len(other), before, after, change, less)


def _words(classes: Iterable[str], of: Literal["asked", "given"]) -> Callable[[Sequence[Sentence]], Counts]:
    """Rows (words that are right, words that were asked for or given) of some classes."""

    def row(sentence: Sentence) -> tuple[int, int]:
        found = word_classes([(sentence.caption, sentence.truth.english)])
        own = [found[name] for name in classes]
        return sum(one.right for one in own), sum(one.asked if of == "asked" else one.given for one in own)

    return lambda sentences: np.array([row(one) for one in sentences], np.float64)


def _bleu_counts(sentences: Sequence[Sentence]) -> Counts:
    return bleu_counts([one.caption for one in sentences], [one.truth.english for one in sentences])


def _gloss_counts(sentences: Sequence[Sentence]) -> Counts:
    return np.array([gloss_edits(one) for one in sentences], np.float64)
