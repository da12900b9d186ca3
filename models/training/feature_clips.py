"""Cached features of clips: what the frozen eyes saw, with every target the experts, the router and fusion learn from.

This file knows no picture: it reads and batches what `features_stage` and `spelling_stage` wrote, and varies it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.layout import GEOMETRY, HAND, MANUAL
from models.vocabulary import BLANK, LETTERS, PHONEMES, Vocabulary, joint

FloatArray = NDArray[np.float32]
IGNORED = -100
MIRROR_ORDER = [*range(6, 12), *range(6), 12, 13, 14, *range(18, 21), *range(15, 18), 21, 22, 23]
MIRROR_SIGN = np.ones(GEOMETRY, np.float32)
MIRROR_SIGN[[1, 4, 7, 10, 13, 15, 18]] = -1
"""Geometry in a mirror (channels: models/crops.py): sides change places, every x changes its sign; the distance
between the hands keeps its x (both the sides and the axis turn) and changes its y."""


@dataclass(frozen=True)
class FeatureClip:
    """One clip's features (T, ...) and truth; `symbols` holds the joint symbol a step, "?" where none is trained."""

    manual: FloatArray
    mouth: FloatArray
    routes: NDArray[np.int8]
    symbols: tuple[str, ...]
    tokens: tuple[str, ...]
    """Joint symbols in order of time: glosses and "#M"."""
    phonemes: tuple[str, ...]
    english: str = ""

    def __len__(self) -> int:
        return len(self.manual)


def save(clips: list[FeatureClip], path: Path) -> None:
    """Writes clips as one file; features in half precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"manual": torch.from_numpy(c.manual).half(), "mouth": torch.from_numpy(c.mouth).half(),
         "routes": torch.from_numpy(c.routes), "symbols": c.symbols, "tokens": c.tokens, "phonemes": c.phonemes,
         "english": c.english}
        for c in clips
    ]  # fmt: skip
    beside = path.with_suffix(".part")
    torch.save(rows, beside)
    beside.rename(path)


def load(path: Path) -> list[FeatureClip]:
    """Reads clips back."""
    rows = torch.load(path, weights_only=True)
    return [
        FeatureClip(row["manual"].float().numpy(), row["mouth"].float().numpy(), row["routes"].numpy(),
                    tuple(row["symbols"]), tuple(row["tokens"]), tuple(row["phonemes"]), row["english"])
        for row in rows
    ]  # fmt: skip


@dataclass(frozen=True)
class Targets:
    """Vocabularies of the three experts and of fusion."""

    glosses: Vocabulary
    letters: Vocabulary
    phonemes: Vocabulary
    joint: Vocabulary

    @staticmethod
    def of(glosses: tuple[str, ...]) -> Targets:
        return Targets(Vocabulary(glosses), Vocabulary(tuple(LETTERS)), Vocabulary(tuple(PHONEMES)),
                       joint(glosses))  # fmt: skip

    def of_expert(self, name: str) -> Vocabulary:
        return {"sign": self.glosses, "fingerspelling": self.letters, "lips": self.phonemes, "fusion": self.joint}[name]


def symbol_of(name: str, symbol: str) -> str | None:
    """The expert's own symbol for a joint symbol: a gloss for `sign`, the bare letter for `fingerspelling`."""
    if name == "fusion":
        return symbol
    if name == "sign":
        return None if symbol.startswith("#") else symbol
    return symbol[1:] if symbol.startswith("#") else None


@dataclass(frozen=True)
class Batch:
    """Padded to the longest clip: features (B, T, ...), lengths (B,), CTC targets and framewise labels (B, T)."""

    manual: Tensor
    mouth: Tensor
    routes: Tensor
    lengths: Tensor
    targets: list[list[int]]
    frames: Tensor
    """Framewise symbol ids, `IGNORED` where not trained."""


def collate(clips: list[FeatureClip], name: str, targets: Targets) -> Batch:
    """Pads clips into a batch for one expert ("sign", "fingerspelling", "lips") or for "fusion"."""
    vocabulary, longest = targets.of_expert(name), max(len(clip) for clip in clips)
    manual = torch.zeros(len(clips), longest, MANUAL)
    mouth = torch.zeros(len(clips), longest, clips[0].mouth.shape[1])
    routes = torch.full((len(clips), longest), IGNORED, dtype=torch.long)
    frames = torch.full((len(clips), longest), IGNORED, dtype=torch.long)
    wanted: list[list[int]] = []
    for row, clip in enumerate(clips):
        manual[row, : len(clip)] = torch.from_numpy(clip.manual)
        mouth[row, : len(clip)] = torch.from_numpy(clip.mouth)
        routes[row, : len(clip)] = torch.from_numpy(clip.routes.astype(np.int64))
        frames[row, : len(clip)] = torch.tensor(_frame_ids(clip, name, vocabulary))
        tokens = clip.phonemes if name == "lips" else [symbol_of(name, token) for token in clip.tokens]
        wanted.append(vocabulary.encode([token for token in tokens if token is not None]))
    lengths = torch.tensor([len(clip) for clip in clips])
    return Batch(manual, mouth, routes, lengths, wanted, frames)


