"""The steps of the prefix beam search (`ctc.py`), compiled: in the interpreter a step took several times as long, and held
its lock.

A search is six arrays: of each surviving prefix its chances `beams` (N, 4) and `places` (N, 3); the tree of `prefixes` (N, 6)
and the alignments' tokens, `tracks` (N, 4) with `sums` (N, 2), both only ever added to; and `counts` (3,), how many rows of
them are in use. What is nowhere is -1. Equal prefixes are one row of the tree.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.kept import kept_exactly

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Factors = NDArray[np.float32]
Search = tuple[Floats, Numbers, Numbers, Numbers, Floats, Numbers]
"""beams, places, prefixes, tracks, sums, counts."""
Rows = TypeVar("Rows", Numbers, Floats)
Options = tuple[int, int, float, int, float]
"""Prefixes that survive, symbols tried, the floor, the last sign's number, what a sign's cost leaves of a probability."""
NO_FACTORS = np.ones((1, 0), np.float32)
"""Of a search whose letters are as likely anywhere; else `letter_model.costs`."""
PLACES = 27
"""The base of contexts: at a place before stands nothing (a word begins), or one of the letters A to Z."""

IN_BLANK, IN_TOKEN, BEST_BLANK, BEST_TOKEN = range(4)
"""Of beams: alignments that end in blank, in the prefix's last token; the best single one of either kind."""
PREFIX, BLANK_TRACK, TOKEN_TRACK = range(3)
"""Of places: its prefix, the last tokens of the two best alignments. A candidate has in place of PREFIX whether its
TOKEN_TRACK is the token held on, not a new one."""
REPEATS = PREFIX
PARENT, TOKEN, DEPTH, CHILD, SIBLING, CONTEXT = range(6)
"""Of prefixes: CHILD is the newest, whose elder is its SIBLING; CONTEXT is a row of the factors, 0 where no letter is before."""
BEFORE, SAID, START, END = range(4)
"""Of tracks: the token before, this token, its steps."""
TOTAL, PEAK = range(2)
"""Of sums: over the token's steps."""
BEAMS, PREFIXES, TRACKS = range(3)
"""Of counts."""


def empty(width: int) -> Search:
    """The search that has seen nothing: the empty prefix."""
    beams, places = np.zeros((width, 4)), np.full((width, 3), -1)
    beams[0] = (1, 0, 1, 0)
    places[0, PREFIX] = 0
    prefixes = np.full((64, 6), -1)
    prefixes[0] = (-1, 0, 0, -1, -1, 0)
    return beams, places, prefixes, np.full((64, 4), -1), np.zeros((64, 2)), np.array((1, 1, 0))


def with_room(search: Search, steps: int) -> Search:
    """The same search with room for so many steps more."""
    beams, places, prefixes, tracks, sums, counts = search
    more = steps * len(beams)
    return (
        beams, places, _longer(prefixes, int(counts[PREFIXES]) + more), _longer(tracks, int(counts[TRACKS]) + more),
        _longer(sums, int(counts[TRACKS]) + more), counts,
    )  # fmt: skip


def shares(search: Search) -> list[float]:
    """The survivors' chances, likeliest first; their sum is 1."""
    beams, count = search[0], int(search[-1][BEAMS])
    found: list[float] = (beams[:count, IN_BLANK] + beams[:count, IN_TOKEN]).tolist()
    return found


def _longer(rows: Rows, length: int) -> Rows:
    if length <= len(rows):
        return rows
    longer = np.empty((max(length, 2 * len(rows)), rows.shape[1]), rows.dtype)
    longer[: len(rows)] = rows
    return longer


@kept_exactly
def advance(log_probs: Floats, options: Options, factors: Factors, search: Search, now: int, total: float) -> float:
    """Takes the log posteriors (steps, symbols), blank first, of the steps from `now` on; a letter that begins is worth its
    chance times its factor after the letters before; `total` is the log of what all
    survivors' chances are together before them, what is returned after them; NaN where nothing survives."""
    width, most, floor, signs, worth = options
    for step in range(len(log_probs)):
        symbols, chances = _likely(log_probs[step], min(most, log_probs.shape[1]), floor)
        keys, found, whence, count = _candidates(symbols, chances, signs, worth, factors, search)
        share = _survive(
            symbols, chances, (keys, found, whence, count), width, (signs, len(factors)), search, now + step
        )
        if not share > 0:
            return np.nan
        total += math.log(share)
    return total


