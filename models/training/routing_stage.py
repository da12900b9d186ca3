"""The router: sign, fingerspelling or rest for every step, by framewise cross entropy on drawn and real hands."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import save
from models.config import RouterConfig
from models.routing import Router
from models.streaming import Window
from models.training import feature_sets
from models.training.expert_loss import padding_mask
from models.training.feature_clips import IGNORED, Batch, FeatureClip, Targets
from models.training.loop import Run, Schedule, learn


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, features: Path = feature_sets.FEATURES
) -> dict[str, float]:
    """Trains the router on all cached features."""
    del data
    targets = Targets.of(feature_sets.glosses_of(out / "glosses.txt"))
    clips, held = feature_sets.read("synthetic*.pt", features), feature_sets.read("held_out.pt", features)
    spelled = feature_sets.read("spelled*.pt", features)
    config = RouterConfig(dropout=0.15)
    router = Router(config)
    sample = clips[:400] + spelled[:200]
    router.standardise.fit(torch.cat([torch.from_numpy(clip.manual) for clip in sample]))
    run = Run("router", router, seed)
    rng = random.Random(seed)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        logits = module(batch.manual, padding_mask(batch.lengths, batch.manual.shape[1]), Window.draw(rng))
        value = functional.cross_entropy(
            logits.flatten(0, 1), batch.routes.flatten(), ignore_index=IGNORED, label_smoothing=0.02
        )
        return value, {}

    stream = feature_sets.batches(clips, "sign", targets, seed=seed + run.steps, other=spelled, other_share=0.25)
    best = learn(run, Schedule(minutes, learning_rate=2e-3, average_decay=0.995), stream, loss)
    assert isinstance(best, Router)
    save(best, config, out, "router")
    figures = {
        "route_accuracy": accuracy(best, held, targets),
        "spelled_accuracy": accuracy(best, spelled[-100:], targets),
    }
    print(figures)
    return figures


@torch.inference_mode()
def accuracy(router: Router, clips: list[FeatureClip], targets: Targets) -> float:
    """Share of steps whose likeliest route is the true one."""
    right = total = 0
    for batch in feature_sets.validation(clips, "sign", targets):
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        found = router(batch.manual, mask).argmax(-1)
        right += int((found == batch.routes)[mask].sum())
        total += int(mask.sum())
    return right / max(1, total)
