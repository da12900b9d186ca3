"""Alpha: how much the hands are to be trusted at a step, against the lips."""

import math

import torch
from torch import Tensor, nn

from models.config import GateConfig

LEAST = -50.0


def entropy(log_probs: Tensor) -> Tensor:
    """Of posteriors (..., symbols), as a share of the most there can be: 0 sure .. 1 clueless, shape (...)."""
    finite = log_probs.clamp(min=LEAST)  # what is impossible adds nothing, where 0 * -inf would be NaN
    return -(log_probs.exp() * finite).sum(dim=-1) / math.log(log_probs.shape[-1])


class Gate(nn.Module):
    """Hidden states and entropies of both streams -> alpha in (0, 1) for every step. It has no memory."""

    def __init__(self, config: GateConfig) -> None:
        super().__init__()
        self.manual_norm = nn.LayerNorm(config.dim)
        self.lips_norm = nn.LayerNorm(config.dim)
        self.enter = nn.Linear(2 * config.dim + 2, config.hidden)
        self.leave = nn.Linear(config.hidden, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.constant_(self.leave.bias, config.bias)

    def forward(self, manual: Tensor, lips: Tensor, manual_entropy: Tensor, lips_entropy: Tensor) -> Tensor:
        """Streams (batch, steps, dim), entropies (batch, steps) -> alpha (batch, steps)."""
        entropies = torch.stack((manual_entropy, lips_entropy), dim=-1).to(manual.dtype)
        seen = torch.cat((self.manual_norm(manual), self.lips_norm(lips), entropies), dim=-1)
        alpha: Tensor = self.leave(torch.nn.functional.silu(self.enter(seen))).sigmoid()
        return alpha[..., 0]
