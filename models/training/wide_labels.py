"""Trains the wide head: multinomial logistic regression over the edits that a gloss may have, AdaGrad, in numba.

A feature met once in all of training tells nothing and is left out; a fifth of the others is left out at every look, so that long
contexts, which are learned by heart, do not push out the short ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from models.edit_space import STATIC, Choices, EditSpace, Hashes, Ints
from models.training.edit_rows import Placed
from models.wide_head import BITS, DYNAMIC, JOINT, Scores, Table, WideHead, dynamic, score, walked

EPOCHS, RATE, DROPPED, LEAST = 3, 0.2, 0.2, 2


def train_wide(rows: Placed, space: EditSpace, *, bits: int = BITS, epochs: int = EPOCHS, seed: int = 0) -> WideHead:
    """The head of lines of (glosses, labels)."""
    places, choices = space.places([glosses for glosses, _ in rows]), space.choices()
    states, chosen = walked(places, np.array([one for _, said in rows for one in said], np.int64), choices)
    features = np.empty((len(chosen), STATIC + DYNAMIC), np.uint32)
    features[:, :STATIC] = places.static
    _dynamic_features(states, places.near, features[:, STATIC:])
    _forget_rare(features, LEAST)
    table, squares = Table(np.zeros(2**bits, np.float32), bits), np.zeros(2**bits, np.float32)
    rng, seen = np.random.default_rng(seed), Seen(places.types, features, states, chosen)
    for epoch in range(epochs):
        rate = RATE * (1 - epoch / epochs)
        order = rng.permutation(np.flatnonzero(chosen >= 0))
        _epoch(order, seen, choices, table, squares, Scores.of(choices), rate, seed + epoch)
    return WideHead(table.weights * np.float32(1 - DROPPED))


class Seen(NamedTuple):
    """All places to learn from: types, features, states and the numbers of their labels among what they may be."""

    types: Ints
    features: Hashes
    states: Hashes
    chosen: Ints


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
    order: Ints, seen: Seen, choices: Choices, table: Table, squares: Any, found: Scores, rate: float, seed: int
) -> None:
    """One pass over places in `order`; changes the table's weights and AdaGrad's `squares`."""
    np.random.seed(seed)
    slopes, own = np.zeros(found.sums.shape, np.float32), np.zeros(seen.features.shape[1], np.uint32)
    for place in order:
        kind, cells = seen.types[place], found.cells
        for number in range(len(own)):
            own[number] = seen.features[place, number] if np.random.random() >= DROPPED else np.uint32(0)
        score(kind, own, seen.states[place], choices, table, found)
        first, count = choices.start[kind], choices.start[kind + 1] - choices.start[kind]
        shares = np.exp(found.sums[2, :count] - found.sums[2, :count].max())
        shares /= shares.sum()
        slopes[:] = 0
        for number in range(count):
            slope = shares[number] - (1.0 if number == seen.chosen[place] else 0.0)
            slopes[0, choices.before_at[first + number]] += slope
            slopes[1, choices.rest_at[first + number]] += slope
            _learn(cells[2, number, : len(JOINT) + 5], slope, rate, table.weights, squares)
        for number in range(choices.before_start[kind + 1] - choices.before_start[kind]):
            _learn(cells[0, number], slopes[0, number], rate, table.weights, squares)
        for number in range(choices.rest_start[kind + 1] - choices.rest_start[kind]):
            _learn(cells[1, number], slopes[1, number], rate, table.weights, squares)
