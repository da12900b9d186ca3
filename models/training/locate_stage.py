"""Trains the locator on real labelled frames and on frames of synthetic signers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.canvas import SMALL_HEIGHT, SMALL_WIDTH
from models.locate import GRID_HEIGHT, GRID_WIDTH, PARTS, Locator, LocatorConfig
from models.training.boxes import Pool, grid_pool, how2sign_pool, webcam_pool
from models.training.framing import Framing, reframe, relight_frame
from models.training.loop import RUNS, Run, Schedule, best_device, device_of, learn, moved
from models.training.synthetic_frames import SIGNERS, draw_pool, synthetic_pool

BATCH = 32
FRAMINGS = {
    "how2sign": Framing(0.7, 2.2, new_background=0.5),
    "webcam": Framing(0.45, 1.3),
    "grid": Framing(0.4, 1.2),
    "synthetic": Framing(0.75, 1.25, shift=0.1),
}
SHARES = {"how2sign": 0.26, "webcam": 0.12, "grid": 0.14, "synthetic": 0.48}
FRESH_RATE, LATER_RATE = 2.5e-3, 8e-4  # learning rates from nothing, and from weights that are good already


@dataclass(frozen=True)
class FrameBatch:
    """`frames` (N, 120, 160, 3) uint8; `boxes` (N, 4, 3), NaN where absent; `trust` (N, 4) in such absence."""

    frames: Tensor
    boxes: Tensor
    trust: Tensor


class FrameBatches:
    """Endless batches, mixed from the pools by their shares."""

    def __init__(self, pools: dict[str, Pool], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.pools = {name: pool for name, pool in pools.items() if len(pool)}
        shares = np.array([SHARES[name] for name in self.pools])
        self.shares = shares / shares.sum()

    def __iter__(self) -> Iterator[FrameBatch]:
        while True:
            yield self._batch()

    def _batch(self) -> FrameBatch:
        frames = np.empty((BATCH, SMALL_HEIGHT, SMALL_WIDTH, 3), np.uint8)
        boxes = np.empty((BATCH, len(PARTS), 3), np.float32)
        trust = np.empty((BATCH, len(PARTS)), np.float32)
        names = list(self.pools)
        for row in range(BATCH):
            name = names[self.rng.choice(len(names), p=self.shares)]
            pool = self.pools[name]
            number = int(self.rng.integers(len(pool)))
            frame, boxes[row] = reframe(pool.frames[number], pool.boxes[number], self.rng, FRAMINGS[name])
            frames[row] = relight_frame(frame, self.rng)
            trust[row] = pool.trust
        return FrameBatch(torch.from_numpy(frames), torch.from_numpy(boxes), torch.from_numpy(trust))


def locate_loss(locator: nn.Module, batch: FrameBatch) -> tuple[Tensor, dict[str, float]]:
    """Penalty-reduced focal loss of the heat (Zhou et al. 2019, eq. 1) and L1 of place and log side around centres."""
    batch = moved(batch, device_of(locator))
    maps = locator(batch.frames).float()
    seen = ~batch.boxes[..., 0].isnan()
    boxes = torch.nan_to_num(batch.boxes, nan=0.5)
    x, y = boxes[..., 0] * GRID_WIDTH, boxes[..., 1] * GRID_HEIGHT
    side = (boxes[..., 2] * GRID_HEIGHT).clamp(min=0.3)
    dx = x[..., None, None] - torch.arange(GRID_WIDTH, device=x.device)
    dy = y[..., None, None] - torch.arange(GRID_HEIGHT, device=x.device)[:, None]
    centre = (dx >= 0) & (dx < 1) & (dy >= 0) & (dy < 1) & seen[..., None, None]
    near = (dx - 0.5).abs().maximum((dy - 0.5).abs()) < 1.5
    spread = (0.17 * side).clamp(0.6, 2.0)[..., None, None]
    bell = torch.exp(-((dx - 0.5).square() + (dy - 0.5).square()) / (2 * spread.square())) * seen[..., None, None]
    heat = _focal(maps[:, :, 0], centre, bell, torch.where(seen, 1.0, batch.trust)[..., None, None])
    spot = near * bell
    weight = spot * (4 / side).clamp(0.5, 2.5)[..., None, None]  # a cell is much of a small part, little of a large one
    apart = (maps[:, :, 1] - dx).abs() + (maps[:, :, 2] - dy).abs()
    place = (apart * weight).sum() / weight.sum().clamp(min=1)
    wrong = (maps[:, :, 3] - boxes[..., 2].clamp(min=0.01).log()[..., None, None]).abs()
    size = (wrong * spot).sum() / spot.sum().clamp(min=1)
    figures = {"heat": heat.item(), "place": place.item(), "side": size.item()}
    return heat + place + size, figures


def _focal(logits: Tensor, centre: Tensor, bell: Tensor, trust: Tensor) -> Tensor:
    probability = logits.sigmoid()
    hit = -(1 - probability).square() * F.logsigmoid(logits) * centre
    miss = -(1 - bell).pow(4) * probability.square() * F.logsigmoid(-logits) * ~centre
    return ((hit + miss) * trust).sum() / centre.sum().clamp(min=1)


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, name: str = "locate", start: Path | None = None,
    device: str | None = None,
) -> dict[str, float]:  # fmt: skip
    """Trains, or goes on, for `minutes` in all; saves locate to `out`; returns what it finds in held-out videos.
    With `start` it begins from the weights in that folder, at a lower learning rate."""
    from models.checkpoint import load, save
    from models.evaluation.locate import evaluate_locator, held_out_clips

    locator = Locator(LocatorConfig()) if start is None else load(Locator, start, "locate")
    run = Run(name, locator, seed, RUNS, best_device(device))
    pools = {"how2sign": how2sign_pool(data), "webcam": webcam_pool(data), "grid": grid_pool(data)}
    draw_pool(SIGNERS)
    pools["synthetic"] = synthetic_pool()
    print({kind: len(pool) for kind, pool in pools.items()}, flush=True)
    batches = FrameBatches(pools, seed + run.steps)
    schedule = Schedule(
        minutes, learning_rate=FRESH_RATE if start is None else LATER_RATE, weight_decay=0.02, half_on_cpu=True
    )
    best = learn(run, schedule, iter(batches), locate_loss, log=lambda line: print(line, flush=True)).cpu()
    assert isinstance(best, Locator)
    save(best, best.config, out, "locate")
    return evaluate_locator(best, held_out_clips(data / "how2sign_clips"))
