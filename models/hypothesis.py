"""What the translator says about a stretch of signing: tokens with times, before and after the language model.

This file knows nothing of networks: it turns the decoded symbols of one segment into tokens (a run of letters is one
fingerspelled word) and holds the records that leave the translator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.clock import FRAME_RATE_HZ

SPELLED_GAP_MS = 700
"""Letters further apart than this belong to two spelled words (letters come 4 to 6 a second)."""

Kind = Literal["sign", "fingerspelling"]
Source = Literal["sign", "fingerspelling", "lips", "language"]


@dataclass(frozen=True)
class Decoded:
    """One symbol of the joint vocabulary, steps counted from the segment's start, `end` exclusive."""

    text: str
    start: int
    end: int
    posterior: float


@dataclass(frozen=True)
class Token:
    """A gloss ("NAME") or one whole spelled word ("MARIA"), in media time."""

    text: str
    kind: Kind
    start_ms: int
    end_ms: int
    posterior: float
    letters: tuple[float, ...] = ()
    """Posterior of each letter of a spelled word."""


@dataclass(frozen=True)
class Hypothesis:
    """The best reading of a segment so far.

    `stable` counts the leading tokens that later input cannot change; `route` is the share of sign, fingerspelling and
    rest steps; `posterior` is the best hypothesis' share among the surviving beams, `margin` its lead over the
    runner-up, `locator` the mean of "a hand was seen" over the signing steps. All shares lie in 0..1. `unread_ms` is the
    longest stretch of signing in which no token was read.
    """

    tokens: tuple[Token, ...]
    stable: int
    start_ms: int
    end_ms: int
    alpha_mean: float
    route: tuple[float, float, float]
    posterior: float
    margin: float
    locator: float
    unread_ms: int = 0


@dataclass(frozen=True)
class Wanted:
    """One segment whose caption is asked for, with the stream's names, last captions and adapter; `grows`: it still runs."""

    hypothesis: Hypothesis
    vocabulary: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    adapter: str | None = None
    grows: bool = False


@dataclass(frozen=True)
class Update:
    """What one chunk did for one stream; `at_ms` is media time since the slot was opened."""

    kind: Literal["started", "hypothesis", "ended"]
    segment_id: int
    at_ms: int
    hypothesis: Hypothesis | None


@dataclass(frozen=True)
class Word:
    """A word of a caption, with its calibrated probability of being right and where it came from."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    source: Source


@dataclass(frozen=True)
class Caption:
    """A sentence and its calibrated probability of being right; withholding it is the caller's decision."""

    text: str
    words: tuple[Word, ...]
    confidence: float


@dataclass(frozen=True)
class StreamOptions:
    """What a stream may choose: when a segment ends, which words its fingerspelling is checked against, which adapter of
    the language model writes its sentences."""

    endpoint_ms: int = 700
    max_segment_ms: int = 20_000
    vocabulary: tuple[str, ...] = ()
    adapter: str | None = None

    def __post_init__(self) -> None:
        if not 200 <= self.endpoint_ms <= 5_000:
            raise ValueError(f"endpoint_ms must lie in 200..5000 (rest that ends a segment), got {self.endpoint_ms}")
        if not 1_000 <= self.max_segment_ms <= 60_000:
            raise ValueError(f"max_segment_ms must lie in 1000..60000, got {self.max_segment_ms}")


@dataclass(frozen=True)
class Recall:
    """A stream to go on with in `slot`, which another process left: `numbers` (NUMBERS,) after its last chunk or finalize,
    `features` (chunks, CHUNK_FRAMES, STEP) of its last chunks, the newest last. Features from before the networks last
    started empty are not used, so it does not matter how many there are."""

    slot: int
    options: StreamOptions
    numbers: NDArray[np.float64]
    features: NDArray[np.float32]


def milliseconds(steps: int) -> int:
    """Media time of a number of steps."""
    return round(steps * 1000 / FRAME_RATE_HZ)


def steps_of(media_ms: int) -> int:
    """The reverse of `milliseconds`."""
    return round(media_ms * FRAME_RATE_HZ / 1000)


def tokens_of(symbols: list[Decoded], origin_ms: int) -> tuple[Token, ...]:
    """Joins runs of letters into spelled words; `origin_ms` is the media time of the segment's first step."""
    tokens: list[Token] = []
    for symbol in symbols:
        start_ms, end_ms = origin_ms + milliseconds(symbol.start), origin_ms + milliseconds(symbol.end)
        if not symbol.text.startswith("#"):
            tokens.append(Token(symbol.text, "sign", start_ms, end_ms, symbol.posterior))
        elif tokens and tokens[-1].kind == "fingerspelling" and start_ms - tokens[-1].end_ms <= SPELLED_GAP_MS:
            tokens[-1] = _spelled_on(tokens[-1], symbol, end_ms)
        else:
            letters = (symbol.posterior,)
            tokens.append(Token(symbol.text[1:], "fingerspelling", start_ms, end_ms, symbol.posterior, letters))
    return tuple(tokens)


def _spelled_on(word: Token, symbol: Decoded, end_ms: int) -> Token:
    letters = (*word.letters, symbol.posterior)
    return replace(
        word, text=word.text + symbol.text[1:], end_ms=end_ms, posterior=sum(letters) / len(letters), letters=letters
    )
