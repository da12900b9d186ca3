"""How takes of mouths look: every crop of a batch cut, lit, blurred and covered in its own way, all at once on the device.

The store keeps all clips' pictures and framewise labels there too, so that a batch costs no copy of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

from models.lips import MOUTH_SIZE, MouthEncoder
from models.training.lips_clips import CROP_MARGIN, MARGIN, SIDE, MouthClip
from models.training.lips_takes import Takes
from models.vocabulary import BLANK

IGNORED = -100
STEPS_OF = 8  # rows are padded to a multiple of this: few shapes keep a GPU's plans of convolutions few
CROPS_OF = 512
FRAMES_A_VIEW = 75  # that are looked at in one way when looks are kept


@dataclass
class Store:
    """All clips' frames one after another: pictures uint8 (frames, 60, 60), phoneme and word ids (frames,).

    Word 0 is silence; where words are not known it is -100.
    """

    pictures: Tensor
    phonemes: Tensor
    words: Tensor

    @classmethod
    def empty(cls, device: torch.device) -> Store:
        labels = torch.zeros(0, dtype=torch.long, device=device)
        return cls(torch.zeros(0, SIDE, SIDE, dtype=torch.uint8, device=device), labels, labels)

    def add(self, clips: Sequence[MouthClip], vocabulary: Sequence[str] = ()) -> list[int]:
        """Appends clips; returns where the frames of each start."""
        if not clips:
            return []
        starts = np.cumsum([len(self.pictures), *(len(clip.pictures) for clip in clips)])[:-1]
        phonemes, words = zip(*(framewise_labels(clip, vocabulary) for clip in clips), strict=True)
        self.pictures = self._longer(self.pictures, [clip.pictures for clip in clips])
        self.phonemes, self.words = self._longer(self.phonemes, phonemes), self._longer(self.words, words)
        return [int(start) for start in starts]

    @staticmethod
    def _longer(old: Tensor, new: Sequence[NDArray[np.generic]]) -> Tensor:
        return torch.cat([old, torch.from_numpy(np.concatenate(list(new))).to(old.device)])


def framewise_labels(clip: MouthClip, vocabulary: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Phoneme and word on every frame, int64 (frames,) each; a word's phonemes are spread evenly over its time."""
    middle = np.arange(len(clip.pictures)) + 0.5
    phonemes = np.full(len(middle), BLANK, np.int64)
    words = np.full(len(middle), 0 if clip.words else IGNORED, np.int64)
    for symbol, start, end in clip.phonemes:
        phonemes[(middle >= start) & (middle < end)] = symbol
    for word in clip.words:
        known = word.text in vocabulary
        words[(middle >= word.start) & (middle < word.end)] = 1 + vocabulary.index(word.text) if known else IGNORED
    return phonemes, words


@dataclass(frozen=True)
class MouthBatch:
    """Crops (N, 1, 40, 40) in 0..1, a few more than the places `rows`, `steps` they stand at; `seen` (B, T, 1) is 0 where
    the mouth is hidden; labels (B, T) are -100 on padding."""

    crops: Tensor
    rows: Tensor
    steps: Tensor
    seen: Tensor
    lengths: Tensor
    phonemes: Tensor
    words: Tensor
    targets: list[list[int]]


@dataclass(frozen=True)
class Variety:
    """How much looks vary; lengths in halves of the generous picture's side (1.8 box sides)."""

    zoom: float = 0.06
    zoom_wander: float = 0.02
    shift: float = 0.045
    shift_wander: float = 0.015
    shake: float = 0.007
    tilt: float = 0.05
    mirrored: float = 0.3
    covered: float = 0.2
    noise: float = 0.012
    holes: int = 2  # at most, in which the mouth is not seen


