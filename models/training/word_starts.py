"""What the tables of a word-level model begin with and share, where a corpus is too small to learn them from nothing.

Tokens that stand together begin near each other (truncated decomposition of positive pointwise mutual information, Levy and
Goldberg 2014), glosses and words in one space, so that attention finds what a gloss says from the first step on. While
learning, tokens that share letters share vectors (character n-grams, Bojanowski et al. 2017): GEWITTER, gewittrig,
gewitterschauer. Both are gone into plain tables when the model is saved.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

Ids = tuple[Sequence[int], Sequence[int]]
"""Glosses and words of one pair, as places in one list of all glosses, then all words."""

LETTERS = range(3, 7)
WINDOW, NEAR, SMOOTHED = 3, 0.5, 0.75
CLASSES = ("loc-", "cl-", "poss-", "neg-", "in-", "am-")
UMLAUTS = (("ue", "ü"), ("ae", "ä"), ("oe", "ö"))
"""For comparing letters alone: on both sides alike, so that a wrong one does no harm."""


def parts_of(token: str) -> list[str]:
    """Character n-grams of a gloss or word, its ends marked, and the whole; marks ("__ON__", "<unk>") are whole."""
    small = token.lower()
    if not small[0].isalnum():
        return [small]
    for plain, umlaut in UMLAUTS:
        small = small.replace(plain, umlaut)
    bare = f"^{next((small.removeprefix(one) for one in CLASSES if small.startswith(one)), small)}$"
    return [*(bare[at : at + size] for size in LETTERS for at in range(len(bare) - size + 1)), bare]


class Parts(nn.Module):
    """Vectors of tokens as sums of what they share with others: (tokens,) strings -> (tokens, width)."""

    ids: Tensor
    starts: Tensor
    weights: Tensor

    def __init__(self, tokens: Sequence[str], width: int) -> None:
        super().__init__()
        counts = Counter(part for token in tokens for part in set(parts_of(token)))
        index = {part: place for place, part in enumerate(part for part, count in counts.items() if count > 1)}
        found = [[index[part] for part in parts_of(token) if part in index] for token in tokens]
        starts = np.cumsum([0, *(len(one) for one in found)])[:-1]
        self.register_buffer("ids", torch.tensor([part for one in found for part in one]))
        self.register_buffer("starts", torch.from_numpy(starts))
        self.register_buffer("weights", torch.tensor([1 / math.sqrt(len(one)) for one in found for _ in one]))
        self.table = nn.Parameter(torch.randn(max(1, len(index)), width) * 0.35 * width**-0.5)

    def forward(self) -> Tensor:
        return embedding_bag(self.ids, self.table, self.starts, mode="sum", per_sample_weights=self.weights)


def start_vectors(pairs: Sequence[Ids], tokens: int, width: int, seed: int = 0) -> Tensor:
    """(tokens, width) vectors of about length 1, shorter for tokens of which little is known."""
    counts = _counts(pairs, tokens)
    values, vectors = np.linalg.eigh(_information(counts))
    best = np.argsort(-values)[
        : min(width, int((values > 0).sum()))
    ]  # a negative one would set apart what stands together
    found = np.zeros((tokens, width), dtype=np.float32)
    found[:, : len(best)] = vectors[:, best] * np.sqrt(values[best])
    turned = found @ np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0].astype(np.float32)
    turned /= turned.std() * math.sqrt(width)
    return torch.from_numpy(turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 0.3))


def _counts(pairs: Sequence[Ids], tokens: int) -> NDArray[np.float32]:
    """How often two tokens stand in one pair across its sides, or within WINDOW of each other on one side; symmetric."""
    counts = np.zeros((tokens, tokens), dtype=np.float32)
    for glosses, words in pairs:
        if glosses and words:
            counts[np.ix_(sorted(set(glosses)), sorted(set(words)))] += len(set(glosses)) ** -0.5
        for line in (glosses, words):
            for at, token in enumerate(line):
                for other in line[max(0, at - WINDOW) : at]:
                    counts[token, other] += NEAR
    return counts + counts.T


def _information(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Positive pointwise mutual information; one side's frequencies are smoothed, so that rare tokens do not win."""
    own = counts.sum(1)
    smooth = own**SMOOTHED
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(counts / np.outer(own, smooth / smooth.sum()))
    found = np.maximum(np.where(np.isfinite(found), found, 0.0), 0.0)
    return ((found + found.T) / 2).astype(np.float32)