@kept_exactly
def _likely(row: Floats, most: int, floor: float) -> tuple[Numbers, Floats]:
    """The symbols worth trying and their chances: blank first, then by their chances."""
    symbols, chances, count = np.zeros(most + 1, np.int64), np.zeros(most + 1), 0
    least = math.log(floor) - 1e-9 if floor > 0 else -np.inf
    for symbol in range(len(row)):
        if not row[symbol] > least:
            continue
        chance = math.exp(row[symbol])
        if chance <= floor or (count == most and chance <= chances[count]):
            continue
        count = min(count + 1, most)
        at = count
        while at > 1 and chances[at - 1] < chance:
            symbols[at], chances[at] = symbols[at - 1], chances[at - 1]
            at -= 1
        symbols[at], chances[at] = symbol, chance
    kept = 1
    for at in range(1, count + 1):
        if symbols[at] != 0:
            symbols[kept], chances[kept] = symbols[at], chances[at]
            kept += 1
    symbols[0], chances[0] = 0, math.exp(row[0])
    return symbols[:kept], chances[:kept]


@kept_exactly
def _candidates(
    symbols: Numbers, chances: Floats, signs: int, worth: float, factors: Factors, search: Search
) -> tuple[Numbers, Floats, Numbers, int]:
    """What becomes of every prefix under every symbol: keys (parent, last token), chances, places, and how many."""
    beams, places, prefixes, _, _, counts = search
    most = counts[BEAMS] * len(symbols)
    keys, found, whence = np.empty((most, 2), np.int64), np.zeros((most, 4)), np.full((most, 3), -1)
    count = 0
    for number in range(counts[BEAMS]):
        in_blank, in_token, best_blank, best_token = beams[number]
        prefix, blank_track, token_track = places[number]
        parent, last = prefixes[prefix, PARENT], prefixes[prefix, TOKEN]
        after = factors[prefixes[prefix, CONTEXT]]
        both, best, track = in_blank + in_token, best_token, token_track
        if best_blank >= best_token:
            best, track = best_blank, blank_track
        for index in range(len(symbols)):
            symbol, chance = symbols[index], chances[index]
            begun = chance * (worth if symbol <= signs else _factor(after, symbol - signs))
            if symbol == 0:
                at, count = _at(keys, count, parent, last)
                found[at, IN_BLANK] += both * chance
                found[at, BEST_BLANK], whence[at, BLANK_TRACK] = best * chance, track
            elif symbol == last:
                at, count = _at(keys, count, parent, last)
                found[at, IN_TOKEN] += in_token * chance
                _better(found[at], whence[at], best_token * chance, token_track, 1)
                if in_blank > 0:
                    at, count = _at(keys, count, prefix, symbol)
                    found[at, IN_TOKEN] += in_blank * begun
                    _better(found[at], whence[at], best_blank * begun, blank_track, 0)
            else:
                at, count = _at(keys, count, prefix, symbol)
                found[at, IN_TOKEN] += both * begun
                _better(found[at], whence[at], best * begun, track, 0)
    return keys, found, whence, count


@kept_exactly
def _factor(after: Factors, place: int) -> float:
    """Of the letter with that number, from 1; 1 for symbols of which nothing is known."""
    return float(after[place - 1]) if place <= len(after) else 1.0


@kept_exactly
def _at(keys: Numbers, count: int, parent: int, token: int) -> tuple[int, int]:
    """Where the key is, added if it is new, and how many there are."""
    for at in range(count):
        if keys[at, 0] == parent and keys[at, 1] == token:
            return at, count
    keys[count, 0], keys[count, 1] = parent, token
    return count, count + 1


@kept_exactly
def _better(found: Floats, whence: Numbers, chance: float, track: int, repeats: int) -> None:
    if chance > found[BEST_TOKEN]:
        found[BEST_TOKEN], whence[TOKEN_TRACK], whence[REPEATS] = chance, track, repeats


