"""Sign, fingerspelling or rest: which expert is to be heard at every step."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import gumbel_softmax, one_hot

from models.config import RouterConfig
from models.layers.attention import Sight
from models.layers.encoder import Fresh, Kept
from models.layers.reader import Reader
from models.streaming import Window
from models.vocabulary import REST, ROUTES


def from_rest(routes: Tensor) -> Tensor:
    """The routes that hold after a chunk's one-hot routes (slots, steps, 3), int64 (slots,), counted from rest so that empty
    memory means rest."""
    return (routes[:, -1].argmax(dim=-1) - REST) % len(ROUTES)


def holding(counted: Tensor) -> Tensor:
    """The routes (slots,) that are so far from rest."""
    return (counted + REST) % len(ROUTES)


class RouterOutput(NamedTuple):
    """Of every step: logits and the route taken as one-hot, both (batch, steps, 3) in the order of ROUTES."""

    logits: Tensor
    routes: Tensor


class Router(Reader):
    """Manual features -> route. Live, a route holds until another leads it by `margin` in probability."""

    def __init__(self, config: RouterConfig) -> None:
        super().__init__(config, config.in_features, len(ROUTES))
        self.config = config

    def forward(self, features: Tensor, mask: Tensor | None = None, window: Window | None = None) -> Tensor:
        """Logits (batch, steps, 3) of whole sequences (batch, steps, in_features)."""
        logits: Tensor = self.head(self.encoder(self._enter(features), mask, window)).float()
        return logits

    def route(self, logits: Tensor, tau: float = 1.0, training: bool = False) -> Tensor:
        """One-hot routes (batch, steps, 3) of whole sequences.

        In training a sample by Gumbel-Softmax at temperature `tau`, hard forward, soft backward (Jang et al.,
        arXiv 1611.01144); else what `advance` would have given from the first step on.
        """
        if training:
            return gumbel_softmax(logits, tau=tau, hard=True, dim=-1)
        held = torch.full((len(logits),), REST, dtype=torch.int64, device=logits.device)
        return self._hold(logits, held)

    def advance(self, features: Tensor, held: Tensor, sight: Sight, kept: Sequence[Kept]) -> tuple[RouterOutput, Fresh]:
        """One chunk (slots, chunk, in_features) after what the slots remember, the routes `held` (slots,) among it; changes
        nothing in place."""
        hidden, fresh = self.encoder.advance(self._enter(features), sight, kept)
        logits = self.head(hidden).float()
        return RouterOutput(logits, self._hold(logits, held)), fresh

    def _hold(self, logits: Tensor, held: Tensor) -> Tensor:
        """Arg max with hysteresis, from the routes `held` (batch,) before the first step."""
        bonus = self.config.margin * torch.eye(len(ROUTES), device=logits.device)
        taken = []
        for probabilities in logits.detach().softmax(dim=-1).unbind(1):
            held = (probabilities + bonus[held]).argmax(dim=-1)
            taken.append(held)
        return one_hot(torch.stack(taken, dim=1), len(ROUTES)).to(logits.dtype)
