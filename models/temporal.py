"""The networks over time, batched over slots: router, three experts, fusion. A step advances the slots it is given.

All of them together are one function of a chunk and of what the slots remember, which changes nothing in place. So a
backend can compile it, and on a CPU it runs for the active slots alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.backends import Backend
from models.clock import CHUNK_FRAMES
from models.experts import Expert
from models.fusion import Fusion, FusionInput
from models.layers.attention import Sight
from models.layers.encoder import Fresh
from models.layers.rotary import Rotation
from models.layout import MANUAL, MOUTH
from models.routing import Router, from_rest
from models.vocabulary import REST, ROUTES

Mask = NDArray[np.bool_]
MEMORY = 5  # tensors that tell an encoder what it remembers: mask, cos, sin, rings, tails
LEFT = 2  # tensors that a chunk leaves behind in an encoder: keys and values, tails
HEARD = len(FusionInput._fields)
ROUTER, EXPERTS, FUSION = slice(0, 1), slice(0, 4), slice(4, 5)  # of the five networks


@dataclass(frozen=True)
class Spoken:
    """Of one chunk: joint log posteriors (slots, C, V), alpha (slots, C), route ids (slots, C)."""

    log_probs: NDArray[np.float32]
    alpha: NDArray[np.float32]
    routes: NDArray[np.int64]


class RouterNetwork(nn.Module):
    """(manual, held route, the router's memory) -> one-hot routes, then what the chunk leaves behind."""

    def __init__(self, router: Router) -> None:
        super().__init__()
        self.router = router

    def forward(self, manual: Tensor, held: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        out, fresh = self.router.advance(manual, held, *_memory(memory))
        return out.routes, *fresh


class ExpertNetworks(nn.Module):
    """(manual, mouth, held route, memory of router, sign, fingerspelling, lips) -> the fields of FusionInput, then what
    the chunk leaves behind in each of the four."""

    def __init__(self, router: Router, sign: Expert, fingerspelling: Expert, lips: Expert) -> None:
        super().__init__()
        self.router, self.sign, self.fingerspelling, self.lips = router, sign, fingerspelling, lips

    def forward(self, manual: Tensor, mouth: Tensor, held: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        parts = [_memory(memory[start : start + MEMORY]) for start in range(0, len(memory), MEMORY)]
        routed, routed_fresh = self.router.advance(manual, held, *parts[0])
        sign, sign_fresh = self.sign.advance(manual, *parts[1])
        spelled, spelled_fresh = self.fingerspelling.advance(manual, *parts[2])
        lips, lips_fresh = self.lips.advance(mouth, *parts[3])
        return *sign, *spelled, *lips, routed.routes, *routed_fresh, *sign_fresh, *spelled_fresh, *lips_fresh


class FusionNetwork(nn.Module):
    """(the fields of FusionInput, the fusion's memory) -> joint log posteriors, alpha, what the chunk leaves behind."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        heard, memory = FusionInput(*inputs[:-MEMORY]), inputs[-MEMORY:]
        out, fresh = self.fusion.advance(heard, *_memory(memory))
        return out.log_probs, out.alpha, *fresh


def _memory(memory: tuple[Tensor, ...]) -> tuple[Sight, Tensor, Tensor]:
    mask, cos, sin, rings, tails = memory
    return Sight(mask, Rotation(cos, sin)), rings, tails


class Temporal:
    """Owns the states of all slots; features in, joint log posteriors out."""

    def __init__(
        self, router: Router, sign: Expert, fingerspelling: Expert, lips: Expert, fusion: Fusion, slots: int,
        backend: Backend | None = None,
    ) -> None:  # fmt: skip
        backend = backend or Backend("torch")
        self.slots, self.device = slots, next(fusion.parameters()).device
        networks = (router, sign, fingerspelling, lips, fusion)
        self.router = router
        self._encoders = [network.eval().encoder for network in networks]
        self._states = [encoder.new_state(slots, self.device) for encoder in self._encoders]
        self._from_rest = torch.zeros(slots, dtype=torch.int64, device=self.device)
        self.experts_ms = self.fusion_ms = 0.0
        self._prepare(backend, networks)

    @torch.inference_mode()
    def _prepare(self, backend: Backend, networks: tuple[Router, Expert, Expert, Expert, Fusion]) -> None:
        route, hear, fuse = RouterNetwork(networks[0]), ExpertNetworks(*networks[:4]), FusionNetwork(networks[4])
        everyone = torch.arange(self.slots, device=self.device)
        manual = torch.zeros(self.slots, CHUNK_FRAMES, MANUAL, device=self.device)
        mouth = torch.zeros(self.slots, CHUNK_FRAMES, MOUTH, device=self.device)
        routed = (manual, self._held(everyone), *self._memories(everyone, ROUTER))
        heard = (manual, mouth, self._held(everyone), *self._memories(everyone, EXPERTS))
        fused = (*hear.eval()(*heard)[:HEARD], *self._memories(everyone, FUSION))
        self._route, self._hear = backend.function(route, routed), backend.function(hear, heard)
        self._fuse = backend.function(fuse, fused)

    def reset(self, mask: Mask) -> None:
        """Empties the masked slots."""
        rows = torch.from_numpy(mask).to(self.device)
        for state in self._states:
            state.reset(rows)
        self._from_rest.masked_fill_(rows, 0)

    @torch.inference_mode()
    def route(self, manual: Tensor, active: Mask) -> NDArray[np.int64]:
        """Routes (slots, C) of a chunk of features (slots, C, 216); advances the router alone."""
        rows = self._rows(active)
        manual = manual.to(self.device)[rows]
        routes, *left = self._route(manual, self._held(rows), *self._memories(rows, ROUTER))
        self._leave(left, rows, active, ROUTER)
        self._hold(routes, rows, active)
        return self._spread(routes.argmax(-1), rows)

    @torch.inference_mode()
    def step(self, manual: Tensor, mouth: Tensor, active: Mask) -> Spoken:
        """One chunk, features (slots, C, 216) and (slots, C, 96), through all networks."""
        begun = time.perf_counter()
        rows = self._rows(active)
        features = (manual.to(self.device)[rows], mouth.to(self.device)[rows])
        outputs = self._hear(*features, self._held(rows), *self._memories(rows, EXPERTS))
        heard, routes = outputs[:HEARD], outputs[HEARD - 1]
        self._leave(outputs[HEARD:], rows, active, EXPERTS)
        self._hold(routes, rows, active)
        experts_done = time.perf_counter()
        log_probs, alpha, *left = self._fuse(*heard, *self._memories(rows, FUSION))
        self._leave(left, rows, active, FUSION)
        out = Spoken(*(self._spread(part, rows) for part in (log_probs, alpha, routes.argmax(-1))))
        self.experts_ms, self.fusion_ms = (experts_done - begun) * 1e3, (time.perf_counter() - experts_done) * 1e3
        return out

    def _rows(self, active: Mask) -> Tensor:
        """The slots to run: on a GPU all of them, for there shapes never change."""
        numbers = np.arange(self.slots) if self.device.type == "cuda" else np.flatnonzero(active)
        return torch.from_numpy(numbers).to(self.device)

    def _held(self, rows: Tensor) -> Tensor:
        return (self._from_rest[rows] + REST) % len(ROUTES)

    def _hold(self, routes: Tensor, rows: Tensor, active: Mask) -> None:
        left = torch.where(torch.from_numpy(active).to(self.device)[rows], from_rest(routes), self._from_rest[rows])
        self._from_rest[rows] = left

    def _memories(self, rows: Tensor, networks: slice) -> list[Tensor]:
        """What these networks remember of the rows, MEMORY tensors each."""
        found: list[Tensor] = []
        for encoder, state in zip(self._encoders[networks], self._states[networks], strict=True):
            some = state.of(rows)
            sight = encoder.sight(some.seen, some.tails)
            found += [sight.mask, *sight.turn, some.rings, some.tails]
        return found

    def _leave(self, left: Sequence[Tensor], rows: Tensor, active: Mask, networks: slice) -> None:
        """Takes over what a chunk leaves behind in these networks."""
        for state, start in zip(self._states[networks], range(0, len(left), LEFT), strict=True):
            fresh = Fresh(*left[start : start + LEFT])
            if self.device.type == "cuda":
                state.write(fresh, torch.from_numpy(active).to(self.device))
            else:
                state.put(fresh, rows)

    def _spread(self, part: Tensor, rows: Tensor) -> NDArray[Any]:
        """Rows back at their slots; the others are zero."""
        out = np.zeros((self.slots, *part.shape[1:]), part.cpu().numpy().dtype)
        out[rows.cpu().numpy()] = part.cpu().numpy()
        return out
