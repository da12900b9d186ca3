"""A linear head over hashed features that stands beside the text model where it says edits (wide and deep, Cheng et al. 2016).

What an edit is depends mostly on a gloss, its neighbours and what was said last: that much a linear model learns in minutes.
The score of a label is the sum of three: of what it puts before the gloss, of what becomes of the gloss (each over all features,
so that "the" is learned once for all endings), and of both together with the words that come of it (few features). The table
is hashed (Weinberger et al. 2009) and has five bits a weight on disk, small ones left out (Han et al. 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models import packed
from models.edit_space import STATIC, Choices, Hashes, Ints, Places
from models.kept import kept

BITS = 24
LEVELS = 15
"""Of a weight on disk, to either side of zero: five bits."""
FLOOR = -12.0
"""Log-probability of an edit that the gloss may not have."""
FAINT = 2
"""Weights of so few levels say little: nine in ten."""
WIDE = f"wide{packed.ENDING}"
DYNAMIC = 24
"""Features of what was said before a place."""
STATE = 9
"""What is known of what was said: three last labels, two last rests, three last words, the last verb's kind."""
JOINT = np.array([0, 1, 2, 3, 11, 17, 15, 16])
"""Static features of whole labels."""
_VERBS = ("was were had did said went came took made became began", "is are has does am",
          "will would shall should must can could may might", "which who that")  # fmt: skip
VERBS = np.zeros((4, 16), np.uint32)
for _row, _words in enumerate(_VERBS):
    VERBS[_row, : len(_words.split())] = [crc32(word.encode()) for word in _words.split()]
"""Hashes of words by which the tense goes on; the last row's begin a clause."""


class Table(NamedTuple):
    """(2 ** bits,) weights."""

    weights: Any
    bits: int


class Scores(NamedTuple):
    """Of a place's befores, rests and whole labels the scores, `sums` (3, most), and the weights' places that they are sums of,
    `cells` (3, most, features). Those of the candidates, with all that is said of them, stand in sums[2]."""

    sums: Any
    cells: Any

    @staticmethod
    def of(choices: Choices) -> Scores:
        """Room for the scores of any place."""
        most = int(np.diff(choices.start).max())
        return Scores(np.zeros((3, most), np.float32), np.zeros((3, most, STATIC + DYNAMIC), np.uint32))


@kept
def _mix(one: Any, other: Any, salt: int) -> Any:
    both = np.uint32(one * np.uint32(0xCC9E2D51)) ^ np.uint32(
        np.uint32(other * np.uint32(0x1B873593)) + np.uint32(salt * 0x9E3779B1 & 0xFFFFFFFF)
    )
    both ^= both >> np.uint32(15)
    both = np.uint32(both * np.uint32(0x85EBCA6B))
    return np.uint32(both ^ (both >> np.uint32(13)))


@kept
def _cell(feature: Any, label: Any, bits: int) -> Any:
    """Where the weight of a feature for a label lies; 0, which holds nothing, for the feature 0, which is none."""
    if feature == 0:
        return np.uint32(0)
    both = np.uint32((feature ^ np.uint32(label * np.uint32(0x9E3779B1))) * np.uint32(0x85EBCA6B))
    both ^= both >> np.uint32(15)
    return np.uint32(both * np.uint32(0xC2B2AE35)) >> np.uint32(32 - bits)


@kept
def dynamic(state: Hashes, near: Hashes, into: Hashes) -> None:
    """Features of a place of what was said before it, `into` (DYNAMIC,)."""
    l1, l2, r1, r2, w1, w2, w3, verb = state[0], state[1], state[3], state[4], state[5], state[6], state[7], state[8]
    left, here, right, end, group, next_group, fine = near[0], near[1], near[2], near[3], near[4], near[5], near[6]
    labels, words, rests = _mix(l1, l2, 1), _mix(w1, w2, 3), _mix(r1, r2, 9)
    into[0], into[1], into[2], into[3] = (
        _mix(l1, here, 101),
        _mix(l1, end, 102),
        _mix(labels, here, 103),
        _mix(labels, end, 104),
    )
    into[4], into[5], into[6], into[7] = (
        _mix(w1, w1, 105),
        _mix(w1, here, 106),
        _mix(w1, w2, 107),
        _mix(words, here, 108),
    )
    into[8], into[9] = _mix(words, w3, 109), _mix(_mix(w1, here, 5), right, 110)
    into[10], into[11], into[12] = _mix(w1, right, 111), _mix(w1, group, 112), _mix(words, group, 113)
    into[13], into[14] = _mix(_mix(w1, group, 7), next_group, 114), _mix(words, fine, 115)
    into[15], into[16] = _mix(rests, group, 116), _mix(_mix(r1, left, 10), here, 117)
    into[17], into[18], into[19] = _mix(verb, here, 118), _mix(verb, end, 119), _mix(verb, group, 120)
    into[20], into[21] = _mix(_mix(r1, group, 11), next_group, 121), _mix(l1, l2, 122)
    into[22], into[23] = _mix(_mix(l1, left, 12), here, 123), _mix(_mix(w1, fine, 13), right, 124)


