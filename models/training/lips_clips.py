"""Speaking mouths for training: generous grey pictures with phonemes in time, and random takes of them.

A clip keeps the mouth at `SIDE` pixels for a box enlarged by `MARGIN`, the scale of the live crop (40 pixels for a box
enlarged by 1.2), so that a take can cut the crop a little off, as a locator does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from models.clock import FRAME_RATE_HZ
from models.lips import MOUTH_SIZE
from models.training.expert_loss import steps_needed
from models.training.grid import GridClip, PhonemeSpan, mouth_track, phoneme_spans, read_frames, read_words
from models.vocabulary import BLANK, PHONEMES, Vocabulary

CROP_MARGIN = 1.2
MARGIN, SIDE = 1.8, 60
VOCABULARY = Vocabulary(PHONEMES)

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class MouthClip:
    """Grey pictures uint8 (frames, 60, 60) and what the mouth says; a phoneme is (id, start, end) in frames.

    `lips_expert_stage` puts embeddings (frames, 96) in the pictures' place.

    `words` says how many phonemes each word has, where that is known: clips of as many words may be spliced.
    """

    name: str
    pictures: Any
    phonemes: tuple[tuple[int, float, float], ...]
    words: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        needed = steps_needed([phoneme[0] for phoneme in self.phonemes])
        if needed > len(self.pictures):
            raise ValueError(
                f"clip {self.name}: its {len(self.phonemes)} phonemes need {needed} steps, but it has "
                f"{len(self.pictures)} frames: leave it out or correct its alignment"
            )


def timed(spans: Sequence[PhonemeSpan]) -> tuple[tuple[int, float, float], ...]:
    """Spans in seconds as (id, start, end) in frames."""
    ids = VOCABULARY.encode([span.text for span in spans])
    return tuple((i, s.start_s * FRAME_RATE_HZ, s.end_s * FRAME_RATE_HZ) for i, s in zip(ids, spans, strict=True))


def mouth_pictures(frames: Pictures, boxes: NDArray[np.float32], margin: float, side: int) -> Pictures:
    """Cut each frame's box, enlarged by `margin`, to grey (frames, side, side); beyond the edge the last row repeats."""
    height, width = frames.shape[1:3]
    pictures = np.empty((len(frames), side, side), np.uint8)
    for row, (frame, (x, y, size)) in enumerate(zip(frames, boxes, strict=True)):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        scale = side / (size * height * margin)
        matrix = np.array([[scale, 0, side / 2 - scale * x * width], [0, scale, side / 2 - scale * y * height]])
        pictures[row] = cv2.warpAffine(grey, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return pictures


def grid_clip(clip: GridClip, pictures: Pictures | None = None) -> MouthClip:
    """One clip of GRID; its mouth is found and cut unless its `pictures` are there already."""
    if pictures is None:
        frames = read_frames(clip.video)
        pictures = mouth_pictures(frames, mouth_track(frames), MARGIN, SIDE)
    words = read_words(clip.align)
    counts = tuple(len(phoneme_spans([word])) for word in words)
    return MouthClip(clip.name, pictures, timed(phoneme_spans(words)), counts)


def cached_grid(clips: Sequence[GridClip], cache: Path) -> list[MouthClip]:
    """`grid_clip` of all; pictures found once are kept in the folder `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    found = []
    for clip in clips:
        path = cache / f"{clip.name}.npy"
        found.append(grid_clip(clip, np.load(path) if path.is_file() else None))
        if not path.is_file():
            beside = path.with_suffix(".part.npy")
            np.save(beside, found[-1].pictures)
            beside.replace(path)
    return found


def spliced(one: MouthClip, other: MouthClip, rng: np.random.Generator) -> MouthClip:
    """The first words of one clip, then the last words of another; `one` itself where their words do not match.

    The few hundred sentences of a corpus would else be learned by heart.
    """
    if len(one.words) != len(other.words) or len(one.words) < 2:
        return one
    word = int(rng.integers(1, len(one.words)))
    head, tail = sum(one.words[:word]), sum(other.words[:word])
    leave, enter = round(one.phonemes[head][1]), round(other.phonemes[tail][1])
    moved = [(symbol, start - enter + leave, end - enter + leave) for symbol, start, end in other.phonemes[tail:]]
    pictures = np.concatenate([one.pictures[:leave], other.pictures[enter:]])
    words = (*one.words[:word], *other.words[word:])
    return MouthClip(f"{one.name}+{other.name}", pictures, (*one.phonemes[:head], *moved), words)


def crops_between(pictures: Pictures) -> Pictures:
    """The live crop (frames, 40, 40) out of generous pictures, when the box lies as it was cached."""
    edge = round(SIDE * (1 - CROP_MARGIN / MARGIN) / 2)
    return np.ascontiguousarray(pictures[:, edge : SIDE - edge, edge : SIDE - edge])


@dataclass(frozen=True)
class MouthBatch:
    """Takes of several clips: pictures (sum of lengths, 1, 40, 40) in 0..1, frame ids (B, T), -100 on padding."""

    pictures: Tensor
    seen: Tensor
    lengths: Tensor
    targets: list[list[int]]
    frames: Tensor


@dataclass(frozen=True)
class Take:
    """Which frames a take shows, in order, and what is said on them."""

    indices: NDArray[np.int64]
    target: list[int]
    frames: NDArray[np.int64]


def take(clip: MouthClip, rng: np.random.Generator, longest: int = 90) -> Take:
    """A random piece of the clip in time: stretched, jumpy, its silent ends cut; all of its target stays inside."""
    spans = _piece(clip.phonemes, rng, longest)
    first, last = _ends(clip, spans, rng)
    for rate in (float(rng.uniform(0.9, 1.12)), 1.0):
        steps = max(8, round((last - first) * rate))
        at = np.linspace(first, last - 1, steps) + _wander(steps, rng, 0.4)
        indices = np.maximum.accumulate(np.clip(np.round(at), 0, len(clip.pictures) - 1).astype(np.int64))
        if steps_needed([span[0] for span in spans]) <= steps:
            break
    frames = np.full(steps, BLANK, np.int64)
    for symbol, start, end in spans:
        frames[(indices + 0.5 >= start) & (indices + 0.5 < end)] = symbol
    return Take(indices, [span[0] for span in spans], frames)


def _piece(
    spans: tuple[tuple[int, float, float], ...], rng: np.random.Generator, longest: int
) -> list[tuple[int, float, float]]:
    """Phonemes that lie in a random stretch of at most `longest` frames; all of them when the clip is short."""
    if not spans or spans[-1][2] - spans[0][1] <= longest:
        return list(spans)
    begin = rng.uniform(spans[0][1] - 0.3 * longest, spans[-1][2] - 0.7 * longest)
    return [span for span in spans if span[1] >= begin and span[2] <= begin + longest - 4]


def _ends(clip: MouthClip, spans: list[tuple[int, float, float]], rng: np.random.Generator) -> tuple[int, int]:
    """First and last frame: mostly close around what is said, never into a neighbour that is not in the piece."""
    if not spans:
        return 0, min(len(clip.pictures), 60)
    before = max((s[2] for s in clip.phonemes if s[2] <= spans[0][1]), default=0.0)
    after = min((s[1] for s in clip.phonemes if s[1] >= spans[-1][2]), default=float(len(clip.pictures)))
    lead, tail = rng.integers(1, 25 if rng.random() < 0.5 else 8, size=2)
    first = max(int(np.ceil(before)), int(spans[0][1]) - int(lead))
    last = min(int(after), int(np.ceil(spans[-1][2])) + int(tail))
    return first, max(last, first + 2)


def _wander(steps: int, rng: np.random.Generator, size: float) -> NDArray[np.float64]:
    """A slow random curve of deviation `size`, a knot every 10 steps."""
    knots = max(2, steps // 10)
    return np.interp(np.linspace(0, knots - 1, steps), np.arange(knots), rng.normal(0, size, knots))


def batch(clips: Sequence[MouthClip], rng: np.random.Generator) -> MouthBatch:
    """Random takes of `clips`, each cut and lit in its own way."""
    takes = [take(clip, rng) for clip in clips]
    pictures = torch.cat([look(clip.pictures[t.indices], rng) for clip, t in zip(clips, takes, strict=True)])
    lengths = [len(t.indices) for t in takes]
    frames = torch.full((len(takes), max(lengths)), -100, dtype=torch.long)
    seen = torch.ones(len(takes), max(lengths), 1)
    for row, one in enumerate(takes):
        frames[row, : lengths[row]] = torch.from_numpy(one.frames)
        for start, size in _holes(lengths[row], rng):
            seen[row, start : start + size] = 0
    return MouthBatch(pictures, seen, torch.tensor(lengths), [t.target for t in takes], frames)


def _holes(steps: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Moments in which the mouth is not seen at all: (start, length)."""
    return [(int(rng.integers(steps)), int(rng.integers(1, 5))) for _ in range(int(rng.integers(0, 5)) // 3)]


def look(pictures: Pictures, rng: np.random.Generator) -> Tensor:
    """One take's crops (steps, 1, 40, 40) in 0..1: place, size, tilt, mirror, light, blur, noise, a patch in the way."""
    steps = len(pictures)
    raw = torch.from_numpy(pictures)[:, None].float().div_(255.0)
    crops = grid_sample(raw, affine_grid(_cuts(steps, rng), [steps, 1, MOUTH_SIZE, MOUTH_SIZE], align_corners=False),
                        padding_mode="border", align_corners=False)  # fmt: skip
    if rng.random() < 0.2:
        crops = avg_pool2d(crops, 3, 1, 1, count_include_pad=False)
    crops = crops.clamp(0.0, 1.0).pow(float(np.exp(rng.normal(0, 0.15))))
    crops = crops * _light(rng)
    if rng.random() < 0.1:
        x, y = rng.integers(0, MOUTH_SIZE, size=2)
        high, wide = rng.integers(5, 16, size=2)
        start = int(rng.integers(steps))
        crops[start : start + int(rng.integers(2, 20)), :, y : y + high, x : x + wide] = float(rng.random())
    return crops + torch.randn_like(crops) * float(rng.uniform(0, 0.006))


def _cuts(steps: int, rng: np.random.Generator) -> Tensor:
    """Where each crop lies in the generous picture: affine matrices (steps, 2, 3); mirrored takes half the time."""
    zoom = CROP_MARGIN / MARGIN * np.exp(rng.normal(0, 0.05) + _wander(steps, rng, 0.02))
    tilt = rng.normal(0, 0.04) + _wander(steps, rng, 0.02)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cuts = np.zeros((steps, 2, 3), np.float32)
    cuts[:, 0, 0], cuts[:, 0, 1] = mirror * zoom * np.cos(tilt), -zoom * np.sin(tilt)
    cuts[:, 1, 0], cuts[:, 1, 1] = mirror * zoom * np.sin(tilt), zoom * np.cos(tilt)
    for axis in range(2):
        cuts[:, axis, 2] = rng.normal(0, 0.04) + _wander(steps, rng, 0.015) + rng.normal(0, 0.005, steps)
    return torch.from_numpy(cuts)


def _light(rng: np.random.Generator) -> Tensor:
    """A soft slope of light over the crop, (40, 40)."""
    ramp = np.linspace(-0.5, 0.5, MOUTH_SIZE)
    slope_x, slope_y = rng.normal(0, 0.1, size=2)
    light = 1.0 + slope_x * ramp[None, :] + slope_y * ramp[:, None]
    return torch.from_numpy(light.astype(np.float32))


def batches(
    real: Sequence[MouthClip], synthetic: Sequence[MouthClip], rng: np.random.Generator, size: int, share: float
) -> Iterator[MouthBatch]:
    """Endless batches of `size` clips; `share` of them synthetic where there are any."""
    drawn = round(size * share) if synthetic else 0
    while True:
        order = rng.permutation(len(real))
        for start in range(0, len(order) - (size - drawn) + 1, size - drawn):
            chosen = [_mixed(real[i], real, rng) for i in order[start : start + size - drawn]]
            chosen += [synthetic[i] for i in rng.integers(0, len(synthetic), drawn)] if drawn else []
            yield batch(chosen, rng)


def _mixed(clip: MouthClip, others: Sequence[MouthClip], rng: np.random.Generator) -> MouthClip:
    """Half the time the clip with another one's last words."""
    return spliced(clip, others[int(rng.integers(len(others)))], rng) if rng.random() < 0.5 else clip