class Looks:
    """Draws batches out of a store; `generator` lives on the store's device."""

    def __init__(self, store: Store, seed: int, variety: Variety | None = None) -> None:
        self.store, self.variety = store, variety or Variety()
        self.device = store.pictures.device
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def batch(self, takes: Takes) -> MouthBatch:
        count, longest = len(takes.lengths), -(-takes.frames.shape[1] // STEPS_OF) * STEPS_OF
        own = np.arange(longest) < takes.lengths[:, None]
        frames = np.pad(takes.frames, ((0, 0), (0, longest - takes.frames.shape[1])), mode="edge")
        places = np.stack(np.nonzero(own))
        filled = places.shape[1]
        rows, steps = self._put(np.pad(places, ((0, 0), (0, -filled % CROPS_OF))))
        numbers, mask = self._put(frames), self._put(own)
        crops = self._cut(numbers[rows, steps], self.cuts(count, longest)[rows, steps])
        return MouthBatch(
            self._lit(crops, rows, steps, (count, longest)), rows[:filled], steps[:filled], self.seen(count, longest),
            self._put(takes.lengths), self.store.phonemes[numbers].masked_fill(~mask, IGNORED),
            self.store.words[numbers].masked_fill(~mask, IGNORED), takes.targets,
        )  # fmt: skip

    def _put(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device)

    def _uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def _wander(self, rows: int, steps: int, size: float) -> Tensor:
        """Slow random curves (rows, steps), a knot every 10 steps."""
        knots = self._normal(rows, 1, max(2, steps // 10)) * size
        return interpolate(knots, size=steps, mode="linear", align_corners=True)[:, 0]

    def cuts(self, rows: int, steps: int) -> Tensor:
        """Where each crop lies in the generous picture: affine matrices (rows, steps, 2, 3)."""
        own = self.variety
        zoom = self._normal(rows, 1) * own.zoom + self._wander(rows, steps, own.zoom_wander)
        zoom = CROP_MARGIN / MARGIN * zoom.exp()
        tilt = self._normal(rows, 1) * own.tilt + self._wander(rows, steps, 0.02)
        mirror = 1.0 - 2.0 * (self._uniform(0, 1, rows, 1) < own.mirrored).float()
        x, y = (
            self._normal(rows, 1) * own.shift
            + self._wander(rows, steps, own.shift_wander)
            + self._normal(rows, steps) * own.shake
            for _ in range(2)
        )
        cos, sin = zoom * tilt.cos(), zoom * tilt.sin()
        return torch.stack([torch.stack([mirror * cos, -sin, x], -1), torch.stack([mirror * sin, cos, y], -1)], 2)

    def _cut(self, numbers: Tensor, cuts: Tensor) -> Tensor:
        raw = self.store.pictures[numbers][:, None].float().div_(255.0)
        grid = affine_grid(cuts, [len(raw), 1, MOUTH_SIZE, MOUTH_SIZE], align_corners=False)
        return grid_sample(raw, grid, padding_mode="border", align_corners=False).clamp_(0.0, 1.0)

    def _lit(self, crops: Tensor, rows: Tensor, steps: Tensor, shape: tuple[int, int]) -> Tensor:
        """Sharper or duller, brighter or darker from side to side, behind something for a while, noisy."""
        count = shape[0]
        dull = self._uniform(-0.5, 1.0, count, 1, 1, 1)[rows]
        crops = crops + dull * (avg_pool2d(crops, 3, 1, 1, count_include_pad=False) - crops)
        crops = crops.clamp(0.0, 1.0).pow((self._normal(count, 1, 1, 1) * 0.2).exp()[rows])
        ramp = torch.linspace(-0.5, 0.5, MOUTH_SIZE, device=self.device)
        slope = self._normal(2, count, 1, 1, 1) * 0.15
        crops = crops * (1.0 + slope[0] * ramp + slope[1] * ramp[:, None])[rows]
        crops = self._covered(crops, rows, steps, shape)
        noise = torch.randn(crops.shape, generator=self.generator, device=self.device)
        return crops + noise * self._uniform(0, self.variety.noise, count, 1, 1, 1)[rows]

    def _covered(self, crops: Tensor, rows: Tensor, steps: Tensor, shape: tuple[int, int]) -> Tensor:
        """For some of the takes a grey patch lies over a part of the crop for some frames."""
        count, longest = shape
        from_step = self._uniform(-10, longest, count)
        until = from_step + self._uniform(3, 25, count)
        until = torch.where(self._uniform(0, 1, count) < self.variety.covered, until, from_step)
        now = (steps >= from_step[rows]) & (steps < until[rows])
        place = torch.arange(MOUTH_SIZE, device=self.device)
        middle, half = self._uniform(0, MOUTH_SIZE, 2, count, 1), self._uniform(3, 9, 2, count, 1)
        high, wide = (place - middle).abs() < half
        patch = (high[:, :, None] & wide[:, None, :])[rows] & now[:, None, None]
        return torch.where(patch[:, None], self._uniform(0, 1, count, 1, 1, 1)[rows], crops)

    def seen(self, rows: int, steps: int) -> Tensor:
        """(rows, steps, 1): 0 in the moments in which the mouth is not seen at all, up to 6 frames each."""
        place = torch.arange(steps, device=self.device)
        holes = (rows, self.variety.holes, 1)
        start, size = self._uniform(0, steps, *holes), self._uniform(-6, 6, *holes)
        hidden = (place >= start) & (place < start + size)
        return (~hidden.any(dim=1)).float()[..., None]


class KeptLooks(Looks):
    """Looks whose crops an encoder that no longer learns has seen already: `VIEWS` looks at every clip, embedded once.

    A batch then costs a gather. Its `crops` are the embeddings (N, width) of rows, each row in one view.
    """

    def __init__(self, store: Store, seed: int, encoder: MouthEncoder, views: int = 5) -> None:
        super().__init__(store, seed)
        self.encoder, self.views = encoder.eval(), views
        self.embeddings = torch.zeros(views, 0, encoder.config.width, device=self.device)

    def batch(self, takes: Takes) -> MouthBatch:
        self._keep_up()
        return super().batch(takes)

    @torch.no_grad()
    def _keep_up(self) -> None:
        """Embeds what the store has gained, `FRAMES_A_VIEW` neighbouring frames in one look."""
        have, new = self.embeddings.shape[1], len(self.store.pictures)
        parts = [self._views(torch.arange(at, min(at + FRAMES_A_VIEW, new))) for at in range(have, new, FRAMES_A_VIEW)]
        self.embeddings = torch.cat([self.embeddings, *parts], dim=1)

    def _views(self, numbers: Tensor) -> Tensor:
        numbers = numbers.to(self.device)
        steps, one = torch.arange(len(numbers), device=self.device), torch.zeros_like(numbers)
        looks = []
        for _ in range(self.views):
            crops = super()._cut(numbers, self.cuts(1, len(numbers))[0])
            looks.append(self.encoder.embed(super()._lit(crops, one, steps, (1, len(numbers)))).float())
        return torch.stack(looks)

    def _cut(self, numbers: Tensor, cuts: Tensor) -> Tensor:
        del cuts
        return numbers

    def _lit(self, crops: Tensor, rows: Tensor, steps: Tensor, shape: tuple[int, int]) -> Tensor:
        del steps
        view = torch.randint(self.views, (shape[0],), generator=self.generator, device=self.device)
        seen = self.embeddings[view[rows], crops]
        return seen + self._normal(*seen.shape) * self._uniform(0, 0.15, shape[0], 1)[rows]