@kept
def begin(state: Hashes) -> None:
    """The state of a line of which nothing is said."""
    state[:] = 0
    state[5:8] = 7


@kept
def _hear(state: Hashes, word: Any, verbs: Hashes) -> None:
    state[7], state[6], state[5] = state[6], state[5], word
    for row in range(len(verbs)):
        for verb in verbs[row]:
            if verb != 0 and verb == word:
                state[8] = (state[8] | np.uint32(16)) if row == 3 else ((state[8] & np.uint32(16)) | np.uint32(row + 1))


@kept
def say(state: Hashes, kind: int, label: int, choices: Choices, verbs: Hashes) -> int:
    """Puts a label of a gloss of type `kind` behind what was said; gives its number among the type's, -1 if it has none."""
    chosen = -1
    for place in range(choices.start[kind], choices.start[kind + 1]):
        if choices.label[place] == label:
            chosen = place
    for number in range(choices.many[label] - 1, -1, -1):
        _hear(state, choices.befores[label, number], verbs)
    if chosen >= 0 and choices.word[chosen] != 0:
        _hear(state, choices.word[chosen], verbs)
    state[2], state[1], state[0] = state[1], state[0], np.uint32(label + 1)
    state[4], state[3] = state[3], np.uint32(choices.rest[label] + 1)
    return chosen - choices.start[kind] if chosen >= 0 else -1


@kept
def states_of(kinds: Ints, said: Ints, choices: Choices, verbs: Hashes, states: Hashes) -> None:
    """The states (rows, STATE) behind labels `said` (rows, places) of glosses of `kinds` (rows, places)."""
    for row in range(len(said)):
        begin(states[row])
        for place in range(said.shape[1]):
            say(states[row], kinds[row, place], said[row, place], choices, verbs)


@kept
def _walk(kinds: Ints, starts: Ints, said: Ints, choices: Choices, verbs: Hashes, states: Hashes, chosen: Ints) -> None:
    state = np.zeros(states.shape[1], np.uint32)
    for line in range(len(starts) - 1):
        begin(state)
        for place in range(starts[line], starts[line + 1]):
            states[place] = state
            chosen[place] = say(state, kinds[place], said[place], choices, verbs)


def walked(places: Places, said: Ints, choices: Choices) -> tuple[Hashes, Ints]:
    """The states (places, STATE) before each place if `said` (places,) are the labels of all, and their numbers among what each
    gloss may have, or -1."""
    states, chosen = np.zeros((len(said), STATE), np.uint32), np.zeros(len(said), np.int64)
    _walk(places.types, places.starts, said, choices, VERBS, states, chosen)
    return states, chosen


def turned(glosses: Sequence[str], said: Sequence[int]) -> tuple[list[str], list[int]]:
    """A line with its labels as it is read from its end; the label of the end stays the last one."""
    return list(glosses[::-1]), [*said[:-1][::-1], said[-1]]


@kept
def _sums(features: Hashes, ids: Ints, salt: int, table: Table, cells: Any, sums: Any) -> None:
    for place in range(len(ids)):
        label, total = np.uint32(ids[place] + salt), np.float32(0)
        for number in range(len(features)):
            cell = _cell(features[number], label, table.bits)
            cells[place, number] = cell
            total += table.weights[cell]
        sums[place] = total


