"""Trains the mouth encoder and the lips expert together, on GRID and on the synthetic signer's mouths."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.checkpoint import save
from models.config import ExpertConfig
from models.experts import Expert, ExpertOutput
from models.layout import MOUTH
from models.lips import MouthEncoder, MouthEncoderConfig
from models.streaming import Window
from models.training.expert_loss import ctc, edit_distance, greedy, padding_mask
from models.training.grid import grid_clips
from models.training.lips_clips import (
    MARGIN,
    SIDE,
    VOCABULARY,
    MouthBatch,
    MouthClip,
    batches,
    cached_grid,
    crops_between,
)
from models.training.loop import RUNS, Run, Schedule, learn

NAME = "lips"
IGNORED = -100


class Lipreader(nn.Module):
    """Encoder and expert, with two heads that only training has: framewise phonemes of embeddings and of hidden states."""

    def __init__(self, encoder: MouthEncoderConfig, expert: ExpertConfig) -> None:
        super().__init__()
        self.encoder, self.expert = MouthEncoder(encoder), Expert(expert)
        self.near = nn.Conv1d(MOUTH, expert.vocabulary, 5, padding=2)
        self.far = nn.Linear(expert.dim, expert.vocabulary)

    def embed(self, batch: MouthBatch) -> Tensor:
        """Embeddings (B, T, 96), zero on padding and where the mouth is not seen."""
        own = padding_mask(batch.lengths, batch.frames.shape[1])
        features = torch.zeros(*own.shape, MOUTH)
        features[own] = self.encoder.embed(batch.pictures)
        return features * batch.seen

    def read(self, features: Tensor, lengths: Tensor, window: Window | None = None) -> ExpertOutput:
        """The expert on padded embeddings."""
        output: ExpertOutput = self.expert(features, padding_mask(lengths, features.shape[1]), window)
        return output


def lips_config() -> ExpertConfig:
    """The compact preset's lips expert."""
    return ExpertConfig(in_features=MOUTH, vocabulary=VOCABULARY.size, layers=3, dropout=0.08)


@dataclass
class LipsLoss:
    """CTC, and framewise cross entropy that is strong at first: it pulls CTC off its plateau of blanks."""

    run: Run
    rng: random.Random

    def __call__(self, model: nn.Module, batch: MouthBatch) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(model, Lipreader)
        features = model.embed(batch)
        output = model.read(features, batch.lengths, Window.draw(self.rng))
        ctc_loss = ctc(output.log_probs, batch.lengths, batch.targets)
        near = framewise(model.near(features.transpose(1, 2)).transpose(1, 2), batch.frames)
        far = framewise(model.far(output.hidden), batch.frames)
        weight = max(0.15, 1.0 - self.run.steps / 1500)
        return ctc_loss + weight * (near + far) / 2, {"ctc": ctc_loss.item(), "near": near.item(), "far": far.item()}


def framewise(scores: Tensor, frames: Tensor) -> Tensor:
    """Cross entropy of scores (B, T, V) against frame ids (B, T)."""
    return cross_entropy(scores.flatten(0, 1), frames.flatten(), ignore_index=IGNORED, label_smoothing=0.1)


def synthetic_clips(folder: Path) -> list[MouthClip]:
    """Mouths of the clips that models/training/clip_cache.py has drawn into `folder`; none where there is no folder."""
    if not folder.is_dir():
        return []
    from models.training import clip_cache

    assert (clip_cache.MOUTH_MARGIN, clip_cache.MOUTH_SIDE) == (MARGIN, SIDE)
    clips = []
    for path in sorted(folder.glob("*.npz"), key=lambda path: path.name):
        if path.name.endswith(".part.npz"):
            continue
        clip = clip_cache.load(path)
        empty = np.full((SIDE, SIDE), 128, np.uint8)
        pictures = [np.asarray(clip_cache.decode(data, grey=True)) if data else empty for data in clip.mouths]
        spans = tuple((VOCABULARY.encode([text])[0], start * 0.025, end * 0.025) for text, start, end in clip.phonemes)
        clips.append(MouthClip(path.stem, np.stack(pictures).astype(np.uint8), spans))
    return clips


@torch.no_grad()
def phoneme_error_rate(model: Lipreader, clips: Sequence[MouthClip]) -> float:
    """Greedy decoding of whole clips whose crops lie as the cache has them: edits a phoneme."""
    edits = total = 0
    for clip in clips:
        crops = torch.from_numpy(crops_between(clip.pictures))
        log_probs = model.expert(model.encoder(crops)[None]).log_probs
        target = [phoneme[0] for phoneme in clip.phonemes]
        edits += edit_distance(greedy(log_probs[0], len(crops)), target)
        total += len(target)
    return edits / max(1, total)


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, synthetic: Path = RUNS / "clips", batch_size: int = 16
) -> dict[str, float]:
    """Trains on `data/grid_lips` and on drawn clips in `synthetic`; saves mouth_encoder and lips into `out`."""
    real = cached_grid(grid_clips(data / "grid_lips", held_out=False), RUNS / "grid")
    drawn = synthetic_clips(synthetic)
    print(f"lips: {len(real)} GRID clips, {len(drawn)} synthetic clips", flush=True)
    run = Run(NAME, Lipreader(MouthEncoderConfig(), lips_config()), seed=seed)
    rng = np.random.default_rng([seed, run.steps])
    schedule = Schedule(minutes=minutes, learning_rate=1.5e-3)
    stream = batches(real, drawn, rng, batch_size, 0.3)
    model = learn(run, schedule, stream, LipsLoss(run, random.Random(seed + run.steps)))
    assert isinstance(model, Lipreader)
    save(model.encoder, model.encoder.config, out, "mouth_encoder")
    save(model.expert, model.expert.config, out, "lips")
    held_out = cached_grid(grid_clips(data / "grid_lips", held_out=True), RUNS / "grid")
    return {"grid_phoneme_error_rate": phoneme_error_rate(model, held_out), "steps": run.steps}