@kept_exactly
def _survive(
    symbols: Numbers,
    chances: Floats,
    candidates: tuple[Numbers, Floats, Numbers, int],
    width: int,
    spelled: tuple[int, int],
    search: Search,
    now: int,
) -> float:
    """Leaves the likeliest candidates as the search's beams, likeliest first; returns their chance together, 0 for none."""
    beams, places, prefixes, tracks, sums, counts = search
    keys, found, whence, count = candidates
    best, total = _largest(found[:count], width)
    if not total > 0:
        return 0.0
    for number in range(len(best)):
        at = best[number]
        parent, token = keys[at]
        track = whence[at, TOKEN_TRACK]
        if found[at, BEST_TOKEN] > 0:
            chance = 0.0
            for index in range(len(symbols)):
                if symbols[index] == token:
                    chance = chances[index]
            track = _tracked(track, token, chance, whence[at, REPEATS] == 1, now, tracks, sums, counts)
        beams[number] = found[at] / total
        places[number, PREFIX] = _child(prefixes, counts, parent, token, spelled) if parent >= 0 else 0
        places[number, BLANK_TRACK], places[number, TOKEN_TRACK] = whence[at, BLANK_TRACK], track
    counts[BEAMS] = len(best)
    return float(total)


@kept_exactly
def _largest(found: Floats, width: int) -> tuple[Numbers, float]:
    """The likeliest rows that are likely at all, in that order, of equals the first first; and their sum."""
    shares = found[:, IN_BLANK] + found[:, IN_TOKEN]
    best, total, count = np.empty(min(width, len(found)), np.int64), 0.0, 0
    while count < len(best):
        at = int(np.argmax(shares))
        if not shares[at] > 0:
            break
        best[count], total, count = at, total + shares[at], count + 1
        shares[at] = -1.0
    return best[:count], total


@kept_exactly
def _tracked(
    track: int, token: int, chance: float, repeats: bool, now: int, tracks: Numbers, sums: Floats, counts: Numbers
) -> int:
    """A new row: the token begins now, or is held on from `track`."""
    new = counts[TRACKS]
    counts[TRACKS] += 1
    tracks[new] = (track, token, now, now + 1)
    sums[new] = (chance, chance)
    if repeats:
        tracks[new, BEFORE], tracks[new, START] = tracks[track, BEFORE], tracks[track, START]
        sums[new, TOTAL], sums[new, PEAK] = sums[track, TOTAL] + chance, max(sums[track, PEAK], chance)
    return int(new)


@kept_exactly
def _child(prefixes: Numbers, counts: Numbers, parent: int, token: int, spelled: tuple[int, int]) -> int:
    """The row of a prefix with one token more, new if need be; `spelled`: the last sign's number, contexts of letters."""
    child = prefixes[parent, CHILD]
    while child >= 0 and prefixes[child, TOKEN] != token:
        child = prefixes[child, SIBLING]
    if child < 0:
        child = counts[PREFIXES]
        counts[PREFIXES] += 1
        signs, contexts = spelled
        place = token - signs  # of a letter from 1; digits and signs begin a word anew
        context = (prefixes[parent, CONTEXT] * PLACES + place) % contexts if 0 < place < PLACES else 0
        prefixes[child] = (parent, token, prefixes[parent, DEPTH] + 1, -1, prefixes[parent, CHILD], context)
        prefixes[parent, CHILD] = child
    return int(child)


@kept_exactly
def shared(search: Search) -> int:
    """How many leading tokens all survivors have in common."""
    _, places, prefixes, _, _, counts = search
    one = places[0, PREFIX]
    for number in range(1, counts[BEAMS]):
        other = places[number, PREFIX]
        while one != other:
            if prefixes[one, DEPTH] < prefixes[other, DEPTH]:
                one, other = other, one
            one = prefixes[one, PARENT]
    return int(prefixes[one, DEPTH])


@kept_exactly
def alignment(search: Search, number: int) -> tuple[Numbers, Floats]:
    """The best alignment of a survivor: of every token its number, first step and the one after its last (N, 3); its mean and
    highest posterior over them (N, 2)."""
    beams, places, _, tracks, sums, _ = search
    of_blank = beams[number, BEST_BLANK] >= beams[number, BEST_TOKEN]
    last = places[number, BLANK_TRACK] if of_blank else places[number, TOKEN_TRACK]
    length, at = 0, last
    while at >= 0:
        length, at = length + 1, tracks[at, BEFORE]
    spans, posteriors = np.empty((length, 3), np.int64), np.empty((length, 2))
    at = last
    for place in range(length - 1, -1, -1):
        spans[place] = tracks[at, SAID:]
        posteriors[place, 0] = sums[at, TOTAL] / (tracks[at, END] - tracks[at, START])
        posteriors[place, 1] = sums[at, PEAK]
        at = tracks[at, BEFORE]
    return spans, posteriors
