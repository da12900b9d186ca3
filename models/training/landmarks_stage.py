"""A hand encoder that begins as a published network of hand landmarks, which has seen far more people's hands than we have.

On hands of an unseen signer the trunk of MediaPipe's landmark network, left as it is, with a small head that learned from the
same photographs, names ten letters in a hundred more than an encoder trained from nothing. But it wants crops of 224 px, which no
live stream can pay for. So it is taught by itself to see the same in `PICTURE_PX` (distillation, Hinton et al. 2015), while what
hands of signing look like to the experts stays where it was (learning without forgetting, Li and Hoiem 2016): the encoder in
`out` says where. Letters of photographs move, so the fingerspelling expert has to go on afterwards.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import load, save
from models.features import HandEncoder, HandEncoderConfig
from models.training import landmark_weights
from models.training.encoder_stage import measured, symbol_loss
from models.training.landmark_views import Taught, Views, batches, kept, stays
from models.training.loop import RUNS, Run, Schedule, best_device, learn, moved
from models.training.seen_clips import CLIPS

PICTURE_PX = 112
TRUNK, STAYS, MOVES = 0.5, 2.0, 0.3
"""How much it counts that the trunk sees what it saw at its own size, that embeddings stay where they must, and where they may
move (photographs)."""
HEAD_STEPS, HEAD_BATCH, HEAD_RATE = 2000, 256, 1e-3
LEAST_DEVIATION = 0.02


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, clips: Path = CLIPS, device: str | None = None,
    permissive_only: bool = False, published: Path = landmark_weights.PUBLISHED,
) -> dict[str, float]:  # fmt: skip
    """Trains, or goes on, for `minutes` in all, on the hand encoder in `out` into `out`/landmarks; returns the held-out source's
    accuracy. Views are drawn first, some ten minutes of one core, and kept."""
    torch.manual_seed(seed)
    before = load(HandEncoder, out, "hand_encoder").requires_grad_(False)
    trunk = landmark_weights.trunk(published).requires_grad_(False)
    views = kept(data, clips, trunk, before, permissive_only=permissive_only)
    encoder = beginning(trunk, before, views)
    settle_head(encoder, views)
    where = best_device(device)
    run = Run("landmarks", encoder, seed, RUNS, where)

    def watch(run: Run) -> None:
        assert isinstance(run.average, HandEncoder)
        save(run.average, run.average.config, out / "landmarks", "hand_encoder")
        print("landmarks:", measured(run.average, data), flush=True)

    schedule = Schedule(minutes, 3e-4, warmup_minutes=min(1.0, minutes / 15), save_every_s=240.0)
    best = learn(run, schedule, batches(views), loss, lambda line: print(line, flush=True), watch)
    assert isinstance(best, HandEncoder)
    save(best, best.config, out / "landmarks", "hand_encoder")
    return measured(best, data)


def beginning(trunk: nn.Module, before: HandEncoder, views: dict[str, Views]) -> HandEncoder:
    """An encoder with the trunk's weights, the old one's letters, and a head that knows nothing yet."""
    encoder = HandEncoder(HandEncoderConfig(backbone="landmarks", picture_px=PICTURE_PX))
    encoder.backbone.trunk.load_state_dict(trunk.state_dict())
    encoder.symbols.load_state_dict(before.symbols.state_dict())
    seen = torch.cat([one.seen for one in views.values()]).float()
    encoder.backbone.mean.copy_(seen.mean(0))
    encoder.backbone.deviation.copy_(seen.std(0).clamp(min=LEAST_DEVIATION))
    return encoder


def settle_head(encoder: HandEncoder, views: dict[str, Views], steps: int = HEAD_STEPS) -> None:
    """Teaches what comes after the trunk on what the trunk saw at its own size: no picture is looked at."""
    seen, known, symbols = (
        torch.cat([getattr(one, column) for one in views.values()]) for column in ("seen", "known", "symbols")
    )
    held = torch.cat([torch.full((len(one.symbols),), stays(kind)) for kind, one in views.items()])
    head = [parameter for name, parameter in encoder.named_parameters() if ".trunk." not in name]
    optimizer = torch.optim.AdamW(head, HEAD_RATE, weight_decay=0.05)
    encoder.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = HEAD_RATE * min(1.0, (step + 1) / 100) * (1 - step / steps)
        rows = torch.randint(len(seen), (HEAD_BATCH,))
        inputs = encoder.backbone.known(seen[rows].float())
        total, _ = _said(encoder, inputs, known[rows].float(), symbols[rows], held[rows])
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    encoder.eval()


def loss(module: nn.Module, batch: Taught) -> tuple[Tensor, dict[str, Tensor]]:
    """What the trunk misses of itself at full size, then what the head says."""
    assert isinstance(module, HandEncoder)
    batch = moved(batch, next(module.parameters()).device)
    seen = module.backbone.seen(batch.pictures).float()
    missed = (seen - module.backbone.known(batch.seen)).square().mean()
    total, figures = _said(module, seen, batch.known, batch.symbols, batch.stays)
    return total + TRUNK * missed, {"missed": missed.detach(), **figures}


def _said(
    encoder: HandEncoder, seen: Tensor, known: Tensor, symbols: Tensor, held: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Letters, and how far embeddings are from where the experts know them."""
    embedding = encoder.norm(encoder.project(encoder.dropout(encoder.backbone.spoken(seen)))).float()
    letters = symbol_loss(encoder.symbols(embedding).float(), symbols)
    away = (embedding - known).square().mean(1)
    left, moved_on = away[held].mean(), away[~held].mean()
    total = letters + STAYS * left + MOVES * moved_on
    return total, {"letters": letters.detach(), "signing": left.detach(), "photographs": moved_on.detach()}
