"""A linear head over hashed features that stands beside the text model where it says edits (wide and deep, Cheng et al. 2016).

What an edit is depends mostly on a gloss and its neighbours: that much a linear model learns in a minute, while a small Llama
trained on a CPU needs hours. Their log-probabilities are added. The table is hashed (Weinberger et al. 2009), so there is no
list of features; every gloss has a list of the edits that it may have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

BITS = 22
FEATURES = 18
FLOOR = -12.0
"""Log-probability of an edit that the gloss was never seen with."""
WIDE = "wide.npz"
_KIND = re.compile(r"^(?:X-|DESC-)")

Hashes = NDArray[np.uint32]


def hashed(glosses: Sequence[str]) -> tuple[Hashes, Hashes]:
    """(glosses + 5,) hashes of names and of endings, the line's end among them, two places of padding on both sides."""
    names = [*"<<", *glosses, "</s>", *">>"]
    ends = [_KIND.match(name)[0] + name[-3:] if _KIND.match(name) else name[-3:] for name in names]  # type: ignore[index]
    return tuple(np.array([crc32(text.encode()) for text in texts], np.uint32) for texts in (names, ends))  # type: ignore[return-value]


def _pair(one: Hashes, other: Hashes, salt: int) -> Hashes:
    mixed = one * np.uint32(0xCC9E2D51) ^ (other * np.uint32(0x1B873593) + np.uint32(salt * 0x9E3779B1 & 0xFFFFFFFF))
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x85EBCA6B)
    folded: Hashes = mixed ^ (mixed >> np.uint32(13))
    return folded


def features(names: Hashes, ends: Hashes, before: Hashes) -> Hashes:
    """(places, FEATURES) of places: hashes of five glosses around (places, 5) and of their endings, labels of the two places
    before (places, 2), the nearer one first, counted from 1."""
    far_left, left, here, right, far_right = names.T
    _, left_end, end, right_end, _ = ends.T
    last, last_but_one = before.T
    pairs = [
        (here, here), (left, here), (here, right), (left, left), (right, right), (far_left, left), (right, far_right),
        (end, end), (left_end, end), (end, right_end), (last, here), (last, end), (_pair(last, last_but_one, 90), end),
        (_pair(last, left, 91), here), (_pair(left, here, 92), right), (last, right), (_pair(left_end, end, 93), right_end),
        (_pair(last, last_but_one, 94), here),
    ]  # fmt: skip
    assert len(pairs) == FEATURES
    return np.stack([_pair(one, other, salt) for salt, (one, other) in enumerate(pairs, start=1)], 1)


def cells(hashes: Hashes, labels: Hashes) -> NDArray[np.int64]:
    """Cells of the table for features (places, FEATURES, 1) and labels (labels,)."""
    mixed = (hashes ^ (labels * np.uint32(0x9E3779B1))) * np.uint32(0x85EBCA6B)
    return (mixed >> np.uint32(32 - BITS)).astype(np.int64)


@dataclass(frozen=True)
class WideHead:
    """`table` (2 ** BITS,) weights; `may` (gloss ids, labels) bool: the edits that a gloss may have."""

    table: NDArray[np.float32]
    may: NDArray[np.bool_]

    def log_probs(self, hashes: Hashes, gloss: NDArray[np.int64]) -> NDArray[np.float32]:
        """(places, labels) from features (places, FEATURES) and places' gloss ids, counted from the first gloss."""
        may = self.may[gloss]
        found = np.full(may.shape, FLOOR, np.float32)
        for place, row in enumerate(may):
            labels = np.flatnonzero(row).astype(np.uint32)
            scores = self.table[cells(hashes[place][:, None], labels)].sum(0)
            scores -= scores.max()
            found[place, labels] = np.maximum(scores - np.log(np.exp(scores).sum()), FLOOR)
        return found

    def save(self, path: Path) -> None:
        """Half precision, compressed."""
        np.savez_compressed(path, table=self.table.astype(np.float16), may=np.packbits(self.may, axis=1),
                            labels=self.may.shape[1])  # fmt: skip

    @staticmethod
    def load(path: Path) -> WideHead:
        with np.load(path) as held:
            may = np.unpackbits(held["may"], axis=1, count=int(held["labels"])).astype(bool)
            return WideHead(held["table"].astype(np.float32), may)
