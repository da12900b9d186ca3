"""The networks over time, batched over slots: router, three experts, fusion. A step advances the slots it is given."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.experts import Expert
from models.fusion import Fusion, FusionInput
from models.routing import Router

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Spoken:
    """Of one chunk: joint log posteriors (slots, C, V), alpha (slots, C), route ids (slots, C)."""

    log_probs: NDArray[np.float32]
    alpha: NDArray[np.float32]
    routes: NDArray[np.int64]


class Temporal:
    """Owns the states of all slots; features in, joint log posteriors out."""

    def __init__(self, router: Router, sign: Expert, fingerspelling: Expert, lips: Expert, fusion: Fusion, slots: int):
        self.router, self.fusion = router.eval(), fusion.eval()
        self.sign, self.fingerspelling, self.lips = sign.eval(), fingerspelling.eval(), lips.eval()
        self.device = next(fusion.parameters()).device
        self._router_state = router.new_state(slots, self.device)
        self._experts = [(expert, expert.new_state(slots, self.device)) for expert in (sign, fingerspelling, lips)]
        self._fusion_state = fusion.new_state(slots, self.device)
        self.experts_ms = self.fusion_ms = 0.0

    def reset(self, mask: Mask) -> None:
        """Empties the masked slots."""
        rows = torch.from_numpy(mask).to(self.device)
        self.router.reset(self._router_state, rows)
        for expert, state in self._experts:
            expert.reset(state, rows)
        self.fusion.reset(self._fusion_state, rows)

    def route(self, manual: Tensor, active: Mask) -> NDArray[np.int64]:
        """Routes (slots, C) of a chunk of features (slots, C, 216); advances the router alone."""
        rows = torch.from_numpy(active).to(self.device)
        routes = self.router.step(manual.to(self.device), self._router_state, rows).routes
        return routes.argmax(-1).cpu().numpy()

    def step(self, manual: Tensor, mouth: Tensor, active: Mask) -> Spoken:
        """One chunk, features (slots, C, 216) and (slots, C, 96), through all networks."""
        begun = time.perf_counter()
        rows = torch.from_numpy(active).to(self.device)
        manual, mouth = manual.to(self.device), mouth.to(self.device)
        routes = self.router.step(manual, self._router_state, rows).routes
        inputs = (manual, manual, mouth)
        said = [
            expert.step(features, state, rows) for (expert, state), features in zip(self._experts, inputs, strict=True)
        ]
        heard = time.perf_counter()
        fused = self.fusion.step(
            FusionInput(said[0].hidden, said[0].log_probs, said[1].hidden, said[1].log_probs, said[2].hidden,
                        said[2].log_probs, routes), self._fusion_state, rows,
        )  # fmt: skip
        out = Spoken(fused.log_probs.cpu().numpy(), fused.alpha.cpu().numpy(), routes.argmax(-1).cpu().numpy())
        self.experts_ms, self.fusion_ms = (heard - begun) * 1e3, (time.perf_counter() - heard) * 1e3
        return out
