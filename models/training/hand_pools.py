"""What the hand encoder learns from, on the device that trains: photographs, hands of real signing, drawn hands, no hands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features import HAND_SIZE
from models.training import hand_poses, seen_clips
from models.training.framing import random_background
from models.training.hand_looks import Changes, draw_views, placed, relight, turned
from models.training.photographs import DIGITS, cached_patches, read_digits, read_letters, symbol_id
from models.training.seen_clips import POSE, SeenClip
from models.training.splits import letter_sources

SOURCE_SHARES = {"davidlee": 0.36, "massey5": 0.26, "t32rahman": 0.14, "zarakiliz": 0.12, DIGITS: 0.14}
NONE = -1
SIGNING_CHANGES = Changes(turn_deg=15, smallest=0.66, largest=0.95, shift=0.06, squeeze=0.08, mirror=0.0)
DRAWN_CHANGES = Changes(turn_deg=6, smallest=0.9, largest=1.12, shift=0.05, squeeze=0.04, mirror=0.0)
EMPTY_CHANGES = Changes(smallest=0.6, largest=1.0)
EVERY = 3  # frames of a drawn clip, neighbours are alike
CLIPS_A_LOOK = 150  # drawn clips read in one go while training waits


@dataclass(frozen=True)
class HandBatch:
    """`pictures` (N, 3, 64, 64) in 0..1: photographs, no hands, signing, drawn; `sizes` says how many of each.

    symbols (N,) 0-35 or -1; is_hand (N,) 0 or 1; poses (N, 26), NaN where not known."""

    pictures: Tensor
    symbols: Tensor
    is_hand: Tensor
    poses: Tensor
    sizes: tuple[int, int, int, int]


@dataclass(frozen=True)
class Pictures:
    """N pictures (N, 3, H, W) uint8 with what is known of each; `weights` are how often each is drawn."""

    pictures: Tensor
    symbols: Tensor
    poses: Tensor
    weights: Tensor
    opaque: Tensor | None = None

    def draw(self, count: int) -> Tensor:
        """Numbers of `count` random pictures."""
        return torch.multinomial(self.weights, count, replacement=True)


class HandPools:
    """Endless batches; drawn clips that appear in `clips` later are taken in by `look`."""

    def __init__(
        self, data: Path, clips: Path, device: torch.device, most_drawn: int, *, permissive_only: bool = False
    ) -> None:
        self.device, self.clips, self.most_drawn = device, clips, most_drawn
        self.changes = Changes()
        self.photographs = _photographs(data, device, letter_sources(permissive_only=permissive_only))
        empty, hands = made_up_patches() if permissive_only else cached_patches(data)
        self.empty = _channels_first(empty, device)
        self.signing = _signing(hands, device, taught=not permissive_only)
        self.drawn: Pictures | None = None
        self._read: set[Path] = set()
        self.look()

    def look(self) -> int:
        """Takes in drawn clips that are new; returns how many hands there are now."""
        fresh = [path for path in seen_clips.kept(self.clips) if path not in self._read][:CLIPS_A_LOOK]
        have = 0 if self.drawn is None else len(self.drawn.pictures)
        if not fresh or have >= self.most_drawn:
            return have
        self._read.update(fresh)
        parts = [_drawn(seen_clips.read(path)) for path in fresh]
        crops, symbols, poses = (np.concatenate(column) for column in zip(*parts, strict=True))
        new = Pictures(
            _channels_first(crops, self.device), torch.from_numpy(symbols).to(self.device),
            torch.from_numpy(poses).to(self.device), torch.ones(len(crops), device=self.device),
        )  # fmt: skip
        self.drawn = new if self.drawn is None else _together(self.drawn, new)
        return len(self.drawn.pictures)

    def batches(self, photographs: int, empty: int, signing: int, drawn: int) -> Iterator[HandBatch]:
        """Endless batches with so many pictures of each kind."""
        while True:
            yield self._batch(
                photographs, empty, signing if len(self.signing.pictures) else 0, drawn if self.drawn else 0
            )

    @torch.no_grad()
    def _batch(self, photographs: int, empty: int, signing: int, drawn: int) -> HandBatch:
        parts = [self._photographed(photographs), self._empty(empty)]
        parts += [_taken(self.signing, signing, SIGNING_CHANGES)] if signing else []
        parts += [_taken(self.drawn, drawn, DRAWN_CHANGES)] if drawn and self.drawn is not None else []
        pictures, symbols, poses = (torch.cat(column) for column in zip(*parts, strict=True))
        is_hand = torch.ones(len(pictures), device=self.device)
        is_hand[photographs : photographs + empty] = 0
        return HandBatch(relight(pictures), symbols, is_hand, poses, (photographs, empty, signing, drawn))

    def _photographed(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        rows = self.photographs.draw(count)
        view = draw_views(count, self.changes, self.device)
        behind = self.empty[torch.randint(len(self.empty), (count,), device=self.device)]
        assert self.photographs.opaque is not None
        seen = placed(self.photographs.pictures[rows], self.photographs.opaque[rows], behind, view, self.changes)
        return seen, self.photographs.symbols[rows], turned(self.photographs.poses[rows], view)

    def _empty(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.empty[torch.randint(len(self.empty), (count,), device=self.device)]
        nothing = torch.full((count,), NONE, device=self.device)
        unknown = torch.full((count, POSE), torch.nan, device=self.device)
        return placed(seen, None, None, draw_views(count, EMPTY_CHANGES, self.device), EMPTY_CHANGES), nothing, unknown


def _taken(pool: Pictures, count: int, changes: Changes) -> tuple[Tensor, Tensor, Tensor]:
    rows = pool.draw(count)
    view = draw_views(count, changes, pool.pictures.device)
    return placed(pool.pictures[rows], None, None, view, changes), pool.symbols[rows], turned(pool.poses[rows], view)


def _channels_first(pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).to(device)


def _together(one: Pictures, other: Pictures) -> Pictures:
    return Pictures(
        *(torch.cat([getattr(one, name), getattr(other, name)]) for name in ("pictures", "symbols", "poses", "weights"))
    )


def made_up_patches(count: int = 600) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Backgrounds drawn at random (N, 96, 96, 3), and no hands: for training without anybody's videos."""
    rng = np.random.default_rng(0)
    empty = np.stack([random_background(rng, 96, 96) for _ in range(count)])
    return empty, np.zeros((0, 96, 96, 3), np.uint8)


