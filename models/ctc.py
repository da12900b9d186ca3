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
    log_probability: float  # of the prefix given all steps so far, less what its signs cost
    stable: int  # leading tokens that all survivors share

    @property
    def tokens(self) -> list[int]:
        """Ids of the tokens."""
        return [emission.token for emission in self.emissions]


class _Prefix:
    """A node of the tree of prefixes; equal prefixes are one node. Nodes are only added, so copies may share them."""

    __slots__ = ("parent", "token", "depth", "children")

    def __init__(self, parent: "_Prefix | None", token: int) -> None:
        self.parent, self.token = parent, token
        self.depth: int = parent.depth + 1 if parent else 0
        self.children: dict[int, _Prefix] = {}

    def child(self, token: int) -> "_Prefix":
        found = self.children.get(token)
        if found is None:
            found = self.children[token] = _Prefix(self, token)
        return found


class _Track(NamedTuple):
    """The last token of an alignment and, behind it, the tokens before; never changed, so beams may share it."""

    before: "_Track | None"
    token: int
    start: int
    end: int
    total: float
    peak: float


@dataclass(slots=True)
class _Beam:
    """A surviving prefix. Probabilities are relative to the sum over all survivors."""

    prefix: _Prefix
    blank: float  # alignments that end in blank
    token: float  # alignments that end in the prefix's last token
    best_blank: float  # the best single alignment of either kind ...
    best_token: float
    blank_track: _Track | None  # ... and its tokens
    token_track: _Track | None


@dataclass(slots=True)
class _Candidate:
    """A prefix after the step in hand; tracks are told as (beam's track, whether it grows by the last token)."""

    blank: float = 0.0
    token: float = 0.0
    best_blank: float = 0.0
    best_token: float = 0.0
    blank_track: _Track | None = None
    token_track: _Track | None = None
    repeats: bool = False  # token_track is the same token held on, not a new one


_Key = tuple[_Prefix | None, int]


@dataclass
class PrefixBeam:
    """The search over one segment: `advance` as log posteriors come, read `best` at any time.

    `signs`: the symbols 1 to `signs` are signs, each of which costs `config.sign_cost`.
    """

    config: BeamConfig = field(default_factory=BeamConfig)
    signs: int = 0
    steps: int = 0  # taken so far
    _beams: list[_Beam] = field(init=False, repr=False)
    _log_total: float = field(init=False, default=0.0, repr=False)
    _worth: float = field(init=False, repr=False)  # what a sign's cost leaves of a probability

    def __post_init__(self) -> None:
        """Start from the empty prefix."""
        self._worth = math.exp(-self.config.sign_cost)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.steps, self._log_total = 0, 0.0
        self._beams = [_Beam(_Prefix(None, BLANK), 1.0, 0.0, 1.0, 0.0, None, None)]

    def copy(self) -> "PrefixBeam":
        """An independent search at the same point."""
        twin = PrefixBeam(self.config, self.signs)
        twin.steps, twin._log_total = self.steps, self._log_total
        twin._beams = list(self._beams)  # beams are replaced, never changed
        return twin

    def advance(self, log_probs: NDArray[np.floating]) -> None:
        """Take the log posteriors of the next steps: (steps, symbols), blank first."""
        if log_probs.ndim != 2 or np.isnan(log_probs).any():
            raise ValueError(
                f"expected log posteriors (steps, symbols), but got shape {log_probs.shape} or NaN: look at the network"
            )
        for row in np.exp(log_probs.astype(np.float64)):
            self._step(self._likely(row))
            self.steps += 1

    def best(self) -> BeamHypothesis:
        """The most probable prefix."""
        return self.hypotheses(1)[0]

    def hypotheses(self, most: int | None = None) -> list[BeamHypothesis]:
        """The surviving prefixes, most probable first."""
        stable = self._shared_depth()
        shares = [beam.blank + beam.token for beam in self._beams] + [0.0]
        return [
            BeamHypothesis(
                emissions=_emissions(beam),
                posterior=share,
                margin=share - after,
                log_probability=self._log_total + math.log(share),
                stable=stable,
            )
            for beam, share, after in zip(self._beams[:most], shares, shares[1:], strict=False)
        ]

    def _likely(self, row: NDArray[np.float64]) -> list[tuple[int, float, float]]:
        """The symbols worth trying with their probabilities, going on and beginning; blank is always among them, and first."""
        count = min(self.config.symbols, len(row))
        top = np.argpartition(row, len(row) - count)[len(row) - count :]
        blank, least = float(row[BLANK]), self.config.floor
        worth = [(int(symbol), float(row[symbol])) for symbol in top if symbol != BLANK and row[symbol] > least]
        return [(BLANK, blank, blank), *((symbol, chance, chance * self._left(symbol)) for symbol, chance in worth)]

    def _left(self, symbol: int) -> float:
        return self._worth if symbol <= self.signs else 1.0

    def _step(self, symbols: list[tuple[int, float, float]]) -> None:
        found: dict[_Key, _Candidate] = {}
        for beam in self._beams:
            _extend(found, beam, symbols)
        best = sorted(found.items(), key=lambda item: item[1].blank + item[1].token, reverse=True)
        best = [item for item in best[: self.config.width] if item[1].blank + item[1].token > 0]
        total = sum(candidate.blank + candidate.token for _, candidate in best)
        assert total > 0, symbols
        self._log_total += math.log(total)
        chances = {symbol: chance for symbol, chance, _ in symbols}
        self._beams = [self._survivor(key, candidate, total, chances.get(key[1], 0.0)) for key, candidate in best]

    def _survivor(self, key: _Key, candidate: _Candidate, total: float, chance: float) -> _Beam:
        parent, token = key
        prefix = parent.child(token) if parent else self._root()
        track = candidate.token_track
        if candidate.best_token > 0:
            track = self._tracked(track, token, chance, candidate.repeats)
        return _Beam(
            prefix,
            candidate.blank / total,
            candidate.token / total,
            candidate.best_blank / total,
            candidate.best_token / total,
            candidate.blank_track,
            track,
        )

    def _tracked(self, track: _Track | None, token: int, chance: float, repeats: bool) -> _Track:
        now = self.steps
        if not repeats:
            return _Track(track, token, now, now + 1, chance, chance)
        assert track is not None
        return _Track(track.before, token, track.start, now + 1, track.total + chance, max(track.peak, chance))

    def _root(self) -> _Prefix:
        prefix = self._beams[0].prefix
        while prefix.parent:
            prefix = prefix.parent
        return prefix

    def _shared_depth(self) -> int:
        shared = self._beams[0].prefix
        for beam in self._beams[1:]:
            shared = _common(shared, beam.prefix)
        return shared.depth


