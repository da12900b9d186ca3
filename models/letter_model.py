"""Which letters follow which in spelled words: a character language model, asked by the search over log posteriors (shallow
fusion, as in speech recognition: Gulcehre et al., arXiv 1503.03535).

Handshapes that look alike (M and N, A and T) differ in where they stand in words, and a hand on its way from one letter to the
next passes through others that nobody would spell there. The model is counted from the list of words that spelled names are
verified with, each word once: up to three letters before, smoothed by Witten and Bell (1991). What counts is by how much the
letters before make a letter less likely than it is anyway; that costs, at most MOST_NATS, so that a name nobody listed, or no
word at all, is still read from what was seen. Nothing makes a letter worth more than it looks: with a premium on likely ones the
search doubled letters that were held (docs/experiments.md). A word costs something when it begins, whatever its letter: a sign
whose handshape is a letter's (BLUE, HIGH) is taken for that letter at times, and a word that is spelled has more of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.beam import PLACES, Factors
from models.names import default_names, spelling
from models.vocabulary import LETTERS

BEFORE = 3
"""Letters before that count."""
MOST_NATS = 3.0
"""What no letter costs more than, at weight 1."""

Counts = NDArray[np.float64]


def costs(words: Iterable[str], weight: float, word_cost: float = 0.0) -> Factors:
    """(PLACES ** BEFORE, len(LETTERS)) in 0..1: what the chance of a letter is multiplied with after each context, a context
    being the last letters' places in LETTERS from 1, the last one least, in base PLACES; a word that begins costs `word_cost`
    nats. Digits cost nothing anywhere."""
    chances = _chances(_counts(words))
    evidence = np.log(chances[-1]) - np.log(chances[0])
    found = np.ones((PLACES**BEFORE, len(LETTERS)), np.float32)
    found[:, : PLACES - 1] = np.exp(weight * evidence.clip(-MOST_NATS, 0)).reshape(-1, PLACES - 1)
    found[0, : PLACES - 1] *= math.exp(-word_cost)
    return found


@lru_cache(maxsize=32)
def costs_with(vocabulary: tuple[str, ...], weight: float, word_cost: float = 0.0) -> Factors:
    """The bundled list's, but for the words and names of a session's vocabulary, no letter of which costs anything; that a word
    begins does, unless it is a single letter."""
    found = default_costs(weight, word_cost).copy()
    for word in vocabulary:
        context = 0
        for letter in spelling(word):
            place = LETTERS.index(letter)
            begins = context == 0 and len(spelling(word)) > 1 and place + 1 < PLACES
            found[context, place] = max(found[context, place], math.exp(-word_cost) if begins else 1.0)
            context = (context * PLACES + place + 1) % len(found) if place + 1 < PLACES else 0
    return found


@lru_cache(maxsize=4)
def default_costs(weight: float, word_cost: float = 0.0) -> Factors:
    """Of the bundled list of names and common words."""
    names = default_names()
    return costs((*names.names, *names.common), weight, word_cost)


def _counts(words: Iterable[str]) -> Counts:
    """(PLACES, PLACES, PLACES, PLACES - 1): how often a letter followed three places."""
    counts = np.zeros((*[PLACES] * BEFORE, PLACES - 1))
    for word in words:
        places = [0] * BEFORE + [1 + LETTERS.index(letter) for letter in word]
        for at in range(BEFORE, len(places)):
            if max(places[at - BEFORE : at + 1]) < PLACES:
                counts[(*places[at - BEFORE : at], places[at] - 1)] += 1
    return counts


def _chances(counts: Counts) -> list[Counts]:
    """P(letter | places before), with 0, 1 .. BEFORE places, each of shape (..., PLACES - 1)."""
    alone = counts.sum(axis=tuple(range(BEFORE))) + 0.5
    chances = [alone / alone.sum()]
    for known in range(1, BEFORE + 1):
        seen = counts.sum(axis=tuple(range(BEFORE - known)))
        total, kinds = seen.sum(-1, keepdims=True), (seen > 0).sum(-1, keepdims=True)
        mixed = (seen + kinds * chances[-1]) / np.maximum(total + kinds, 1)
        chances.append(np.where(total > 0, mixed, np.broadcast_to(chances[-1], mixed.shape)))
    return chances
