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
from models.error_rate import ErrorRate
from models.experts import Expert
from models.fusion import Fusion, FusionInput
from models.routing import Router
from models.streaming import Window
from models.training import feature_sets
from models.training.expert_loss import ctc, framewise, padding_mask, read
from models.training.feature_clips import Batch, FeatureStore, Targets
from models.training.feature_sets import Source, Takes
from models.training.loop import Run, Schedule, best_device, learn

FRAMEWISE = 0.5
TAU_FIRST, TAU_LAST = 1.0, 0.3
SPELLED_SHARE = 0.2
HELD_OUT_WORDS = 100


@dataclass(frozen=True)
class Frozen:
    """What fusion hears: the experts and the router, not trained."""

    router: Router
    sign: Expert
    fingerspelling: Expert
    lips: Expert

    @staticmethod
    def load(folder: Path, device: torch.device) -> Frozen:
        names = ("sign", "fingerspelling", "lips")
        parts = [load(Expert, folder, name).requires_grad_(False).to(device) for name in names]
        return Frozen(load(Router, folder, "router").requires_grad_(False).to(device), *parts)

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
    data: Path, out: Path, *, minutes: float, seed: int = 0, mode: str = "gated", device: str | None = None,
    features: Path = feature_sets.FEATURES, start: Path | None = None, learning_rate: float = 1e-3,
) -> dict[str, float]:  # fmt: skip
    """Trains fusion on cached features; `mode` "cross" or "concat" for the ablation. `start` is a folder of weights to go
    on from, with a lower `learning_rate`."""
    del data
    where, targets = best_device(device), Targets.of(feature_sets.glosses_of(out / "glosses.txt"))
    drawn, spelled = FeatureStore.read(features / "synthetic.pt"), FeatureStore.read(features / "spelled.pt")
    source = Source.of(FeatureStore.joined([drawn, spelled]).to(where), "fusion", targets)
    held = Source.of(FeatureStore.read(features / "held_out.pt").to(where), "fusion", targets)
    words = list(range(len(drawn), len(source.store)))
    real = Source.of(source.store.part(words[-HELD_OUT_WORDS:]), "fusion", targets)
    frozen, name = Frozen.load(out, where), "fusion" if mode == "gated" else f"fusion_{mode}"
    config = FusionConfig(sign_vocabulary=targets.glosses.size, mode=mode, dropout=0.15)
    fusion = Fusion(config)
    if start is not None:
        fusion.load_state_dict(load(Fusion, start, name).state_dict())
    run = Run(f"fusion_{mode}", fusion, seed, device=where)
    rng = random.Random(seed + run.steps)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        done = min(1.0, run.spent_s / 60 / minutes)
        window = Window.draw(rng)
        tau = None if rng.random() < 0.5 else TAU_FIRST + done * (TAU_LAST - TAU_FIRST)
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        said = module(frozen.hear(batch, window, tau), mask, window)
        symbols, frames = ctc(said.log_probs, batch.lengths, batch.targets), framewise(said.log_probs, batch.frames)
        figures = {"ctc": symbols, "framewise": frames, "alpha": said.alpha[mask].mean()}
        return symbols + FRAMEWISE * frames, {name: value.detach() for name, value in figures.items()}

    def watch(run: Run) -> None:
        assert isinstance(run.average, Fusion)
        save(run.average, config, out, name)
        print(name, error_rate(run.average, frozen, held), flush=True)

    shares = [(list(range(len(drawn))), 1 - SPELLED_SHARE), (words[:-HELD_OUT_WORDS], SPELLED_SHARE)]
    stream = feature_sets.batches(source, shares, seed=seed + run.steps, takes=Takes(strength=0.8))
    schedule = Schedule(minutes, learning_rate, warmup_minutes=min(0.5, minutes / 15), average_decay=0.995, half=False)
    best = learn(run, schedule, stream, loss, watch=watch)
    assert isinstance(best, Fusion)
    save(best, config, out, name)
    return {
        "experts_error": error_rate(Fusion(config).eval().to(where), frozen, held),
        "fused_error": error_rate(best, frozen, held), "spelled_error": error_rate(best, frozen, real),
    }  # fmt: skip


@torch.inference_mode()
def error_rate(fusion: Fusion, frozen: Frozen, source: Source) -> float:
    """Edit distance of the joint best path to the tokens, with the routes taken live."""
    rate = ErrorRate()
    for batch in feature_sets.validation(source):
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        read(rate, fusion(frozen.hear(batch, None, None), mask).log_probs, batch.lengths, batch.targets)
    return rate.value
