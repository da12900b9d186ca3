"""What the search over joint log posteriors read: as symbols with their times, as the hypothesis of a segment or a whole clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models import beam, letter_model
from models.config import BeamConfig
from models.ctc import BeamHypothesis, PrefixBeam
from models.hypothesis import Decoded, Hypothesis, Token, milliseconds, steps_of, tokens_of
from models.segments import Segmenter
from models.vocabulary import Vocabulary, signs_of


def search(joint: Vocabulary, config: BeamConfig | None = None, expected: tuple[str, ...] = ()) -> PrefixBeam:
    """The search for what a joint vocabulary's signs and letters say, as it begins; `expected`: words and names that a session
    says will be spelled."""
    config = config or BeamConfig()
    spelled = beam.NO_FACTORS
    if config.letter_weight and expected:
        spelled = letter_model.costs_with(expected, config.letter_weight, config.word_cost)
    elif config.letter_weight:
        spelled = letter_model.default_costs(config.letter_weight, config.word_cost)
    return PrefixBeam(config, signs_of(joint), spelled)


def symbols_of(best: BeamHypothesis, joint: Vocabulary) -> list[Decoded]:
    """The symbols of a reading, each with its steps and posterior."""
    return [Decoded(joint.decode([e.token])[0], e.start, e.end, e.peak) for e in best.emissions]


def reading_of(
    log_probs: NDArray[np.float32], alpha: NDArray[np.float32], joint: Vocabulary, *,
    route: tuple[float, float, float] = (1.0, 0.0, 0.0), locator: float = 1.0,
) -> Hypothesis:  # fmt: skip
    """A clip of log posteriors (T, V) and alpha (T,), read at once as one segment; `route` and `locator` as in Hypothesis."""
    reading = search(joint)
    reading.advance(log_probs)
    best = reading.best()
    tokens = tokens_of(symbols_of(best, joint), 0)
    return Hypothesis(
        tokens, len(tokens), 0, milliseconds(len(log_probs)), float(alpha.mean()), route, best.posterior, best.margin,
        locator,
    )  # fmt: skip


def reading_so_far(
    reading: PrefixBeam,
    segmenter: Segmenter,
    joint: Vocabulary,
    *,
    alpha: float,
    locator: float,
    signing: NDArray[np.bool_],
) -> Hypothesis:
    """Of a running segment; `alpha` and `locator` are means over its steps, `signing` (T,) says in which of them somebody
    signs or spells."""
    assert segmenter.start is not None, "no segment runs"
    best = reading.best()
    symbols, origin_ms = symbols_of(best, joint), milliseconds(segmenter.start)
    tokens = tokens_of(symbols, origin_ms)
    stable = len(tokens_of(symbols[: best.stable], origin_ms))
    return Hypothesis(
        tokens, stable - 1 if 0 < stable < len(tokens) and tokens[stable - 1].kind != "sign" else stable,
        origin_ms, milliseconds(segmenter.last_signing), alpha, segmenter.shares(), best.posterior, best.margin, locator,
        milliseconds(longest_unread(signing, tokens, origin_ms)),
    )  # fmt: skip


def longest_unread(signing: NDArray[np.bool_], tokens: Sequence[Token], origin_ms: int = 0) -> int:
    """The most steps in a row of `signing` (T,) with no token; `origin_ms` is the media time of the first."""
    unread = signing.copy()
    for token in tokens:
        unread[steps_of(token.start_ms - origin_ms) : steps_of(token.end_ms - origin_ms)] = False
    edges = np.flatnonzero(np.diff(unread, prepend=False, append=False))
    return int((edges[1::2] - edges[::2]).max(initial=0))
