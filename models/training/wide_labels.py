"""Trains the wide head: multinomial logistic regression over the edits that a gloss may have, AdaGrad, in numba.

A feature met once in all of training tells nothing and is left out; a fifth of the others is left out at every look, so that long
contexts, which are learned by heart, do not push out the short ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from models.edit_space import STATIC, Choices, EditSpace, Hashes, Ints
from models.training.edit_rows import Placed
from models.wide_head import BITS, DYNAMIC, JOINT, WideHead, dynamic, score, walked

EPOCHS, RATE, DROPPED, LEAST = 3, 0.2, 0.2, 2


def train_wide(rows: Placed, space: EditSpace, *, bits: int = BITS, epochs: int = EPOCHS, seed: int = 0) -> WideHead:
    """The head of lines of (glosses, labels)."""
    places, choices = space.places([glosses for glosses, _ in rows]), space.choices()
    states, chosen = walked(places, np.array([one for _, said in rows for one in said], np.int64), choices)
    features = np.empty((len(chosen), STATIC + DYNAMIC), np.uint32)
    features[:, :STATIC] = places.static
    _dynamic_features(states, places.near, features[:, STATIC:])
    _forget_rare(features, LEAST)
    table, sums = np.zeros(2**bits, np.float32), np.zeros(2**bits, np.float32)
    rng, most = np.random.default_rng(seed), int(np.diff(choices.start).max())
    for epoch in range(epochs):
        rate = RATE * (1 - epoch / epochs)
        order = rng.permutation(np.flatnonzero(chosen >= 0))
        _epoch(order, places.types, features, states, chosen, choices, JOINT, table, sums, rate, most, seed + epoch)
    return WideHead(table * np.float32(1 - DROPPED))


@njit(fastmath=True, error_model="numpy")
def _dynamic_features(states: Hashes, near: Hashes, into: Hashes) -> None:
    for place in range(len(states)):
        dynamic(states[place], near[place], into[place])


@njit(fastmath=True, error_model="numpy")
def _forget_rare(features: Hashes, least: int) -> None:
    """Makes features 0 that come less than `least` times (counted in 2 ** 24 hashed counters a column)."""
    for column in range(features.shape[1]):
        counts = np.zeros(1 << 24, np.uint8)
        for place in range(len(features)):
            at = np.uint32(features[place, column] * np.uint32(0x85EBCA6B)) >> np.uint32(8)
            counts[at] = min(counts[at] + 1, 200)
        for place in range(len(features)):
            if counts[np.uint32(features[place, column] * np.uint32(0x85EBCA6B)) >> np.uint32(8)] < least:
                features[place, column] = 0


@njit(fastmath=True, error_model="numpy")
def _learn(cells: Any, slope: float, rate: float, table: Any, sums: Any) -> None:
    """One step of AdaGrad on the weights in `cells`."""
    if abs(slope) < 2e-3:
        return
    for cell in cells:
        if cell != 0:
            sums[cell] += slope * slope
            table[cell] -= rate * slope / np.sqrt(sums[cell] + 0.5)


@njit(fastmath=True, error_model="numpy")
def _epoch(
    order: Ints, types: Ints, features: Hashes, states: Hashes, chosen: Ints, choices: Choices, joint: Ints, table: Any,
    sums: Any, rate: float, most: int, seed: int,
) -> None:  # fmt: skip
    """One pass over places in `order`; changes `table` and AdaGrad's `sums`."""
    np.random.seed(seed)
    cells, found = np.zeros((3, most, features.shape[1]), np.uint32), np.zeros((3, most), np.float32)
    slopes, bits = np.zeros((2, most), np.float32), int(np.log2(len(table)) + 0.5)
    own = np.zeros(features.shape[1], np.uint32)
    for place in order:
        kind = types[place]
        for number in range(len(own)):
            own[number] = features[place, number] if np.random.random() >= 0.2 else np.uint32(0)
        score(kind, own, states[place], choices, joint, bits, table, cells, found)
        first, count = choices.start[kind], choices.start[kind + 1] - choices.start[kind]
        shares = np.exp(found[2, :count] - found[2, :count].max())
        shares /= shares.sum()
        slopes[:] = 0
        for number in range(count):
            slope = shares[number] - (1.0 if number == chosen[place] else 0.0)
            slopes[0, choices.before_at[first + number]] += slope
            slopes[1, choices.rest_at[first + number]] += slope
            _learn(cells[2, number, : len(joint) + 5], slope, rate, table, sums)
        for number in range(choices.before_start[kind + 1] - choices.before_start[kind]):
            _learn(cells[0, number], slopes[0, number], rate, table, sums)
        for number in range(choices.rest_start[kind + 1] - choices.rest_start[kind]):
            _learn(cells[1, number], slopes[1, number], rate, table, sums)
