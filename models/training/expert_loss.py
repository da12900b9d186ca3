"""The losses of the temporal networks: CTC, and a framewise cross entropy that gets CTC off its plateau of blanks."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from models.ctc import collapse
from models.error_rate import ErrorRate
from models.fusion import FusionOutput
from models.training.feature_clips import IGNORED, Batch
from models.vocabulary import BLANK

FRAMEWISE = 0.5  # in fusion's loss
TAU_FIRST, TAU_LAST = 1.0, 0.3


def ctc(log_probs: Tensor, lengths: Tensor, targets: list[list[int]]) -> Tensor:
    """Mean CTC loss a target symbol; log_probs (B, T, V). Rows whose target does not fit their steps count nothing."""
    device = log_probs.device
    sizes = torch.tensor([len(target) for target in targets], device=device)
    padded = torch.zeros(len(targets), max(1, max(map(len, targets))), dtype=torch.long)
    for row, target in enumerate(targets):
        padded[row, : len(target)] = torch.tensor(target, dtype=torch.long)
    losses = functional.ctc_loss(
        log_probs.transpose(0, 1), padded.to(device), lengths.to(device), sizes, blank=BLANK, reduction="none",
        zero_infinity=True,
    )  # fmt: skip
    return (losses / sizes.clamp(min=1)).mean()


def framewise(log_probs: Tensor, frames: Tensor, *, blank_weight: float = 0.3) -> Tensor:
    """Cross entropy of (B, T, V) against framewise ids; blanks are many, so they weigh less."""
    weight = torch.ones(log_probs.shape[-1], device=log_probs.device)
    weight[BLANK] = blank_weight
    return functional.nll_loss(log_probs.flatten(0, 1), frames.flatten(), weight, ignore_index=IGNORED)


def fusion_loss(said: FusionOutput, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """CTC and FRAMEWISE of the framewise loss, and what is logged: both, and the mean of alpha."""
    symbols, frames = ctc(said.log_probs, batch.lengths, batch.targets), framewise(said.log_probs, batch.frames)
    alpha = said.alpha[padding_mask(batch.lengths, said.alpha.shape[1])].mean()
    figures = {"ctc": symbols, "framewise": frames, "alpha": alpha}
    return symbols + FRAMEWISE * frames, {name: value.detach() for name, value in figures.items()}


def temperature(rng: random.Random, done: float) -> float | None:
    """`tau` for a batch: None in half of them, else annealed over the share `done` of the run, so that fusion meets the
    router's doubts (Jang et al., arXiv 1611.01144)."""
    return None if rng.random() < 0.5 else TAU_FIRST + min(1.0, done) * (TAU_LAST - TAU_FIRST)


def padding_mask(lengths: Tensor, steps: int) -> Tensor:
    """(B, T) true on a clip's own steps."""
    return torch.arange(steps, device=lengths.device)[None, :] < lengths[:, None]


def greedy(log_probs: Tensor, length: int) -> list[int]:
    """Best path of one row (T, V), repeats and blanks removed."""
    return collapse(log_probs[:length].argmax(-1).tolist())


def read(rate: ErrorRate, log_probs: Tensor, lengths: Tensor, targets: Sequence[list[int]]) -> None:
    """Adds what the best paths of a batch (B, T, V) read of their targets."""
    for row, length, target in zip(log_probs.cpu(), lengths.tolist(), targets, strict=True):
        rate.add(greedy(row, length), target)
