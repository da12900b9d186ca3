"""The paper's ablations as networks: the routed experts and the fusion, with a part silenced, replaced or tuned along.

Every variant is given the same features and the same processor time (`tables_stage.py`), and judged by the same search and
language model (`models/evaluation/tables.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.config import FusionConfig
from models.fusion import Fusion, FusionInput, FusionOutput
from models.hearing import Experts
from models.streaming import Window
from models.training.expert_loss import padding_mask
from models.training.feature_clips import Batch
from models.vocabulary import FINGERSPELLING, REST, SIGN


@dataclass(frozen=True)
class Variant:
    """One row of the table: what is left out or put in another's place."""

    name: str
    says: str
    mode: str = "gated"
    without: str | None = None
    """"fingerspelling", "lips", "routing" or "transformer"."""
    tunes_experts: bool = False
    learning_rate: float = 1e-3


VARIANTS = (
    Variant("all", "everything"),
    Variant(
        "no_fingerspelling", "without fingerspelling: spelled steps go to the sign expert", without="fingerspelling"
    ),
    Variant("no_lips", "without lips", without="lips"),
    Variant("no_routing", "without routing: both hand experts count half at every step", without="routing"),
    Variant("no_transformer", "without the fusion transformer: joined side by side", "concat", "transformer"),
    Variant("concat", "concatenation in the gate's place", "concat"),
    Variant("cross", "cross-attention in the gate's place", "cross"),
    Variant("joint", "experts tuned together with the fusion", tunes_experts=True, learning_rate=5e-4),
)


class Ablated(nn.Module):
    """Router, three experts and a fusion as one module of which only what a variant trains has gradients."""

    def __init__(self, variant: Variant, experts: Experts, config: FusionConfig) -> None:
        super().__init__()
        self.variant, self.fusion = variant, Fusion(config)
        if variant.without == "transformer":
            self.fusion.encoder = NoEncoder()  # type: ignore[assignment]
        self.router, self.sign, self.fingerspelling, self.lips = experts
        for expert in experts:
            expert.requires_grad_(variant.tunes_experts and expert is not self.router)

    def _experts(self) -> Experts:
        return Experts(self.router, self.sign, self.fingerspelling, self.lips)

    def train(self, mode: bool = True) -> Ablated:
        """What is not trained stays as it is used: without dropout."""
        super().train(mode)
        for expert in self._experts():
            expert.train(mode and self.variant.tunes_experts and expert is not self.router)
        return self

    def forward(self, batch: Batch, window: Window | None = None, tau: float | None = None) -> FusionOutput:
        """Whole clips; routes drawn at temperature `tau`, or those taken live where it is None."""
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        with torch.set_grad_enabled(self.variant.tunes_experts and torch.is_grad_enabled()):
            heard = self._experts().hear(batch.features, mask, window, tau)
        said: FusionOutput = self.fusion(self._silenced(heard), mask, window)
        return said

    def _silenced(self, heard: FusionInput) -> FusionInput:
        silent = self.variant.without
        if silent == "routing":
            return heard._replace(routes=heard.routes.new_tensor([0.5, 0.5, 0.0]).expand_as(heard.routes))
        if silent == "lips":
            return heard._replace(
                lips_hidden=torch.zeros_like(heard.lips_hidden), lips_log_probs=clueless(heard.lips_log_probs)
            )
        if silent != "fingerspelling":
            return heard
        sign, spelled, rest = (heard.routes[..., index] for index in (SIGN, FINGERSPELLING, REST))
        routes = torch.zeros_like(heard.routes)
        routes[..., SIGN], routes[..., REST] = sign + spelled, rest
        silence = torch.zeros_like(heard.fs_hidden), clueless(heard.fs_log_probs)
        return heard._replace(fs_hidden=silence[0], fs_log_probs=silence[1], routes=routes)


class NoEncoder(nn.Module):
    """Stands where the fusion's encoder stood and passes on what it is given."""

    def forward(self, steps: Tensor, mask: Tensor | None = None, window: Window | None = None) -> Tensor:
        return steps


def clueless(log_probs: Tensor) -> Tensor:
    """Log posteriors of somebody who knows nothing: all symbols alike."""
    return torch.zeros_like(log_probs).log_softmax(dim=-1)
