"""Fusion with frozen experts and a frozen router: it learns what the routed experts' posteriors lack.

Its output starts as the routed experts' own (see models/fusion.py), so training can only correct it. Routes are drawn
by Gumbel-Softmax with tau annealed (Jang et al., arXiv 1611.01144), so that fusion meets the router's doubts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import load, save
from models.config import FusionConfig
from models.experts import Expert
from models.fusion import Fusion, FusionInput
from models.routing import Router
from models.streaming import Window
from models.training import feature_sets
from models.training.expert_loss import ctc, edit_distance, framewise, greedy, padding_mask
from models.training.feature_clips import Batch, FeatureClip, Targets
from models.training.loop import Run, Schedule, learn

FRAMEWISE = 0.5
TAU_FIRST, TAU_LAST = 1.0, 0.3
SPELLED_SHARE = 0.2


@dataclass(frozen=True)
class Frozen:
    """What fusion hears: the experts and the router, not trained."""

    router: Router
    sign: Expert
    fingerspelling: Expert
    lips: Expert

    @staticmethod
    def load(folder: Path) -> Frozen:
        parts = [load(Expert, folder, name).requires_grad_(False) for name in ("sign", "fingerspelling", "lips")]
        return Frozen(load(Router, folder, "router").requires_grad_(False), *parts)

    @torch.no_grad()
    def hear(self, batch: Batch, window: Window | None, tau: float | None) -> FusionInput:
        """The experts' words on a batch; routes sampled at temperature `tau`, or those taken live where it is None."""
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        logits = self.router(batch.manual, mask, window)
        routes = self.router.route(logits) if tau is None else self.router.route(logits, tau, training=True)
        sign = self.sign(batch.manual, mask, window)
        spelled = self.fingerspelling(batch.manual, mask, window)
        lips = self.lips(batch.mouth, mask, window)
        return FusionInput(
            sign.hidden, sign.log_probs, spelled.hidden, spelled.log_probs, lips.hidden, lips.log_probs, routes
        )


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, mode: str = "gated", features: Path = feature_sets.FEATURES
) -> dict[str, float]:
    """Trains fusion on cached features; `mode` "cross" or "concat" for the ablation."""
    del data
    targets = Targets.of(feature_sets.glosses_of(out / "glosses.txt"))
    clips, held = feature_sets.read("synthetic*.pt", features), feature_sets.read("held_out.pt", features)
    spelled = feature_sets.read("spelled*.pt", features)
    frozen = Frozen.load(out)
    config = FusionConfig(sign_vocabulary=targets.glosses.size, mode=mode, dropout=0.15)
    run = Run(f"fusion_{mode}", Fusion(config), seed)
    rng = random.Random(seed)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        done = min(1.0, run.spent_s / 60 / minutes)
        window = Window.draw(rng)
        tau = None if rng.random() < 0.5 else TAU_FIRST + done * (TAU_LAST - TAU_FIRST)
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        said = module(frozen.hear(batch, window, tau), mask, window)
        symbols, frames = ctc(said.log_probs, batch.lengths, batch.targets), framewise(said.log_probs, batch.frames)
        alpha = said.alpha[mask].mean()
        return symbols + FRAMEWISE * frames, {"ctc": symbols.item(), "framewise": frames.item(), "alpha": alpha.item()}

    stream = feature_sets.batches(
        clips, "fusion", targets, seed=seed + run.steps, other=spelled, other_share=SPELLED_SHARE, strength=0.8
    )
    best = learn(run, Schedule(minutes, learning_rate=1e-3, average_decay=0.995), stream, loss)
    assert isinstance(best, Fusion)
    save(best, config, out, "fusion" if mode == "gated" else f"fusion_{mode}")
    figures = {
        "experts_error": error_rate(Fusion(config).eval(), frozen, held, targets),
        "fused_error": error_rate(best, frozen, held, targets),
        "spelled_error": error_rate(best, frozen, spelled[-100:], targets),
    }
    print(figures, flush=True)
    return figures


@torch.inference_mode()
def error_rate(fusion: Fusion, frozen: Frozen, clips: list[FeatureClip], targets: Targets) -> float:
    """Edit distance of the joint best path to the tokens, with the routes taken live."""
    wrong = total = 0
    for batch in feature_sets.validation(clips, "fusion", targets):
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        log_probs = fusion(frozen.hear(batch, None, None), mask).log_probs
        for row, target in enumerate(batch.targets):
            wrong += edit_distance(greedy(log_probs[row], int(batch.lengths[row])), target)
            total += len(target)
    return wrong / max(1, total)
