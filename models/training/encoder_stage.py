"""Trains the hand encoder: letters and digits of real photographs, hand or not, and where hands of all kinds point.

The tasks share one embedding: what photographs teach of letters, the teacher's landmarks teach of real hands' joints, and
the drawn signer's own joints teach of its hands, so that one space holds them all.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.checkpoint import save
from models.closer import Closer
from models.features import LETTERS, SYMBOLS, HandEncoder, HandEncoderConfig
from models.training.hand_pools import HandBatch, HandPools
from models.training.loop import RUNS, Run, Schedule, best_device, learn
from models.training.seen_clips import CLIPS, POSE

GPU_BATCH, CPU_BATCH = (256, 32, 96, 192), (56, 8, 16, 24)  # photographs, no hands, signing, drawn
MIXED_SHARE = 0.3  # of the batches
MIXED_BETA = 0.4
SMOOTHING = 0.1  # of the true symbol, given to all of its family
MOST_DRAWN = {"cuda": 240_000, "cpu": 30_000}


class HandTasks(nn.Module):
    """The encoder with the heads that only training needs: a pose for real hands and one for drawn ones, since joints are
    measured differently."""

    def __init__(self, encoder: HandEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.width
        self.is_hand = nn.Linear(width, 1)
        self.real_pose = nn.Linear(width, POSE)
        self.drawn_pose = nn.Linear(width, POSE)


def hand_loss(tasks: nn.Module, batch: HandBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum of the tasks' losses; photographs are mixed among themselves in some batches (mixup, Zhang et al. 2018)."""
    assert isinstance(tasks, HandTasks)
    photographs, pictures = batch.sizes[0], batch.pictures * 2 - 1
    kept, partners = 1.0, torch.arange(len(pictures), device=pictures.device)
    if torch.rand(()) < MIXED_SHARE:
        kept = float(torch.distributions.Beta(MIXED_BETA, MIXED_BETA).sample())
        partners[:photographs] = torch.randperm(photographs, device=pictures.device)
        pictures = kept * pictures + (1 - kept) * pictures[partners]
    embedding = tasks.encoder.embed(pictures)
    scores = tasks.encoder.symbol_scores(embedding).float()
    symbols = kept * symbol_loss(scores, batch.symbols)
    if kept < 1:
        symbols = symbols + (1 - kept) * symbol_loss(scores, batch.symbols[partners])
    hand = F.binary_cross_entropy_with_logits(tasks.is_hand(embedding)[:, 0].float(), batch.is_hand)
    drawn = len(pictures) - batch.sizes[3]
    plain = photographs if kept < 1 else 0  # of a mixed picture there is no one pose
    real = pose_loss(tasks.real_pose(embedding[plain:drawn]).float(), batch.poses[plain:drawn])
    figures = {"symbols": symbols, "hand": hand, "real_pose": real}
    total = symbols + 0.3 * hand + real
    if batch.sizes[3]:
        figures["drawn_pose"] = pose_loss(tasks.drawn_pose(embedding[drawn:]).float(), batch.poses[drawn:])
        total = total + 1.5 * figures["drawn_pose"]
    return total, {name: value.detach() for name, value in figures.items()}


def pose_loss(found: Tensor, true: Tensor) -> Tensor:
    """Mean squared error of the poses that are known; 0 where none is."""
    known = ~true.isnan()
    squared = torch.where(known, (found - torch.nan_to_num(true)).square(), 0.0)
    return squared.sum() / known.sum().clamp(min=1)


def family_scores(scores: Tensor, symbols: Tensor) -> Tensor:
    """Scores with the other family barred: a letter competes with letters, a digit with digits (0 looks like O)."""
    is_digit = (symbols >= LETTERS)[:, None]
    digit_place = (torch.arange(SYMBOLS, device=scores.device) >= LETTERS)[None]
    return scores.masked_fill(is_digit != digit_place, -1e4)


def symbol_loss(scores: Tensor, symbols: Tensor) -> Tensor:
    """Cross entropy in the symbol's family, the truth smoothed within it; rows of -1 do not count."""
    known, truth = symbols >= 0, symbols.clamp(min=0)
    log_probs = family_scores(scores, truth).log_softmax(1)
    allowed = (torch.arange(SYMBOLS, device=scores.device)[None] >= LETTERS) == (truth >= LETTERS)[:, None]
    right = log_probs.gather(1, truth[:, None])[:, 0]
    even = (log_probs * allowed).sum(1) / allowed.sum(1)
    losses = -((1 - SMOOTHING) * right + SMOOTHING * even)
    return (losses * known).sum() / known.sum().clamp(min=1)


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, name: str = "hand_encoder", device: str | None = None,
    clips: Path = CLIPS, config: HandEncoderConfig | None = None, permissive_only: bool = False,
) -> dict[str, float]:  # fmt: skip
    """Trains, or goes on, for `minutes` in all; saves hand_encoder to `out`; returns the held-out source's accuracy, where
    it is at hand. Clips drawn into `clips` meanwhile are taken in."""
    where = best_device(device)
    torch.manual_seed(seed)
    tasks = HandTasks(HandEncoder(config or HandEncoderConfig()))
    run = Run(name, tasks, seed, RUNS, where)
    pools = HandPools(data, clips, where, MOST_DRAWN[where.type], permissive_only=permissive_only)

    def watch(run: Run) -> None:
        assert isinstance(run.average, HandTasks)
        save(run.average.encoder, run.average.encoder.config, out, "hand_encoder")
        print(f"{name}: {pools.look()} drawn hands", measured(run.average.encoder, data), flush=True)

    batches = pools.batches(*(GPU_BATCH if where.type == "cuda" else CPU_BATCH))
    schedule = Schedule(minutes, 1.5e-3, warmup_minutes=min(0.5, minutes / 15), save_every_s=20.0)
    best = learn(run, schedule, batches, hand_loss, lambda line: print(line, flush=True), watch)
    assert isinstance(best, HandTasks)
    save(best.encoder, best.encoder.config, out, "hand_encoder")
    return measured(best.encoder, data)


def measured(encoder: HandEncoder, data: Path, closer: Closer | None = None) -> dict[str, float]:
    """Accuracy on the letters of the source that is never trained on; nothing where it is not in the data folder."""
    from models.evaluation.letters import evaluate_encoder
    from models.training.splits import HELD_OUT_SOURCES

    sources = sorted(name for name in HELD_OUT_SOURCES if (data / "letters" / name).is_dir())
    return evaluate_encoder(encoder, data / "letters", sources, closer) if sources else {}
