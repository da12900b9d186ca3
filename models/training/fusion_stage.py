"""Fusion with frozen experts and a frozen router: it learns what the routed experts' posteriors lack.

Its output starts as the routed experts' own (see models/fusion.py), so training can only correct it.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import save
from models.config import FusionConfig
from models.error_rate import ErrorRate
from models.fusion import Fusion, FusionInput
from models.hearing import Experts
from models.streaming import Window
from models.training import feature_sets, growth
from models.training.expert_loss import fusion_loss, padding_mask, read, temperature
from models.training.feature_clips import Batch, FeatureStore, Targets
from models.training.feature_sets import Source, Takes
from models.training.loop import Run, Schedule, best_device, learn

SPELLED_SHARE = 0.2


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, mode: str = "gated", device: str | None = None,
    features: Path = feature_sets.FEATURES, start: Path | None = None, learning_rate: float = 1e-3,
) -> dict[str, float]:  # fmt: skip
    """Trains fusion on cached features; `mode` "cross" or "concat" for the ablation. `start` is a folder of weights to go
    on from, with a lower `learning_rate`."""
    del data
    where, targets = best_device(device), Targets.of(feature_sets.glosses_of(out / "glosses.txt"))
    drawn, spelled = (FeatureStore.read(features / f"{kind}.pt", targets) for kind in ("synthetic", "spelled"))
    source = Source.of(FeatureStore.joined([drawn, spelled]).to(where), "fusion", targets)
    held = Source.of(FeatureStore.read(features / "held_out.pt", targets).to(where), "fusion", targets)
    words = list(range(len(drawn), len(source.store)))
    real = Source.of(source.store.part(words[-feature_sets.HELD_OUT_WORDS :]), "fusion", targets)
    frozen, name = Experts.load(out, where).frozen(), "fusion" if mode == "gated" else f"fusion_{mode}"
    config = FusionConfig(sign_vocabulary=targets.glosses.size, mode=mode, dropout=0.15)
    fusion = Fusion(config)
    if start is not None:
        growth.begin(fusion, start, name, targets.glosses)
    run = Run(f"fusion_{mode}", fusion, seed, device=where)
    rng = random.Random(seed + run.steps)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        window = Window.draw(rng)
        tau = temperature(rng, run.spent_s / 60 / minutes)
        return fusion_loss(module(*_heard(frozen, batch, window, tau), window), batch)

    def watch(run: Run) -> None:
        assert isinstance(run.average, Fusion)
        save(run.average, config, out, name)
        print(name, error_rate(run.average, frozen, held), flush=True)

    shares = [(list(range(len(drawn))), 1 - SPELLED_SHARE), (words[: -feature_sets.HELD_OUT_WORDS], SPELLED_SHARE)]
    stream = feature_sets.batches(source, shares, seed=seed + run.steps, takes=Takes(strength=0.8))
    schedule = Schedule(
        minutes, learning_rate, warmup_minutes=min(0.5, minutes / 15), average_decay=0.995, half=False, half_on_cpu=True
    )
    best = learn(run, schedule, stream, loss, watch=watch)
    assert isinstance(best, Fusion)
    save(best, config, out, name)
    return {
        "experts_error": error_rate(Fusion(config).eval().to(where), frozen, held),
        "fused_error": error_rate(best, frozen, held), "spelled_error": error_rate(best, frozen, real),
    }  # fmt: skip


def _heard(
    experts: Experts, batch: Batch, window: Window | None = None, tau: float | None = None
) -> tuple[FusionInput, Tensor]:
    """What fusion takes: the experts' words, and the mask of what is no padding."""
    mask = padding_mask(batch.lengths, batch.manual.shape[1])
    return experts.hear(batch.features, mask, window, tau), mask


@torch.inference_mode()
def error_rate(fusion: Fusion, frozen: Experts, source: Source) -> float:
    """Edit distance of the joint best path to the tokens, with the routes taken live."""
    rate = ErrorRate()
    for batch in feature_sets.validation(source):
        read(rate, fusion(*_heard(frozen, batch)).log_probs, batch.lengths, batch.targets)
    return rate.value
