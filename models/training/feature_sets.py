"""Which feature clips each network learns from, and endless batches of them.

`synthetic*.pt` are clips of the drawn signer, `spelled*.pt` real hands that spell (from photographs), `held_out.pt`
clips of signers and sentences that no training sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from models.training.feature_clips import Batch, FeatureClip, Targets, collate, load, varied

FEATURES = Path("runs/features")
BATCH_FRAMES = 2200


def read(pattern: str, folder: Path = FEATURES) -> list[FeatureClip]:
    """All clips of the files that match; an error names the stage that makes them."""
    files = sorted(folder.glob(pattern))
    if not files:
        raise ValueError(f"expected {pattern} in {folder}, but there is none: run `signbind train features` first")
    return [clip for file in files for clip in load(file)]


def glosses_of(path: Path) -> tuple[str, ...]:
    """The gloss vocabulary, one a line, as `glosses.txt` keeps it."""
    return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line)


def batches(
    clips: list[FeatureClip], name: str, targets: Targets, *, seed: int, other: list[FeatureClip] | None = None,
    other_share: float = 0.3, strength: float = 1.0,
) -> Iterator[Batch]:  # fmt: skip
    """Endless shuffled batches of about `BATCH_FRAMES` steps; `other` clips (real hands) fill their share of each."""
    rng = np.random.default_rng(seed)
    while True:
        pool = list(rng.permutation(len(clips)))
        while pool:
            chosen: list[FeatureClip] = []
            while pool and sum(map(len, chosen)) < BATCH_FRAMES * (1 - other_share if other else 1):
                chosen.append(clips[pool.pop()])
            while other and sum(map(len, chosen)) < BATCH_FRAMES:
                chosen.append(other[int(rng.integers(len(other)))])
            yield collate([varied(clip, rng, strength=strength) for clip in chosen], name, targets)


def validation(clips: list[FeatureClip], name: str, targets: Targets, size: int = 16) -> Iterator[Batch]:
    """All clips once, unvaried, those of like length together."""
    ordered = sorted(clips, key=len)
    for start in range(0, len(ordered), size):
        yield collate(ordered[start : start + size], name, targets)


def fit_standardise(module: torch.nn.Module, features: torch.Tensor) -> None:
    """Measures mean and deviation of a network's input on a sample of its training features."""
    module.standardise.fit(features)  # type: ignore[operator, union-attr]
