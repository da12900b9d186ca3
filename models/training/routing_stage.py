"""The router: sign, fingerspelling or rest for every step, by framewise cross entropy on drawn and real hands, and on scenes in
which nobody signs (`silence_stage`)."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import load, save
from models.config import RouterConfig
from models.routing import Router
from models.streaming import Window
from models.training import feature_sets
from models.training.expert_loss import padding_mask
from models.training.feature_clips import IGNORED, Batch, FeatureStore, Targets
from models.training.feature_sets import Source, Takes
from models.training.loop import Run, Schedule, best_device, learn
from models.training.silence_stage import frozen

REAL_SHARE, QUIET_SHARE, FROZEN_SHARE = 0.25, 0.25, 0.15


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, device: str | None = None,
    features: Path = feature_sets.FEATURES, start: Path | None = None, learning_rate: float = 2e-3,
) -> dict[str, float]:  # fmt: skip
    """Trains the router on all cached features. `start` is a folder of weights to go on from, with a lower
    `learning_rate`."""
    del data
    where, targets = best_device(device), Targets.of(feature_sets.glosses_of(out / "glosses.txt"))
    drawn, spelled, silent = (
        FeatureStore.read(features / f"{n}.pt", targets) for n in ("synthetic", "spelled", "silent")
    )
    store = FeatureStore.joined([drawn, spelled, silent])
    source = Source.of(store.to(where), "sign", targets)
    held = Source.of(FeatureStore.read(features / "held_out.pt", targets).to(where), "sign", targets)
    words = list(range(len(drawn), len(drawn) + len(spelled)))
    quiet, kept = _apart(list(range(len(drawn) + len(spelled), len(store))))
    real = Source.of(source.store.part(words[-feature_sets.HELD_OUT_WORDS :]), "sign", targets)
    config = RouterConfig(dropout=0.15)
    router = Router(config)
    if start is not None:
        router.load_state_dict(load(Router, start, "router").state_dict())
    else:
        router.standardise.fit(store.manual[:: max(1, len(store.manual) // 100_000)].float())
    run = Run("router", router, seed, device=where)
    rng = random.Random(seed + run.steps)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        manual, routes = frozen(batch.manual, batch.routes, batch.lengths, FROZEN_SHARE)
        logits = module(manual, padding_mask(batch.lengths, batch.manual.shape[1]), Window.draw(rng))
        value = functional.cross_entropy(
            logits.flatten(0, 1), routes.flatten(), ignore_index=IGNORED, label_smoothing=0.02
        )
        return value, {}

    signed = (list(range(len(drawn))), 1 - REAL_SHARE - QUIET_SHARE)
    shares = [signed, (words[: -feature_sets.HELD_OUT_WORDS], REAL_SHARE), (quiet, QUIET_SHARE)]
    stream = feature_sets.batches(source, shares, seed=seed + run.steps, takes=Takes())
    schedule = Schedule(
        minutes, learning_rate, warmup_minutes=min(0.5, minutes / 15), average_decay=0.995, half=False, half_on_cpu=True
    )
    best = learn(run, schedule, stream, loss)
    assert isinstance(best, Router)
    save(best, config, out, "router")
    return {"route_accuracy": accuracy(best, held), "spelled_accuracy": accuracy(best, real),
            "quiet_accuracy": accuracy(best, Source.of(source.store.part(kept), "sign", targets))}  # fmt: skip


def _apart(clips: list[int]) -> tuple[list[int], list[int]]:
    """Of the scenes, those to learn from and every seventh for measuring."""
    return [clip for clip in clips if clip % 7], [clip for clip in clips if clip % 7 == 0]


@torch.inference_mode()
def accuracy(router: Router, source: Source) -> float:
    """Share of steps whose likeliest route is the true one."""
    right = total = 0
    for batch in feature_sets.validation(source):
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        found = router(batch.manual, mask).argmax(-1)
        right += int((found == batch.routes)[mask].sum())
        total += int(mask.sum())
    return right / max(1, total)