def _frame_ids(clip: FeatureClip, name: str, vocabulary: Vocabulary) -> list[int]:
    if name == "lips":
        return [IGNORED] * len(clip)
    ids: list[int] = []
    for symbol in clip.symbols:
        own = symbol_of(name, symbol) if symbol not in ("", "?") else symbol
        if own == "?":
            ids.append(IGNORED)
        else:
            ids.append(vocabulary.ids[own] if own else BLANK)
    return ids


def mirrored(clip: FeatureClip) -> FeatureClip:
    """The same signing by a left-handed signer: hands change places (their embeddings are of right hands already)."""
    hands, geometry = clip.manual[:, : 2 * HAND], clip.manual[:, 2 * HAND :]
    swapped = np.roll(hands, HAND, axis=1)
    return replace(clip, manual=np.concatenate([swapped, geometry[:, MIRROR_ORDER] * MIRROR_SIGN], axis=1))


def varied(clip: FeatureClip, rng: np.random.Generator, *, strength: float = 1.0) -> FeatureClip:
    """Another take of a clip: time stretched, places shifted and scaled, hands lost for moments, embeddings noisy."""
    clip = _stretched(clip, rng)
    if rng.random() < 0.12 * strength:
        clip = mirrored(clip)
    manual, mouth = clip.manual.copy(), clip.mouth.copy()
    steps = len(manual)
    geometry = manual[:, 2 * HAND :]
    assert geometry.shape[1] == GEOMETRY
    for side in range(2):
        seen = geometry[:, 6 * side] > 0.5
        shift = rng.normal(0, 0.06 * strength, 2) + _wander(steps, rng, 0.04 * strength)
        geometry[seen, 6 * side + 1 : 6 * side + 3] += shift[seen]
        geometry[seen, 6 * side + 3] += rng.normal(0, 0.08 * strength)
        geometry[seen, 6 * side + 4 : 6 * side + 6] += rng.normal(0, 0.02 * strength, (int(seen.sum()), 2))
        if rng.random() < 0.4 * strength:
            start = int(rng.integers(steps))
            lost = slice(start, start + int(rng.integers(1, 6)))
            manual[lost, HAND * side : HAND * (side + 1)] = 0
            geometry[lost, 6 * side : 6 * side + 6] = 0
    spread = manual[:, : 2 * HAND].std() + 1e-6
    manual[:, : 2 * HAND] += rng.normal(0, 0.15 * strength * spread, (steps, 2 * HAND)).astype(np.float32) * (
        manual[:, : 2 * HAND] != 0
    )
    mouth += rng.normal(0, 0.1 * strength * (mouth.std() + 1e-6), mouth.shape).astype(np.float32)
    if rng.random() < 0.3 * strength:
        start = int(rng.integers(steps))
        mouth[start : start + int(rng.integers(2, 10))] = 0
    return replace(clip, manual=manual.astype(np.float32), mouth=mouth.astype(np.float32))


def _wander(steps: int, rng: np.random.Generator, size: float) -> FloatArray:
    knots = max(2, steps // 12)
    at = np.linspace(0, knots - 1, steps)
    columns = [np.interp(at, np.arange(knots), rng.normal(0, size, knots)) for _ in range(2)]
    return np.stack(columns, axis=1).astype(np.float32)


def _stretched(clip: FeatureClip, rng: np.random.Generator) -> FeatureClip:
    """Time resampled by a slowly varying rate of 0.85 to 1.2: nearest steps, so embeddings stay real ones."""
    steps = len(clip)
    rate = float(rng.uniform(0.85, 1.2))
    length = max(8, round(steps * rate))
    warp = np.clip(np.linspace(0, steps - 1, length) + _wander(length, rng, 0.8)[:, 0], 0, steps - 1)
    at = np.maximum.accumulate(np.round(warp).astype(int))
    symbols = tuple(clip.symbols[i] for i in at)
    return replace(clip, manual=clip.manual[at], mouth=clip.mouth[at], routes=clip.routes[at], symbols=symbols)
