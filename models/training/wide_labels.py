"""Trains the wide head: multinomial logistic regression over the edits that a gloss may have, AdaGrad, in numba."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.edits import Edit, EditVocabulary
from models.wide_head import BITS, FEATURES, Hashes, WideHead, features, hashed

ALWAYS = 25
"""The most common labels, which any gloss may have."""
EPOCHS, RATE = 3, 0.2
Rows = Sequence[tuple[Sequence[str], Sequence[Edit]]]
Placed = Sequence[tuple[Sequence[str], list[int]]]
Ints = NDArray[np.int64]


def train_wide(rows: Rows, edits: EditVocabulary, *, epochs: int = EPOCHS, seed: int = 0) -> WideHead:
    """The head of rows of (glosses, edits); rows with an edit that is no label are left out."""
    labels = {edit: place for place, edit in enumerate(edits.labels)}
    kept = [
        (glosses, [labels[edit] for edit in said]) for glosses, said in rows if all(edit in labels for edit in said)
    ]
    hashes, gloss, label = _places(kept, edits)
    may = allowed(kept, edits, gloss, label)
    first = np.concatenate([[0], may.sum(1).cumsum()]).astype(np.int64)
    lists = np.nonzero(may)[1].astype(np.uint32)
    table, sums = np.zeros(2**BITS, np.float32), np.zeros(2**BITS, np.float32)
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        rate = RATE * (1 - epoch / epochs)
        _epoch(hashes, gloss, label, first, lists, table, sums, rng.permutation(len(label)), rate)
    return WideHead(table, may)


def _places(rows: Placed, edits: EditVocabulary) -> tuple[Hashes, Ints, Ints]:
    """Features, gloss ids (from 0) and labels of all places of all rows, ends among them."""
    names, ends, before = [], [], []
    for glosses, said in rows:
        name, end = hashed(glosses)
        names.append(np.lib.stride_tricks.sliding_window_view(name, 5))
        ends.append(np.lib.stride_tricks.sliding_window_view(end, 5))
        past = np.array([0, 0, *said[:-1]], np.uint32) + np.uint32(1)
        past[:2] = 0
        before.append(np.stack([past[1:], past[:-1]], 1))
    found = features(np.concatenate(names), np.concatenate(ends), np.concatenate(before))
    gloss = np.array([one - edits.first for glosses, _ in rows for one in edits.gloss_ids(glosses)])
    return found, gloss, np.array([one for _, said in rows for one in said])


def allowed(rows: Placed, edits: EditVocabulary, gloss: Ints, label: Ints) -> NDArray[np.bool_]:
    """(gloss ids, labels): what each gloss or class was seen with, and the most common labels."""
    may = np.zeros((len(edits.glosses), len(edits.labels)), bool)
    may[:, :ALWAYS] = True
    may[gloss, label] = True
    kinds = np.array([edits.class_id(one) - edits.first for glosses, _ in rows for one in (*glosses, "")])
    may[kinds, label] = True
    return may


@njit(cache=False)
def _epoch(hashes, gloss, label, first, lists, table, sums, order, rate):  # type: ignore[no-untyped-def]  # pragma: no cover
    """One pass over all places in `order`; changes `table` and AdaGrad's `sums`."""
    most = np.diff(first).max()
    scores = np.zeros(most, np.float32)
    where = np.zeros((most, FEATURES), np.int64)
    for place in order:
        start, count = first[gloss[place]], first[gloss[place] + 1] - first[gloss[place]]
        top = np.float32(-1e30)
        for k in range(count):
            salt = np.uint32(lists[start + k] * np.uint32(0x9E3779B1))
            score = np.float32(0)
            for f in range(FEATURES):
                mixed = np.uint32((hashes[place, f] ^ salt) * np.uint32(0x85EBCA6B))
                cell = np.int64(mixed >> np.uint32(32 - BITS))
                where[k, f] = cell
                score += table[cell]
            scores[k] = score
            top = max(top, score)
        total = np.float32(0)
        for k in range(count):
            scores[k] = np.exp(scores[k] - top)
            total += scores[k]
        for k in range(count):
            slope = scores[k] / total - (1.0 if lists[start + k] == label[place] else 0.0)
            if abs(slope) < 2e-3:
                continue
            for f in range(FEATURES):
                cell = where[k, f]
                sums[cell] += slope * slope
                table[cell] -= rate * slope / np.sqrt(sums[cell] + 0.5)
