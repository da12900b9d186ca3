"""What may become of each gloss of a line, and what is known of its place: the ground of the two heads beside the text model.

Glosses are grouped by a k-means of where they stand and what became of them in training (`training/edit_rows.py`), so that a
gloss met four times borrows from its like. All names are hashed (Weinberger et al. 2009), so there is no list of features.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.edits import END_GLOSS, Edit, EditVocabulary, word_of

SPACE = "space.npz"
STATIC = 40
"""Features of a place that only glosses tell."""
NEAR = 7
PARTS = 3
"""Words of what a label puts before its gloss that are looked at, the nearest ones."""
_KIND = re.compile(r"^(?:X-|DESC-)")
_START, _END = (crc32(mark.encode()) for mark in ("<<", ">>"))

Hashes = NDArray[np.uint32]
Ints = NDArray[np.int64]


class Choices(NamedTuple):
    """Labels that glosses may have, as compiled code reads them. The candidates of gloss type t are start[t]..start[t + 1]; a
    label is what it puts before the gloss and what becomes of the gloss (`rest`), each with an id of its own."""

    start: Ints
    label: Ints
    word: Hashes
    """Of every candidate the word that it makes of the gloss, 0 for none."""
    befores: Hashes
    """(labels, PARTS) words that a label puts before, nearest first."""
    many: Ints
    """(labels,) how many of them, PARTS at most."""
    before: Ints
    rest: Ints
    before_start: Ints
    before_list: Ints
    before_at: Ints
    """A type's distinct befores, and where in them each candidate's is; the same for rests."""
    rest_start: Ints
    rest_list: Ints
    rest_at: Ints


class Places(NamedTuple):
    """Lines of glosses, one behind the other, each with its end: types, where lines start, features and what is near."""

    types: Ints
    starts: Ints
    static: Hashes
    near: Hashes


@dataclass
class EditSpace:
    """`may` (gloss ids, labels) bool: edits that a gloss or class may have; `groups` (2, gloss ids): its coarse and its fine
    group, -1 where it has none."""

    edits: EditVocabulary
    may: NDArray[np.bool_]
    groups: NDArray[np.int16]
    _types: dict[str, int] = field(default_factory=dict)
    _ids: list[int] = field(default_factory=list)
    _classes: list[int] = field(default_factory=list)
    _names: list[tuple[int, int, int, int]] = field(default_factory=list)
    _words: list[Hashes] = field(default_factory=list)
    _choices: Choices | None = None

    @cached_property
    def _candidates(self) -> list[Ints]:
        return [np.flatnonzero(row) for row in self.may]

    def type_of(self, gloss: str) -> int:
        """Number of the gloss among all that were asked for; a new one gets a number and its words."""
        if gloss in self._types:
            return self._types[gloss]
        edits = self.edits
        gloss_id = 0 if gloss == END_GLOSS else edits.gloss_ids([gloss])[0] - edits.first
        own = "" if gloss == END_GLOSS else edits.words.get(gloss, word_of(gloss))
        self._types[gloss] = len(self._types)
        self._ids.append(gloss_id)
        self._classes.append(0 if gloss == END_GLOSS else edits.class_id(gloss) - edits.first)
        labels = (edits.labels[place] for place in self._candidates[gloss_id])
        self._words.append(np.array([_word_hash(label, own) for label in labels], np.uint32))
        self._names.append(self._hashed(gloss, gloss_id))
        self._choices = None
        return self._types[gloss]

    def _hashed(self, gloss: str, gloss_id: int) -> tuple[int, int, int, int]:
        """Hashes of name and ending, the coarse group and the fine one; glosses in no group go by their ending."""
        kind = match[0] if (match := _KIND.match(gloss)) else ""
        known = gloss == END_GLOSS or gloss in self.edits.known
        coarse, fine = (int(group) for group in self.groups[:, gloss_id]) if known else (-1, -1)
        return (
            hashed(gloss), hashed(kind + gloss[-3:]),
            coarse if coarse >= 0 else 900 + hashed(kind + gloss[-2:]) % 97,
            fine if fine >= 0 else 9000 + hashed(kind + gloss[-3:]) % 997,
        )  # fmt: skip

    def gloss_ids(self, types: Ints) -> Ints:
        """Ids (from 0) by which the vocabulary knows types, classes for the others."""
        return np.array(self._ids, np.int64)[types]

    def class_ids(self, types: Ints) -> Ints:
        """Ids (from 0) of the types' classes."""
        return np.array(self._classes, np.int64)[types]

    def endings(self, types: Ints) -> Hashes:
        return np.array([name[1] for name in self._names], np.uint32)[types]

    def places(self, rows: Sequence[Sequence[str]]) -> Places:
        """All places of all lines, ends among them."""
        lines = [[self.type_of(gloss) for gloss in (*row, END_GLOSS)] for row in rows]
        types = np.concatenate([np.array(line, np.int64) for line in lines])
        starts = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
        names = np.array(self._names, np.uint32)[types]
        return Places(types, starts, *_features(names, types, starts))

    def choices(self) -> Choices:
        """Those of all types so far."""
        if self._choices is None:
            self._choices = self._flat()
        return self._choices

    def _flat(self) -> Choices:
        labels = self.edits.labels
        befores = np.zeros((len(labels), PARTS), np.uint32)
        for place, label in enumerate(labels):
            near = label.before[::-1][:PARTS]
            befores[place, : len(near)] = [hashed(word) for word in near]
        before = _numbered([label.before for label in labels])
        rest = _numbered([(label.cut, label.ending, label.form, label.whole) for label in labels])
        listed = [self._candidates[gloss_id] for gloss_id in self._ids]
        return Choices(
            _starts([len(one) for one in listed]), np.concatenate(listed), np.concatenate(self._words), befores,
            np.array([min(PARTS, len(label.before)) for label in labels], np.int64), before, rest,
            *_distinct([before[one] for one in listed]), *_distinct([rest[one] for one in listed]),
        )  # fmt: skip

    def save(self, path: Path) -> None:
        np.savez_compressed(path, may=np.packbits(self.may, axis=1), labels=self.may.shape[1], groups=self.groups)

    @staticmethod
    def load(path: Path, edits: EditVocabulary) -> EditSpace:
        with np.load(path) as held:
            may = np.unpackbits(held["may"], axis=1, count=int(held["labels"])).astype(bool)
            return EditSpace(edits, may, held["groups"])


