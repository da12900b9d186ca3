"""Of several sentences that a model holds likely, the one of least risk: most like the others by BLEU, each counted by its
probability (Kumar and Byrne 2004). The likeliest one alone is often too short."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

LONGEST_GRAM = 4
SMOOTHING = 0.5
Grams = tuple[Counter[tuple[str, ...]], ...]


def consensus(sentences: Sequence[Sequence[str]], scores: Sequence[float]) -> int:
    """Place of the sentence with the best expected BLEU against all; `scores` are log-probabilities, their sum any."""
    best = max(scores)
    weights = [math.exp(score - best) for score in scores]
    grams = [_grams(words) for words in sentences]

    def expected(place: int) -> float:
        return sum(weight * likeness(grams[place], other) for weight, other in zip(weights, grams, strict=True))

    return max(range(len(sentences)), key=expected)


def likeness(said: Grams, wanted: Grams) -> float:
    """Sentence BLEU, SMOOTHING added to every count."""
    precision = sum(
        math.log(((one & other).total() + SMOOTHING) / (one.total() + SMOOTHING))
        for one, other in zip(said, wanted, strict=True)
    )
    words, wanted_words = said[0].total(), wanted[0].total()
    return math.exp(precision / LONGEST_GRAM + min(0.0, 1 - wanted_words / max(words, 1)))


def _grams(words: Sequence[str]) -> Grams:
    return tuple(
        Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))
        for size in range(1, LONGEST_GRAM + 1)
    )