@kept
def score(kind: int, features: Hashes, state: Hashes, choices: Choices, table: Table, found: Scores) -> None:
    """Fills `found` for a place; `features` are STATIC then DYNAMIC ones."""
    bits, joint, cells, sums = table.bits, JOINT, found.cells, found.sums
    befores = choices.before_list[choices.before_start[kind] : choices.before_start[kind + 1]]
    rests = choices.rest_list[choices.rest_start[kind] : choices.rest_start[kind + 1]]
    _sums(features, befores, 1001, table, cells[0], sums[0])
    _sums(features, rests, 20001, table, cells[1], sums[1])
    first, static = choices.start[kind], len(features) - DYNAMIC
    for place in range(first, choices.start[kind + 1]):
        label, word, number = choices.label[place], choices.word[place], place - first
        salt, count, own = np.uint32(label + 40001), choices.many[label], cells[2, number]
        for at in range(len(joint)):
            own[at] = _cell(features[joint[at]], salt, bits)
        own[len(joint)], own[len(joint) + 1] = (
            _cell(features[static], salt, bits),
            _cell(features[static + 5], salt, bits),
        )
        near = choices.befores[label, 0] if count > 0 else state[5]
        far = choices.befores[label, 1] if count > 1 else state[5] if count == 1 else state[6]
        early = choices.befores[label, count - 1] if count > 0 else word
        own[len(joint) + 2] = _cell(_mix(near, word, 201), np.uint32(1), bits)
        own[len(joint) + 3] = _cell(_mix(_mix(far, near, 15), word, 202), np.uint32(2), bits)
        own[len(joint) + 4] = _cell(_mix(_mix(state[6], state[5], 16), early, 203), np.uint32(3), bits)
        total = sums[0, choices.before_at[place]] + sums[1, choices.rest_at[place]]
        for at in range(len(joint) + 5):
            total += table.weights[own[at]]
        sums[2, number] = total


@kept
def _log_probs(
    kinds: Ints, static: Hashes, near: Hashes, states: Hashes, choices: Choices, table: Table, found: Scores, into: Any
) -> None:
    features = np.empty(static.shape[1] + DYNAMIC, np.uint32)
    for row in range(len(kinds)):
        first, last = choices.start[kinds[row]], choices.start[kinds[row] + 1]
        features[: static.shape[1]] = static[row]
        dynamic(states[row], near[row], features[static.shape[1] :])
        score(kinds[row], features, states[row], choices, table, found)
        own = found.sums[2, : last - first]
        own = own - own.max()
        own = own - np.log(np.exp(own).sum())
        for place in range(first, last):
            into[row, choices.label[place]] = max(own[place - first], into[row, choices.label[place]])


@dataclass(frozen=True)
class WideHead:
    """`table` (2 ** bits,) weights; the first one stays 0."""

    table: NDArray[np.float32]

    @property
    def bits(self) -> int:
        return len(self.table).bit_length() - 1

    def log_probs(self, places: Places, at: Ints, states: Hashes, choices: Choices, labels: int) -> NDArray[np.float32]:
        """(rows, labels) for the places `at` (rows,) of `places` after `states` (rows, STATE); FLOOR for what may not be."""
        into, table = np.full((len(at), labels), FLOOR, np.float32), Table(self.table, self.bits)
        _log_probs(
            places.types[at], places.static[at], places.near[at], states, choices, table, Scores.of(choices), into
        )  # fmt: skip
        return into

    def sparse(self) -> WideHead:
        """Without its faint weights (magnitude pruning, Han et al. 2015): what is left takes a third of the room on disk."""
        return WideHead(np.where(np.abs(self.table) > (FAINT + 0.5) * self._level, self.table, np.float32(0)))

    @property
    def _level(self) -> float:
        """Of weights on disk."""
        return float(np.quantile(np.abs(self.table), 0.9999)) / LEVELS or 1.0

    def save(self, path: Path) -> None:
        """Packed, five bits a weight."""
        table = np.clip(np.rint(self.table / self._level), -LEVELS, LEVELS).astype(np.int8)
        packed.write(path, {"table": table, "scale": np.array(self._level)})

    @staticmethod
    def load(path: Path) -> WideHead:
        held = packed.read(path)
        return WideHead(held["table"].astype(np.float32) * np.float32(held["scale"]))


assert JOINT.max() < STATIC
