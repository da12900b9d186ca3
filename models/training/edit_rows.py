"""What the heads of edits learn from: lines of glosses with a label a place, labels each gloss may have, vectors and groups of
glosses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.edit_space import EditSpace, Ints, hashed
from models.edits import Edit, EditVocabulary

Rows = Sequence[tuple[Sequence[str], Sequence[Edit]]]
Placed = Sequence[tuple[Sequence[str], Sequence[int]]]
ALWAYS, SELDOM = 25, 100
"""The most common labels, which every gloss may have that was met less often than this."""
GROUPS = (48, 400)
CONTEXTS = 900
WIDTH = 60


def placed(rows: Rows, edits: EditVocabulary) -> list[tuple[Sequence[str], list[int]]]:
    """Lines with the numbers of their labels; those with an edit that is no label are left out."""
    labels = {edit: place for place, edit in enumerate(edits.labels)}
    return [
        (glosses, [labels[edit] for edit in said]) for glosses, said in rows if all(edit in labels for edit in said)
    ]


def space_of(rows: Placed, edits: EditVocabulary, *, seed: int = 0) -> EditSpace:
    """What glosses may become, and their groups."""
    return EditSpace(edits, allowed(rows, edits), groups_of(vectors_of(rows, edits, seed), seed))


def allowed(rows: Placed, edits: EditVocabulary) -> NDArray[np.bool_]:
    """(gloss ids, labels): what each gloss or class was seen with, and for seldom ones the most common labels."""
    counts = np.zeros((len(edits.glosses), len(edits.labels)), np.int64)
    for glosses, said in rows:
        ids = np.array(edits.gloss_ids(glosses)) - edits.first
        np.add.at(counts, (ids, np.array(said)), 1)
        classes = np.array([edits.class_id(gloss) for gloss in glosses], np.int64) - edits.first
        np.add.at(counts, (classes, np.array(said[:-1], np.int64)), 1)
    may: NDArray[np.bool_] = counts > 0
    seldom = counts.sum(1) < SELDOM
    seldom[0] = False
    may[seldom, :ALWAYS] = True
    may[0, : 1 if not may[0].any() else 0] = True
    return may


def vectors_of(rows: Placed, edits: EditVocabulary, seed: int = 0) -> NDArray[np.float32]:
    """(gloss ids, WIDTH) of length 1, of length 0 for those that are seldom met: a truncated SVD of positive pointwise mutual
    information between glosses and what is near them: two glosses on both sides, words put before, what becomes of them (Levy
    and Goldberg 2014)."""
    counts = _together(rows, edits)
    met = counts.sum(1) > 3
    vectors = np.zeros((len(counts), WIDTH), np.float32)
    if met.sum() > WIDTH:
        vectors[met] = _reduced(_information(counts[met]), np.random.default_rng(seed))
    return vectors


def groups_of(vectors: NDArray[np.float32], seed: int = 0) -> NDArray[np.int16]:
    """(2, gloss ids) groups by k-means over vectors as `vectors_of` gives them; -1 for glosses without one."""
    met = vectors.any(1)
    groups = np.full((len(GROUPS), len(vectors)), -1, np.int16)
    rng = np.random.default_rng(seed)
    for row, many in enumerate(GROUPS if met.any() else ()):
        groups[row, met] = _means(vectors[met], min(many, int(met.sum()) // 4), rng)
    return groups


def _together(rows: Placed, edits: EditVocabulary) -> NDArray[np.float32]:
    common = Counter(gloss for glosses, _ in rows for gloss in glosses).most_common(CONTEXTS)
    column = {gloss: place for place, (gloss, _) in enumerate(common)}
    known = {gloss: place for place, gloss in enumerate(edits.glosses)}
    befores = [hashed(" ".join(label.before)) % CONTEXTS for label in edits.labels]
    rests = [hashed(label.text().rpartition("|")[2]) % CONTEXTS for label in edits.labels]
    wide = CONTEXTS + 2
    cells: list[int] = []
    for glosses, said in rows:
        columns = [CONTEXTS, CONTEXTS, *(column.get(gloss, CONTEXTS + 1) for gloss in glosses), CONTEXTS, CONTEXTS]
        for place, gloss in enumerate(glosses):
            if gloss in known:
                near = (*(columns[place + far] for far in (0, 1, 3, 4)), befores[said[place]], rests[said[place]])
                cells += [(6 * known[gloss] + kind) * wide + one for kind, one in enumerate(near)]
    counted = np.bincount(np.array(cells, np.int64), minlength=len(known) * 6 * wide)
    return counted.reshape(len(known), 6 * wide).astype(np.float32)


def _information(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    context = counts.sum(0) ** 0.75  # seldom contexts would count for too much
    expected = counts.sum(1, keepdims=True) * (context / context.sum())
    found: NDArray[np.float32] = np.maximum(np.log(counts / (expected + 1e-9) + 1e-9), 0).astype(np.float32)
    return found


def _reduced(table: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(rows, WIDTH) of length 1, by a randomised SVD (Halko et al. 2011)."""
    drawn = table @ rng.normal(size=(table.shape[1], WIDTH + 30)).astype(np.float32)
    for _ in range(2):
        drawn = table @ (table.T @ np.linalg.qr(drawn)[0])
    basis = np.linalg.qr(drawn)[0]
    left, strengths, _ = np.linalg.svd(basis.T @ table, full_matrices=False)
    found = (basis @ left)[:, :WIDTH] * np.sqrt(strengths[:WIDTH])
    return np.asarray(found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-6), np.float32)


def _means(vectors: NDArray[np.float32], many: int, rng: np.random.Generator) -> Ints:
    """Spherical k-means; its first centres are drawn among the glosses that are met most."""
    centres = vectors[rng.choice(min(len(vectors), 4 * many), many, replace=False)]
    for _ in range(15):
        nearest = (vectors @ centres.T).argmax(1)
        for one in np.unique(nearest):
            mean = vectors[nearest == one].mean(0)
            centres[one] = mean / (np.linalg.norm(mean) + 1e-6)
    return np.asarray((vectors @ centres.T).argmax(1), np.int64)
