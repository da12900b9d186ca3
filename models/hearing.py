"""What fusion hears: the router and the three experts, over whole sequences at once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from models.checkpoint import load
from models.experts import Expert
from models.fusion import FusionInput
from models.routing import Router
from models.streaming import Window

EXPERTS = ("sign", "fingerspelling", "lips")


class Experts(NamedTuple):
    """Router and experts of one checkpoint."""

    router: Router
    sign: Expert
    fingerspelling: Expert
    lips: Expert

    @staticmethod
    def load(folder: Path, device: torch.device | str = "cpu") -> Experts:
        """In evaluation mode; raises CheckpointError for the first that is missing."""
        return Experts(
            load(Router, folder, "router").to(device), *(load(Expert, folder, e).to(device) for e in EXPERTS)
        )

    def frozen(self) -> Experts:
        """The same, which learn no more; so no graph is kept of what they say."""
        for one in self:
            one.requires_grad_(False)
        return self

    def hear(
        self, features: tuple[Tensor, Tensor, Tensor], mask: Tensor | None = None, window: Window | None = None,
        tau: float | None = None,
    ) -> FusionInput:  # fmt: skip
        """What they say of `features` (batch, steps, ...) for signs, letters and lips; the router sees the first. `mask` (batch,
        steps) is true where there is no padding.

        Routes are drawn by Gumbel-Softmax at temperature `tau`, or those taken live where it is None.
        """
        manual, spelling, mouth = features
        logits = self.router(manual, mask, window)
        routes = self.router.route(logits) if tau is None else self.router.route(logits, tau, training=True)
        sign, spelled = self.sign(manual, mask, window), self.fingerspelling(spelling, mask, window)
        lips = self.lips(mouth, mask, window)
        return FusionInput(
            sign.hidden, sign.log_probs, spelled.hidden, spelled.log_probs, lips.hidden, lips.log_probs, routes
        )
