"""Takes of speaking mouths: which frames of which clips a batch shows, by index arithmetic on all rows at once.

A take is up to `WORDS` pieces of clips, one after another, played a little faster, slower and unevenly. Sentences of
`WORDS` words (GRID's) exchange words at the same place: the few hundred of a corpus would else be learned by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.labels import ctc_steps
from models.training.lips_clips import MouthClip

WORDS = 6  # of every GRID sentence
LONGEST = 90  # frames of a drawn take
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pieces:
    """A row a take: pieces of the store's frames, `begin` and `length` (rows, WORDS); what is said on them."""

    begin: Ints
    length: Ints
    targets: list[list[int]]


@dataclass(frozen=True)
class Takes:
    """Frame numbers in the store (rows, steps), the last one repeated on padding; steps of each row; targets."""

    frames: Ints
    lengths: Ints
    targets: list[list[int]]


def silences(rng: np.random.Generator, count: int) -> Ints:
    """Frames of silence beside what is said: half the time few, half the time up to more than a second."""
    return np.where(rng.random(count) < 0.5, rng.integers(8, 32, count), rng.integers(0, 12, count))


class Sentences:
    """Clips of `WORDS` words whose frames start at `starts` in the store."""

    def __init__(self, clips: Sequence[MouthClip], starts: Sequence[int]) -> None:
        assert all(len(clip.words) == WORDS for clip in clips)
        bounds = [[*(word.start for word in clip.words), clip.words[-1].end] for clip in clips]
        self.count = len(clips)
        first, frames = np.asarray(starts, np.int64), np.array([len(clip.pictures) for clip in clips], np.int64)
        own = np.clip(np.round(np.array(bounds)), 0, frames[:, None]).astype(np.int64)
        self.bounds = np.maximum.accumulate(own, axis=1) + first[:, None]  # (clips, WORDS + 1)
        self.first, self.last = first, first + frames
        self.said = [_by_word(clip) for clip in clips]

    def draw(self, chosen: Ints, rng: np.random.Generator, mixing: float) -> Pieces:
        """Takes that begin in the `chosen` clips; a share `mixing` of them goes over to other clips between words."""
        rows = len(chosen)
        eager = np.where(rng.random(rows) < mixing, rng.uniform(0.15, 0.6, rows), 0.0)
        others = rng.integers(self.count, size=(rows, WORDS))
        others[:, 0] = chosen
        since = np.where(rng.random((rows, WORDS)) < eager[:, None], np.arange(WORDS), 0)
        clip = np.take_along_axis(others, np.maximum.accumulate(since, axis=1), axis=1)
        begin, end = self.bounds[clip, np.arange(WORDS)], self.bounds[clip, np.arange(1, WORDS + 1)]
        begin[:, 0] = np.maximum(self.first[clip[:, 0]], begin[:, 0] - silences(rng, rows))
        end[:, -1] = np.minimum(self.last[clip[:, -1]], end[:, -1] + silences(rng, rows))
        targets = [[p for word, of in enumerate(row) for p in self.said[of][word]] for row in clip.tolist()]
        return Pieces(begin, end - begin, targets)


def _by_word(clip: MouthClip) -> list[list[int]]:
    ids, ends = [phoneme[0] for phoneme in clip.phonemes], np.cumsum([word.phonemes for word in clip.words]).tolist()
    return [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class Speeches:
    """Clips of any length, nothing known of their words; a take is a stretch of at most `LONGEST` frames."""

    def __init__(self, clips: Sequence[MouthClip], starts: Sequence[int]) -> None:
        self.clips, self.starts = list(clips), list(starts)

    def draw(self, count: int, rng: np.random.Generator) -> Pieces:
        begin, length = np.zeros((2, count, WORDS), np.int64)
        targets = []
        lead, tail = silences(rng, count), silences(rng, count)
        for row, at in enumerate(rng.integers(len(self.clips), size=count).tolist()):
            clip = self.clips[at]
            first, last, said = stretch(clip, int(rng.integers(len(clip.phonemes))), (int(lead[row]), int(tail[row])))
            begin[row, 0], length[row, 0] = self.starts[at] + first, last - first
            targets.append(said)
        return Pieces(begin, length, targets)


def stretch(clip: MouthClip, anchor: int, silence: tuple[int, int]) -> tuple[int, int, list[int]]:
    """First frame, last frame and phonemes of a stretch from phoneme `anchor` on, never into a neighbour left out."""
    spans = clip.phonemes
    before = spans[anchor - 1][2] if anchor else 0.0
    first = max(int(np.ceil(before)), int(spans[anchor][1]) - silence[0], 0)
    stop = anchor + 1
    while stop < len(spans) and spans[stop][2] <= first + LONGEST - 4:
        stop += 1
    after = spans[stop][1] if stop < len(spans) else float(len(clip.pictures))
    last = min(int(after), int(np.ceil(spans[stop - 1][2])) + silence[1], first + LONGEST, len(clip.pictures))
    return min(first, last - 1), max(last, 1), [span[0] for span in spans[anchor:stop]]


def joined(one: Pieces, other: Pieces) -> Pieces:
    """Rows of both."""
    return Pieces(
        np.concatenate([one.begin, other.begin]),
        np.concatenate([one.length, other.length]),
        one.targets + other.targets,
    )


def played(pieces: Pieces, rng: np.random.Generator, rates: tuple[float, float] = (0.84, 1.18)) -> Takes:
    """Pieces in a row at a random, uneven pace; at least as many steps as the target needs."""
    ends = np.cumsum(pieces.length, axis=1)
    total = ends[:, -1]
    needed = np.array([ctc_steps(target) for target in pieces.targets])
    lengths = np.maximum(np.round(total * rng.uniform(*rates, len(total))).astype(np.int64), needed.clip(min=8))
    step = np.arange(lengths.max())
    at = step * ((total - 1) / (lengths - 1))[:, None] + wander(len(total), len(step), rng, 0.4)
    own = np.maximum.accumulate(np.clip(np.round(at), 0, total[:, None] - 1).astype(np.int64), axis=1)
    piece = (own[:, :, None] >= ends[:, None, :]).sum(axis=-1)
    offset = np.take_along_axis(ends - pieces.length, piece, axis=1)
    return Takes(np.take_along_axis(pieces.begin, piece, axis=1) + own - offset, lengths, pieces.targets)


def wander(rows: int, steps: int, rng: np.random.Generator, size: float) -> Floats:
    """Slow random curves (rows, steps) of deviation `size`, a knot every 10 steps."""
    knots = max(2, steps // 10)
    place = np.linspace(0, knots - 1, steps)
    low = np.minimum(place.astype(np.int64), knots - 2)
    share = place - low
    values = rng.normal(0, size, (rows, knots))
    return np.asarray(values[:, low] * (1 - share) + values[:, low + 1] * share)