def hashed(text: str) -> int:
    return crc32(text.encode())


def _word_hash(label: Edit, own: str) -> int:
    said = label.apply(own)[len(label.before) :]
    return hashed(said[0]) if said and said[0] else 0


def _numbered(things: Sequence[object]) -> Ints:
    ids: dict[object, int] = {}
    return np.array([ids.setdefault(thing, len(ids)) for thing in things], np.int64)


def _starts(counts: Sequence[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _distinct(lists: Sequence[Ints]) -> tuple[Ints, Ints, Ints]:
    """(starts, distinct ids of every list, where in them each element is)."""
    found = [np.unique(one, return_inverse=True) for one in lists]
    return (
        _starts([len(ids) for ids, _ in found]), np.concatenate([ids for ids, _ in found]),
        np.concatenate([at for _, at in found]).astype(np.int64),
    )  # fmt: skip


def mixed(one: Hashes, other: Hashes, salt: int) -> Hashes:
    """One hash of two, elementwise."""
    both = one * np.uint32(0xCC9E2D51) ^ (other * np.uint32(0x1B873593) + np.uint32(salt * 0x9E3779B1 & 0xFFFFFFFF))
    both ^= both >> np.uint32(15)
    both *= np.uint32(0x85EBCA6B)
    folded: Hashes = both ^ (both >> np.uint32(13))
    return folded


def _features(names: Hashes, types: Ints, starts: Ints) -> tuple[Hashes, Hashes]:
    """(places, STATIC) hashes of what stands around each place, and (places, NEAR): gloss to the left, here, to the right,
    ending, coarse group here and to the right, fine group."""
    line = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    place, length = np.arange(len(types)) - starts[line], np.diff(starts)[line]

    def around(column: int, reach: int, low: int = 0, high: int = 0) -> Mapping[int, Hashes]:
        found = {}
        for far in range(-reach, reach + 1):
            values = names[np.clip(np.arange(len(types)) + far, 0, len(types) - 1), column]
            found[far] = np.where(
                place + far < 0, np.uint32(low), np.where(place + far >= length, np.uint32(high), values)
            )
        return found

    g, e = around(0, 4, _START, _END), around(1, 1, _START, _END)
    c, f = around(2, 2, 1001, 1002), around(3, 1, 10001, 10002)
    early, long = np.minimum(place, 4).astype(np.uint32), np.minimum(length // 6, 5).astype(np.uint32)
    last, first, again = g[0][np.maximum(starts[1:] - 2, 0)][line], g[0][starts[:-1]][line], _again(types, starts)
    told = [
        (g[0],), (g[-1], g[0]), (g[0], g[1]), (g[-1], g[0], g[1]), (g[-2], g[-1], g[0]), (g[0], g[1], g[2]),
        (g[-2], g[-1], g[0], g[1]), (g[-1], g[0], g[1], g[2]), (g[-2], g[-1], g[0], g[1], g[2]), (g[-1],), (g[1],),
        (e[0],), (e[-1], e[0]), (e[0], e[1]), (e[-1], e[0], e[1]), (c[-1], c[0]), (c[0], c[1]), (c[-1], c[0], c[1]),
        (c[-2], c[-1], c[0]), (c[0], c[1], c[2]), (c[-2], c[-1], c[0], c[1], c[2]), (g[0], c[1], c[2]),
        (g[0], c[-1], c[-2]), (g[-1], f[0]), (f[0], g[1]), (g[0], c[-1], c[1]), (f[-1], f[0]), (f[0], f[1]),
        (f[-1], f[0], f[1]), (g[0], early), (g[0], again), (g[0], g[2]), (g[0], g[-2]), (g[0], g[-3]), (g[0], g[3]),
        (g[0], last), (g[0], first), (c[0], early, long), (g[-3], g[-2], g[-1], g[0]), (g[0], g[1], g[2], g[3]),
    ]  # fmt: skip
    static = np.empty((len(types), STATIC), np.uint32)
    for column, parts in enumerate(told):
        value = np.full(len(types), (column + 1) * 2654435761 & 0xFFFFFFFF, np.uint32)
        for part in parts:
            value = mixed(value, part, column)
        static[:, column] = value
    return static, np.stack([g[-1], g[0], g[1], e[0], c[0], c[1], f[0]], 1)


def _again(types: Ints, starts: Ints) -> Hashes:
    """1 where a gloss has stood before in its line."""
    found = np.zeros(len(types), np.uint32)
    for start, end in zip(starts[:-1], starts[1:], strict=True):
        _, first = np.unique(types[start:end], return_index=True)
        found[start:end] = 1
        found[start + first] = 0
    return found