def _photographs(data: Path, device: torch.device, names: tuple[str, ...]) -> Pictures:
    """All training photographs; sources by their shares, classes of a source evenly."""
    sources = {name: read_letters(data / "letters", name) for name in names}
    sources[DIGITS] = read_digits(data)
    weights = []
    for name, one in sources.items():
        counts = np.bincount(one.symbols, minlength=36)
        weights.append(SOURCE_SHARES[name] / (counts[one.symbols] * (counts > 0).sum()))
    kept = list(sources.values())
    opaque = torch.from_numpy(np.concatenate([one.opaque for one in kept]))[:, None].to(device)
    poses = hand_poses.of_photographs([path for one in kept for path in one.paths])
    return Pictures(
        _channels_first(np.concatenate([one.pictures for one in kept]), device),
        torch.from_numpy(np.concatenate([one.symbols for one in kept])).to(device),
        torch.from_numpy(poses).to(device), torch.from_numpy(np.concatenate(weights)).float().to(device), opaque,
    )  # fmt: skip


def _signing(patches: NDArray[np.uint8], device: torch.device, *, taught: bool) -> Pictures:
    """Hands of real signing: those that the teacher saw, or plain patches of which only "a hand" is known."""
    found = hand_poses.of_signing()
    crops, poses = found.crops, found.poses
    if not taught or not len(crops):
        crops, poses = patches, np.full((len(patches), POSE), np.nan, np.float32)
    return Pictures(
        _channels_first(crops, device), torch.full((len(crops),), NONE, device=device),
        torch.from_numpy(poses).to(device), torch.ones(len(crops), device=device),
    )  # fmt: skip


def _drawn(clip: SeenClip) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Every third crop of a drawn clip with its letter (or -1) and its pose."""
    symbols = np.full((len(clip), 2), NONE, np.int64)
    spelled = seen_clips.frame_symbols(clip)
    higher = np.nan_to_num(clip.boxes[:, :2, 1], nan=2.0).argmin(1)  # the spelling hand is the raised one
    for step, symbol in enumerate(spelled):
        if symbol.startswith("#") and spelled[max(0, step - 1)] == symbol:
            symbols[step, higher[step]] = symbol_id(symbol[1:])
    rows = np.zeros(len(clip), bool)
    rows[::EVERY] = True
    chosen = rows[:, None] & clip.seen[:, :2] & ~np.isnan(clip.pose[:, :, 0])
    assert clip.hands.shape[2] == HAND_SIZE, clip.hands.shape
    return clip.hands[chosen], symbols[chosen], clip.pose[chosen]
