"""CTC prefix beam search that can pause between chunks (Graves 2006; Hannun et al., arXiv 1408.2873).

A sign that is held or repeats its movement makes networks waver between likenesses, and each change of mind would be another
sign in the text. So a sign that begins costs something (a word insertion penalty, as in speech recognition: Young et al.,
The HTK Book): it must be worth more than its cost, over all its steps, than not saying it.

Beside the probability of each prefix, summed over all its alignments, the search carries the best single alignment,
from which come the times and posteriors of tokens. What all surviving prefixes share is stable: no later input can
change it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models import beam
from models.config import BeamConfig
from models.vocabulary import BLANK


class Emission(NamedTuple):
    """One token on the best alignment: the steps it spans (end is exclusive) and its posterior over them."""

    token: int
    start: int
    end: int
    mean: float
    peak: float


@dataclass(frozen=True)
class BeamHypothesis:
    """One prefix, how it stands among the survivors, and how much of it cannot change."""

    emissions: tuple[Emission, ...]
    posterior: float  # among the surviving prefixes, 0..1
    margin: float  # posterior less that of the next prefix; 1 where there is none
    log_probability: float  # of the prefix given all steps so far, less what its tokens cost
    stable: int  # leading tokens that all survivors share

    @property
    def tokens(self) -> list[int]:
        """Ids of the tokens."""
        return [emission.token for emission in self.emissions]


@dataclass
class PrefixBeam:
    """The search over one segment: `advance` as log posteriors come, read `best` at any time.

    `signs`: the symbols 1 to `signs` are signs, each of which costs `config.sign_cost`. `letters`: the symbols behind them are
    letters, of which each costs what words make of it after those before (`letter_model.costs`).
    """

    config: BeamConfig = field(default_factory=BeamConfig)
    signs: int = 0
    letters: NDArray[np.float32] = field(default_factory=lambda: beam.NO_FACTORS, repr=False, compare=False)
    steps: int = 0  # taken so far
    _log_total: float = field(init=False, default=0.0, repr=False)
    _search: beam.Search = field(init=False, repr=False, compare=False)
    _options: beam.Options = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Start from the empty prefix."""
        config = self.config
        worth = math.exp(-config.sign_cost)  # what a sign's cost leaves of a probability
        self._options = (config.width, config.symbols, config.floor, self.signs, worth)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.steps, self._log_total = 0, 0.0
        self._search = beam.empty(self.config.width)

    def copy(self) -> "PrefixBeam":
        """An independent search at the same point."""
        twin = PrefixBeam(self.config, self.signs, self.letters)
        twin.steps, twin._log_total = self.steps, self._log_total
        twin._search = tuple(part.copy() for part in self._search)  # type: ignore[assignment]
        return twin

    def advance(self, log_probs: NDArray[np.floating]) -> None:
        """Take the log posteriors of the next steps: (steps, symbols), blank first."""
        if log_probs.ndim != 2 or np.isnan(log_probs).any():
            raise ValueError(
                f"expected log posteriors (steps, symbols), but got shape {log_probs.shape} or NaN: look at the network"
            )
        self._search = beam.with_room(self._search, len(log_probs))
        rows = np.ascontiguousarray(log_probs, np.float64)
        self._log_total = beam.advance(rows, self._options, self.letters, self._search, self.steps, self._log_total)
        assert math.isfinite(self._log_total), log_probs
        self.steps += len(rows)

    def best(self) -> BeamHypothesis:
        """The most probable prefix."""
        return self.hypotheses(1)[0]

    def hypotheses(self, most: int | None = None) -> list[BeamHypothesis]:
        """The surviving prefixes, most probable first."""
        stable = int(beam.shared(self._search))
        shares = [*beam.shares(self._search), 0.0]
        return [
            BeamHypothesis(self._emissions(number), share, share - after, self._log_total + math.log(share), stable)
            for number, (share, after) in enumerate(zip(shares[:most], shares[1:], strict=False))
        ]

    def _emissions(self, number: int) -> tuple[Emission, ...]:
        spans, posteriors = beam.alignment(self._search, number)
        return tuple(Emission(*span, *row) for span, row in zip(spans.tolist(), posteriors.tolist(), strict=True))


def warm_up() -> None:
    """Compiles the search, or loads what was compiled before."""
    search = PrefixBeam()
    search.advance(np.log(np.full((1, 2), 0.5)))
    search.best()


def collapse(symbols: Sequence[int]) -> list[int]:
    """CTC's reading of one symbol a step: repeats merged, blanks dropped."""
    return [
        symbol
        for index, symbol in enumerate(symbols)
        if symbol != BLANK and (index == 0 or symbol != symbols[index - 1])
    ]


def best_path(probabilities: NDArray[np.floating]) -> list[int]:
    """The quick reading, without a search: the likeliest symbol of each step (steps, symbols), collapsed; of logs or not."""
    return collapse([int(symbol) for symbol in probabilities.argmax(axis=-1)])
