"""What the search over joint log posteriors read, as symbols with their times, and as the hypothesis of a whole clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.ctc import BeamHypothesis, PrefixBeam
from models.hypothesis import Decoded, Hypothesis, milliseconds, tokens_of
from models.vocabulary import Vocabulary, signs_of


def symbols_of(best: BeamHypothesis, joint: Vocabulary) -> list[Decoded]:
    """The symbols of a reading, each with its steps and posterior."""
    return [Decoded(joint.decode([e.token])[0], e.start, e.end, e.peak) for e in best.emissions]


def reading_of(
    log_probs: NDArray[np.float32], alpha: NDArray[np.float32], joint: Vocabulary, *,
    route: tuple[float, float, float] = (1.0, 0.0, 0.0), locator: float = 1.0,
) -> Hypothesis:  # fmt: skip
    """A clip of log posteriors (T, V) and alpha (T,), read at once as one segment; `route` and `locator` as in Hypothesis."""
    beam = PrefixBeam(signs=signs_of(joint))
    beam.advance(log_probs)
    best = beam.best()
    tokens = tokens_of(symbols_of(best, joint), 0)
    return Hypothesis(
        tokens, len(tokens), 0, milliseconds(len(log_probs)), float(alpha.mean()), route, best.posterior, best.margin,
        locator,
    )  # fmt: skip
