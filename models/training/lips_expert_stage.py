"""Trains the lips expert on, behind a mouth encoder that is frozen: every mouth is encoded a few times, then only read.

Ten times cheaper a step than `lips_stage`, which must have trained both before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import load, save
from models.experts import Expert
from models.layout import MOUTH
from models.lips import MouthEncoder
from models.streaming import Window
from models.training.expert_loss import ctc, padding_mask
from models.training.grid import grid_clips
from models.training.lips_clips import MouthClip, cached_grid, crops_between, look, spliced, take
from models.training.lips_stage import Lipreader, framewise, phoneme_error_rate, synthetic_clips
from models.training.loop import RUNS, Run, Schedule, learn

NAME = "lips_expert"
VIEWS = 4
Embeddings = NDArray[np.float16]


@dataclass(frozen=True)
class ReadBatch:
    """Embeddings (B, T, 96), zero on padding; frame ids (B, T), -100 on padding."""

    features: Tensor
    lengths: Tensor
    targets: list[list[int]]
    frames: Tensor


class Reader(nn.Module):
    """The expert with a framewise head that only training has."""

    def __init__(self, expert: Expert) -> None:
        super().__init__()
        self.expert = expert
        self.far = nn.Linear(expert.config.dim, expert.config.vocabulary)


@torch.no_grad()
def views(clip: MouthClip, encoder: MouthEncoder, rng: np.random.Generator, count: int) -> list[Embeddings]:
    """Embeddings (frames, 96) of the clip as cached, and of `count - 1` random looks at it."""
    plain = encoder(torch.from_numpy(crops_between(clip.pictures)))
    varied = [encoder.embed(look(clip.pictures, rng)) for _ in range(count - 1)]
    return [view.numpy().astype(np.float16) for view in (plain, *varied)]


def cached_views(clips: Sequence[MouthClip], encoder: MouthEncoder, path: Path, count: int) -> list[list[Embeddings]]:
    """`views` of all clips, kept in `path`."""
    if path.is_file():
        stored = torch.load(path, weights_only=True)
        return [[view.numpy() for view in one] for one in stored]
    rng = np.random.default_rng(0)
    found = [views(clip, encoder, rng, count) for clip in clips]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save([[torch.from_numpy(view) for view in one] for one in found], path)
    return found


@dataclass(frozen=True)
class Source:
    """Clips and their views."""

    clips: Sequence[MouthClip]
    views: Sequence[Sequence[Embeddings]]

    def draw(self, rng: np.random.Generator) -> MouthClip:
        """A random view of a random clip: a clip whose pictures are embeddings."""
        row = int(rng.integers(len(self.clips)))
        clip, seen = self.clips[row], self.views[row]
        return MouthClip(clip.name, seen[int(rng.integers(len(seen)))], clip.phonemes, clip.words)


def batches(
    real: Source, drawn: Source | None, rng: np.random.Generator, size: int, share: float
) -> Iterator[ReadBatch]:
    """Endless batches; half of the real clips end with another one's last words; `share` of a batch is drawn mouths."""
    synthetic = round(size * share) if drawn is not None else 0
    while True:
        clips = [real.draw(rng) for _ in range(size - synthetic)]
        clips = [spliced(clip, real.draw(rng), rng) if rng.random() < 0.5 else clip for clip in clips]
        clips += [drawn.draw(rng) for _ in range(synthetic)] if drawn is not None else []
        yield collate(clips, rng)


def collate(clips: Sequence[MouthClip], rng: np.random.Generator) -> ReadBatch:
    """One take of each, noisy, and blind for moments."""
    takes = [take(clip, rng) for clip in clips]
    lengths = [len(one.indices) for one in takes]
    features = torch.zeros(len(clips), max(lengths), MOUTH)
    frames = torch.full((len(clips), max(lengths)), -100, dtype=torch.long)
    for row, (clip, one) in enumerate(zip(clips, takes, strict=True)):
        seen = torch.from_numpy(clip.pictures[one.indices].astype(np.float32))
        seen += torch.randn_like(seen) * float(rng.uniform(0, 0.2))
        if rng.random() < 0.4:
            start = int(rng.integers(len(seen)))
            seen[start : start + int(rng.integers(1, 6))] = 0
        features[row, : lengths[row]] = seen
        frames[row, : lengths[row]] = torch.from_numpy(one.frames)
    return ReadBatch(features, torch.tensor(lengths), [one.target for one in takes], frames)


@dataclass
class ReadLoss:
    """CTC and a framewise cross entropy of hidden states."""

    rng: random.Random

    def __call__(self, model: nn.Module, batch: ReadBatch) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(model, Reader)
        mask = padding_mask(batch.lengths, batch.features.shape[1])
        output = model.expert(batch.features, mask, Window.draw(self.rng))
        ctc_loss = ctc(output.log_probs, batch.lengths, batch.targets)
        far = framewise(model.far(output.hidden), batch.frames)
        return ctc_loss + 0.3 * far, {"ctc": ctc_loss.item(), "far": far.item()}


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, synthetic: Path = RUNS / "clips", batch_size: int = 24
) -> dict[str, float]:
    """Trains on the `lips` expert in `out`, for the `mouth_encoder` in `out`; saves `lips` again."""
    encoder, expert = load(MouthEncoder, out, "mouth_encoder"), load(Expert, out, "lips")
    real = cached_grid(grid_clips(data / "grid_lips", held_out=False), RUNS / "grid")
    drawn = synthetic_clips(synthetic)
    seen = Source(real, cached_views(real, encoder, RUNS / "views_grid.pt", VIEWS))
    played = Source(drawn, cached_views(drawn, encoder, RUNS / "views_drawn.pt", 2)) if drawn else None
    print(f"{NAME}: {len(real)} GRID clips, {len(drawn)} synthetic clips", flush=True)
    run = Run(NAME, Reader(expert.train()), seed=seed)
    stream = batches(seen, played, np.random.default_rng([seed, run.steps]), batch_size, 0.3)
    best = learn(run, Schedule(minutes, learning_rate=1.2e-3), stream, ReadLoss(random.Random(seed + run.steps)))
    assert isinstance(best, Reader)
    save(best.expert, best.expert.config, out, "lips")
    held_out = cached_grid(grid_clips(data / "grid_lips", held_out=True), RUNS / "grid")
    reader = Lipreader(encoder.config, best.expert.config)
    reader.encoder, reader.expert = encoder, best.expert
    return {"grid_phoneme_error_rate": phoneme_error_rate(reader, held_out), "steps": run.steps}
