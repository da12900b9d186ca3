"""A closer look at a hand that may be spelling.

Letters differ by where a thumb lies, which a small encoder of 64 px learns from a few people's hands alone. A network that has
seen many more hands, in more pixels, knows letters of people it never met, but it costs ten times as much a picture. So it looks
only where a gate finds it worth while, at the same crop cut finer (zooming in on the hand: Shi et al., arXiv 1908.10546), and
what it says is joined with the embedding that the hand has already, two readers of one hand being surer than either: drawn hands
the small encoder knows better, real ones the closer look. Three looks a chunk are as good as eight, for letters are held longer
than the looks are apart, and what lies between two looks is read between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.backends import SMALL_SIZES, Backend, Network
from models.features import SYMBOLS
from models.landmarks import SEEN, LandmarkTrunk
from models.layout import GEOMETRY, HAND

CLOSER = "closer"
"""Its name in a checkpoint, which may be without one."""
OF_ONE_HAND = 6
"""Geometry channels of one hand (models/crops.py): seen, x, y, log side, dx, dy."""
FACE_SEEN = 21
LOOKED = (1, 4, 7)
"""Steps of a chunk at which hands are looked at closely."""
GATED = HAND + 2 * OF_ONE_HAND + 1
"""What the gate is told: the embedding, where this hand is, where the other is, whether a face is seen."""


class Whereabouts(NamedTuple):
    """Where and when hands (N,) were seen: the geometry (N, 24) of their steps, whether they are left ones, in which chunk (any
    number of its own) and at which of its steps, 0..7."""

    geometry: NDArray[np.float32]
    left: NDArray[np.bool_]
    chunks: NDArray[np.int64]
    steps: NDArray[np.int64]


class Looks(NamedTuple):
    """The looks taken at hands (N,) that may spell: at which of them, `at` (K,), and between which looks each lies, `between`
    (N,) in 0..K-1, 1.25 being a quarter of the way from look 1 to look 2."""

    at: NDArray[np.intp]
    between: NDArray[np.float32]


@dataclass(frozen=True)
class CloserConfig:
    side_px: int = 128  # side of the finer crop
    picture_px: int = 224  # side to which the trunk's input is enlarged
    width: int = HAND
    hidden: int = 256
    gate: int = 32
    share: float = 0.8  # of the closer look in the embedding that both looks make
    least: float = 0.5  # a hand is looked at where the gate finds this chance of its spelling
    dropout: float = 0.3


class CloserTrunk(nn.Module):
    """The part with the cost, as backends take it: finer crops, uint8 RGB (N, S, S, 3), as `HandEncoder` takes them -> what is
    seen in them (N, 1152), of mean 0 and deviation 1."""

    def __init__(self, picture_px: int) -> None:
        super().__init__()
        self.picture_px = picture_px
        self.layers = LandmarkTrunk()
        self.register_buffer("mean", torch.zeros(SEEN))
        self.register_buffer("deviation", torch.ones(SEEN))

    mean: Tensor
    deviation: Tensor

    def forward(self, crops: Tensor) -> Tensor:
        if crops.dtype != torch.uint8 or crops.ndim != 4 or crops.shape[-1] != 3:
            raise ValueError(
                f"hand crops must be uint8 (count, height, width, 3), got {crops.dtype} {tuple(crops.shape)}: "
                "cut them with crops.cut_finer"
            )
        pictures, size = crops.permute(0, 3, 1, 2).float() / 255, (self.picture_px, self.picture_px)
        enlarged = F.interpolate(pictures, size=size, mode="bilinear", align_corners=False)
        out: Tensor = (self.layers(enlarged) - self.mean) / self.deviation
        return out


class Closer(nn.Module):
    """Gate, trunk, and what is said of what the trunk sees."""

    def __init__(self, config: CloserConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = CloserTrunk(config.picture_px)
        self.gate = nn.Sequential(nn.Linear(GATED, config.gate), nn.ReLU(), nn.Linear(config.gate, 1))
        self.hidden = nn.Linear(SEEN, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Linear(config.hidden, config.width)
        self.symbols = nn.Linear(config.width, SYMBOLS)

    def forward(self, seen: Tensor) -> Tensor:
        """What the trunk saw (N, 1152) -> embeddings (N, width)."""
        embedding: Tensor = self.project(self.dropout(F.relu(self.hidden(seen))))
        return embedding

    def both(self, looked: Tensor, known: Tensor) -> Tensor:
        """The embeddings (N, width) of both looks: `looked` by this one, `known` by the small encoder."""
        return torch.lerp(known, looked, self.config.share)

    def chances(self, known: Tensor, geometry: Tensor, left: Tensor) -> Tensor:
        """Logits (N,) that a hand spells: embeddings (N, width), the geometry of their steps (N, 24), whether they are left
        hands (N,)."""
        told = torch.cat((known, of_one_hand(geometry, left)), 1)
        logits: Tensor = self.gate(told)[:, 0]
        return logits

    def looking(self, backend: Backend) -> Network:
        """The trunk as the backend runs it."""
        side = self.config.side_px
        return backend.network(self.trunk, np.zeros((1, side, side, 3), np.uint8), sizes=SMALL_SIZES)

    @torch.inference_mode()
    def wanted(self, known: Tensor, geometry: Tensor, left: Tensor) -> Tensor:
        """Which of the hands to look at, bool (N,)."""
        return self.chances(known, geometry, left).sigmoid() >= self.config.least

    @torch.inference_mode()
    def look(
        self, known: NDArray[np.float32], at: Whereabouts, see: Callable[[NDArray[np.intp]], NDArray[Any]]
    ) -> None:
        """Hands that may spell get the embeddings of both looks, in place of `known` (N, width) by the small encoder; `see` says
        what the trunk sees (K, 1152) of the rows (K,) it is given."""
        told = (torch.from_numpy(part) for part in (known, at.geometry, at.left))
        rows = np.flatnonzero(self.wanted(*told).numpy())
        if not len(rows):
            return
        taken = looks(2 * at.chunks[rows] + at.left[rows], at.steps[rows])
        looked = self(torch.from_numpy(see(rows[taken.at])))
        known[rows] = self.both(read_between(looked, taken.between), torch.from_numpy(known[rows])).numpy()


def looks(tracks: NDArray[np.int64], steps: NDArray[np.int64]) -> Looks:
    """Where to look at hands (N,) of steps (N,) 0..7 of their chunks; hands of one side, stream and chunk are one track. In each
    unbroken row of steps at `LOOKED`, and once at least."""
    order = np.lexsort((steps, tracks))
    broken = (np.diff(tracks[order]) != 0) | (np.diff(steps[order]) != 1)
    at: list[int] = []
    between = np.zeros(len(order), np.float32)
    for row in np.split(order, np.flatnonzero(broken) + 1):
        chosen = row[np.isin(steps[row], LOOKED)]
        if not len(chosen):
            chosen = row[len(row) // 2 :][:1]
        between[row] = len(at) + np.interp(steps[row], steps[chosen], np.arange(len(chosen)))
        at.extend(chosen)
    return Looks(np.array(at, np.intp), between)


def read_between(looked: Tensor, between: NDArray[np.float32]) -> Tensor:
    """Of looks (K, width) those `between` them (N, width), as in `Looks`."""
    share, first = np.modf(between)
    rows = torch.from_numpy(first).long(), torch.from_numpy(np.ceil(between)).long()
    return torch.lerp(looked[rows[0]], looked[rows[1]], torch.from_numpy(share)[:, None])


def of_one_hand(geometry: Tensor, left: Tensor) -> Tensor:
    """Geometry (N, 24) told from the hand's own side (N, 13): what is a left hand's is mirrored."""
    assert geometry.shape[1] == GEOMETRY, geometry.shape
    right_first = geometry[:, : 2 * OF_ONE_HAND]
    mirror = geometry.new_tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0]).repeat(2)
    left_first = right_first.roll(OF_ONE_HAND, 1) * mirror
    own = torch.where(left[:, None], left_first, right_first)
    return torch.cat((own, geometry[:, FACE_SEEN : FACE_SEEN + 1]), 1)
