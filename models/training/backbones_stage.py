"""Compares small backbones for hands: equal processor time on the same photographs, then accuracy and speed on unseen ones.

The photographs' random views are drawn once, for drawing them costs more than a small network's step. Processor time, not
the wall's, is what each may spend, so a busy machine does no candidate wrong. The learning rates are those that each kind
of network is usually trained with: convolutions three times a transformer's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import save
from models.features import HAND_SIZE, SMALL, HandEncoder, HandEncoderConfig
from models.training.encoder_stage import measured, symbol_loss
from models.training.hand_pools import HandPools
from models.training.loop import RUNS, Run, Schedule, learn

CANDIDATES = ("compact", *SMALL)
LEARNING_RATES = {"dinov2-tiny": 5e-4, "convnextv2-atto": 1e-3}
USUAL_RATE = 1.5e-3
HALF = frozenset({"compact", "dinov2-tiny", "convnextv2-atto"})
"""What a processor with bfloat16 trains faster in it; MobileNet's thin convolutions are faster without."""
VIEWS, BATCH, SHIFT_PX = 40_000, 64, 4
TIMED_BATCH, TIMED_ROUNDS = 16, 30


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, only: str | None = None, views: int = VIEWS
) -> dict[str, float | str]:
    """Trains each candidate (or `only` one) for `minutes` of processor time into out/backbones/NAME; returns what was
    measured: accuracy on the held-out source and milliseconds a crop on one thread, by name."""
    pictures, symbols = drawn_views(data, views, seed)
    figures: dict[str, float | str] = {}
    for name in CANDIDATES if only is None else (only,):
        torch.manual_seed(seed)
        module = HandEncoder(HandEncoderConfig(backbone=name))
        schedule = Schedule(
            minutes, LEARNING_RATES.get(name, USUAL_RATE), warmup_minutes=minutes / 20, half_on_cpu=name in HALF,
            clock=time.process_time,
        )  # fmt: skip
        run = Run(f"backbone_{name}", module, seed)
        best = learn(run, schedule, moved_views(pictures, symbols), _loss, lambda line: print(line, flush=True))
        assert isinstance(best, HandEncoder)
        save(best, best.config, out / "backbones" / name, "hand_encoder")
        figures[f"{name}_accuracy"] = measured(best, data).get("accuracy", float("nan"))
        figures[f"{name}_ms_per_crop"] = milliseconds_per_crop(best)
        figures[f"{name}_steps"] = run.steps
        print(figures, flush=True)
    return figures


def drawn_views(data: Path, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random views of the training photographs, uint8 (N, 3, 64, 64), and their symbols; kept in runs/."""
    path = RUNS / f"backbone_views_{count}_{seed}.pt"
    if not path.is_file():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        pools = HandPools(data, RUNS / "no_clips", torch.device("cpu"), most_drawn=0)
        batches = pools.batches(200, 1, 0, 0)
        taken = [next(batches) for _ in range(-(-count // 200))]
        pictures = torch.cat([(batch.pictures[:200] * 255).round().byte() for batch in taken])
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save((pictures, torch.cat([batch.symbols[:200] for batch in taken])), path)
    pictures, symbols = torch.load(path, weights_only=True)
    return pictures, symbols


def moved_views(pictures: Tensor, symbols: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless views, each moved a little and under another light."""
    while True:
        rows = torch.randint(len(pictures), (BATCH,))
        down, right = (int(torch.randint(-SHIFT_PX, SHIFT_PX + 1, ())) for _ in range(2))
        seen = torch.roll(pictures[rows].float() / 255, (down, right), (2, 3))
        light = (1 + 0.1 * torch.randn(BATCH, 3, 1, 1)) * (1 + 0.1 * torch.randn(BATCH, 1, 1, 1))
        yield (seen * light).clamp(0, 1), symbols[rows]


def _loss(module: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor | float]]:
    assert isinstance(module, HandEncoder)
    loss = symbol_loss(module.symbol_scores(module.embed(batch[0] * 2 - 1)).float(), batch[1])
    return loss, {}


@torch.inference_mode()
def milliseconds_per_crop(encoder: HandEncoder) -> float:
    """Median processor time of one crop in batches of 16, on one thread."""
    torch.set_num_threads(1)
    crops = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (TIMED_BATCH, HAND_SIZE, HAND_SIZE, 3), np.uint8)
    )
    times: list[float] = []
    for _ in range(TIMED_ROUNDS):
        begun = time.process_time()
        encoder.eval()(crops)
        times.append(time.process_time() - begun)
    return float(np.median(times)) * 1e3 / TIMED_BATCH