def _extend(found: dict[_Key, _Candidate], beam: _Beam, symbols: Sequence[tuple[int, float, float]]) -> None:
    """Add to `found` what becomes of one prefix under each symbol."""
    prefix, last = beam.prefix, beam.prefix.token
    both = beam.blank + beam.token
    from_blank = beam.best_blank >= beam.best_token
    best, track = (beam.best_blank, beam.blank_track) if from_blank else (beam.best_token, beam.token_track)
    for symbol, chance, begun in symbols:
        if symbol == BLANK:
            same = _candidate(found, (prefix.parent, last))
            same.blank += both * chance
            same.best_blank, same.blank_track = best * chance, track
        elif symbol == last:
            same = _candidate(found, (prefix.parent, last))
            same.token += beam.token * chance
            _better(same, beam.best_token * chance, beam.token_track, True)
            if beam.blank > 0:
                doubled = _candidate(found, (prefix, symbol))
                doubled.token += beam.blank * begun
                _better(doubled, beam.best_blank * begun, beam.blank_track, False)
        else:
            longer = _candidate(found, (prefix, symbol))
            longer.token += both * begun
            _better(longer, best * begun, track, False)


def _candidate(found: dict[_Key, _Candidate], key: _Key) -> _Candidate:
    candidate = found.get(key)
    if candidate is None:
        candidate = found[key] = _Candidate()
    return candidate


def _better(candidate: _Candidate, chance: float, track: _Track | None, repeats: bool) -> None:
    if chance > candidate.best_token:
        candidate.best_token, candidate.token_track, candidate.repeats = chance, track, repeats


def _emissions(beam: _Beam) -> tuple[Emission, ...]:
    track = beam.blank_track if beam.best_blank >= beam.best_token else beam.token_track
    found: list[Emission] = []
    while track:
        mean = track.total / (track.end - track.start)
        found.append(Emission(track.token, track.start, track.end, mean, track.peak))
        track = track.before
    return tuple(reversed(found))


def _common(one: _Prefix, other: _Prefix) -> _Prefix:
    """The longest prefix of both."""
    while one is not other:
        if one.depth < other.depth:
            one, other = other, one
        assert one.parent is not None
        one = one.parent
    return one


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
