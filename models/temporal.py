"""The networks over time, batched over slots: router, three experts, fusion. A step advances the slots it is given.

All of them together are one function of a chunk and of what the slots remember, which changes nothing in place. So a
backend can compile it, and on a CPU it runs for the active slots alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.backends import Backend
from models.clock import CHUNK_FRAMES
from models.experts import Expert
from models.fusion import Fusion, FusionInput
from models.graphs import Graph, graph_file, write_graph
from models.layers.attention import Sight
from models.layers.encoder import Encoder, EncoderState, Fresh, Kept, Rows
from models.layers.rotary import Rotation
from models.layout import MANUAL, MOUTH
from models.routing import Router, from_rest, holding
from models.streaming import StreamState, Window

Mask = NDArray[np.bool_]
Described = tuple[str, nn.Module, tuple[Tensor, ...]]
SEEING, KEPT = 3, len(Kept._fields)
"""An encoder's memory is mask, cos, sin, then of each layer keys, values, tail."""
LEFT = 2  # tensors that a chunk leaves behind in an encoder: keys and values, tails
KNOWN = 256  # chunks, more than a segment has: what is seen after fewer of them is kept in a table
HEARD = len(FusionInput._fields)
ROUTER, EXPERTS, FUSION = slice(0, 1), slice(0, 4), slice(4, 5)  # of a segment's five networks; between them one


@dataclass(frozen=True)
class Spoken:
    """Of one chunk: joint log posteriors (slots, C, V), alpha (slots, C), route ids (slots, C)."""

    log_probs: NDArray[np.float32]
    alpha: NDArray[np.float32]
    routes: NDArray[np.int64]


@dataclass
class Memory(StreamState):
    """What networks remember of all slots, and the route that holds (slots,), counted from rest."""

    states: list[EncoderState]
    from_rest: Tensor


class RouterNetwork(nn.Module):
    """(manual, held route, the router's memory) -> one-hot routes, then what the chunk leaves behind."""

    def __init__(self, router: Router) -> None:
        super().__init__()
        self.router = router

    def forward(self, manual: Tensor, held: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        out, fresh = self.router.advance(manual, held, *_memory(list(memory), self.router))
        return out.routes, *fresh


class ExpertNetworks(nn.Module):
    """(manual, mouth, held route, memory of router, sign, fingerspelling, lips) -> the fields of FusionInput, then what
    the chunk leaves behind in each of the four."""

    def __init__(self, router: Router, sign: Expert, fingerspelling: Expert, lips: Expert) -> None:
        super().__init__()
        self.router, self.sign, self.fingerspelling, self.lips = router, sign, fingerspelling, lips

    def forward(self, manual: Tensor, mouth: Tensor, held: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        rest = list(memory)
        routed, routed_fresh = self.router.advance(manual, held, *_memory(rest, self.router))
        sign, sign_fresh = self.sign.advance(manual, *_memory(rest, self.sign))
        spelled, spelled_fresh = self.fingerspelling.advance(manual, *_memory(rest, self.fingerspelling))
        lips, lips_fresh = self.lips.advance(mouth, *_memory(rest, self.lips))
        return *sign, *spelled, *lips, routed.routes, *routed_fresh, *sign_fresh, *spelled_fresh, *lips_fresh


class FusionNetwork(nn.Module):
    """(the fields of FusionInput, the fusion's memory) -> joint log posteriors, alpha, what the chunk leaves behind."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        heard, memory = FusionInput(*inputs[:HEARD]), list(inputs[HEARD:])
        out, fresh = self.fusion.advance(heard, *_memory(memory, self.fusion))
        return out.log_probs, out.alpha, *fresh


def _memory(rest: list[Tensor], network: Router | Expert | Fusion) -> tuple[Sight, list[Kept]]:
    """Takes a network's memory off the front of `rest`."""
    mask, cos, sin = rest[:SEEING]
    end = SEEING + KEPT * network.encoder.config.layers
    kept = [Kept(*rest[start : start + KEPT]) for start in range(SEEING, end, KEPT)]
    del rest[:end]
    return Sight(mask, Rotation(cos, sin)), kept


class Temporal:
    """Owns the states of all slots; features in, joint log posteriors out.

    Between segments the router remembers by itself: what a segment's networks remember may begin meanwhile.
    """

    def __init__(
        self, router: Router, sign: Expert, fingerspelling: Expert, lips: Expert, fusion: Fusion, slots: int,
        backend: Backend | None = None, graphs: Path | None = None,
    ) -> None:  # fmt: skip
        """`graphs` is a folder where `write` has left some for these networks, if there is one."""
        backend = backend or Backend("torch")
        self.slots, self.device = slots, next(fusion.parameters()).device
        networks = (router, sign, fingerspelling, lips, fusion)
        self.router = router
        self._encoders = [network.eval().encoder for network in networks]
        self._segments, self._between = self._new_memory(self._encoders), self._new_memory(self._encoders[:1])
        on_cpu = self.device.type == "cpu"
        self._rooms = [encoder.new_state(slots) if on_cpu else None for encoder in self._encoders]
        self._sights: dict[tuple[int, Window], Sight] = {}
        self.experts_ms = self.fusion_ms = 0.0
        functions = {
            name: backend.function(module, example, graphs and graph_file(graphs, name, module, example))
            for name, module, example in self._functions(networks)
        }
        self._route, self._hear, self._fuse = functions["route"], functions["hear"], functions["fuse"]

    @classmethod
    def write(
        cls, router: Router, sign: Expert, fingerspelling: Expert, lips: Expert, fusion: Fusion, folder: Path
    ) -> list[Path]:
        """Writes their graphs into a folder, for all networks of these sizes; needs the extra `bench`."""
        temporal = cls(router, sign, fingerspelling, lips, fusion, slots=2)
        functions = temporal._functions((router, sign, fingerspelling, lips, fusion))
        return [write_graph(folder, *function) for function in functions]

    @torch.inference_mode()
    def _functions(self, networks: tuple[Router, Expert, Expert, Expert, Fusion]) -> list[Described]:
        """What a step calls: name, module, inputs like those of all slots."""
        route, hear, fuse = RouterNetwork(networks[0]), ExpertNetworks(*networks[:4]), FusionNetwork(networks[4])
        everyone = slice(0, self.slots)
        manual = torch.zeros(self.slots, CHUNK_FRAMES, MANUAL, device=self.device)
        mouth = torch.zeros(self.slots, CHUNK_FRAMES, MOUTH, device=self.device)
        held = holding(self._segments.from_rest)
        routed = (manual, held, *self._memories(everyone, self._between.states))
        heard = (manual, mouth, held, *self._memories(everyone, self._segments.states, EXPERTS))
        fused = (*hear.eval()(*heard)[:HEARD], *self._memories(everyone, self._segments.states, FUSION))
        return [("route", route.eval(), routed), ("hear", hear, heard), ("fuse", fuse.eval(), fused)]

    @property
    def by_graph(self) -> bool:
        """Whether ONNX Runtime runs them."""
        return isinstance(self._hear, Graph)

    def _new_memory(self, encoders: Sequence[Encoder]) -> Memory:
        states = [encoder.new_state(self.slots, self.device) for encoder in encoders]
        return Memory(states, torch.zeros(self.slots, dtype=torch.int64, device=self.device))

    def reset(self, mask: Mask) -> None:
        """Empties the masked slots."""
        self.begin(mask)
        self._between.reset(torch.from_numpy(mask).to(self.device))

    def begin(self, mask: Mask) -> None:
        """Empties what a segment's networks remember of the masked slots, and lets the router between segments go on."""
        self._segments.reset(torch.from_numpy(mask).to(self.device))

    @torch.inference_mode()
    def route(self, manual: Tensor, active: Mask) -> NDArray[np.int64]:
        """Routes (slots, C) of a chunk between segments, features (slots, C, 216); advances that router alone."""
        rows, memory = self._rows(active), self._between
        manual = manual.to(self.device)[rows]
        routes, *left = self._route(manual, holding(memory.from_rest[rows]), *self._memories(rows, memory.states))
        self._leave(left, rows, active, memory.states)
        self._hold(routes, rows, active, memory)
        return self._spread(routes.argmax(-1), rows)

    @torch.inference_mode()
    def step(self, manual: Tensor, mouth: Tensor, active: Mask) -> Spoken:
        """One chunk of segments, features (slots, C, 216) and (slots, C, 96), through all networks."""
        begun = time.perf_counter()
        rows, memory = self._rows(active), self._segments
        features = (manual.to(self.device)[rows], mouth.to(self.device)[rows])
        remembered = self._memories(rows, memory.states, EXPERTS)
        outputs = self._hear(*features, holding(memory.from_rest[rows]), *remembered)
        heard, routes = outputs[:HEARD], outputs[HEARD - 1]
        self._leave(outputs[HEARD:], rows, active, memory.states[EXPERTS])
        self._hold(routes, rows, active, memory)
        experts_done = time.perf_counter()
        log_probs, alpha, *left = self._fuse(*heard, *self._memories(rows, memory.states, FUSION))
        self._leave(left, rows, active, memory.states[FUSION])
        out = Spoken(*(self._spread(part, rows) for part in (log_probs, alpha, routes.argmax(-1))))
        self.experts_ms, self.fusion_ms = (experts_done - begun) * 1e3, (time.perf_counter() - experts_done) * 1e3
        return out

    def _rows(self, active: Mask) -> Rows:
        """The slots to run: on a GPU all of them, for there shapes never change."""
        if self.device.type == "cuda":
            return slice(0, self.slots)
        numbers = np.flatnonzero(active)
        side_by_side = len(numbers) == 0 or numbers[-1] - numbers[0] == len(numbers) - 1
        if side_by_side:
            return slice(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) else slice(0, 0)
        return torch.from_numpy(numbers)

    def _hold(self, routes: Tensor, rows: Rows, active: Mask, memory: Memory) -> None:
        left = torch.where(torch.from_numpy(active).to(self.device)[rows], from_rest(routes), memory.from_rest[rows])
        memory.from_rest[rows] = left

    def _memories(self, rows: Rows, states: Sequence[EncoderState], networks: slice = ROUTER) -> list[Tensor]:
        """What these `networks` remember of the rows, one after the other as `_memory` takes them; `states` has all of theirs."""
        found: list[Tensor] = []
        parts = (self._encoders[networks], states[networks], self._rooms[networks])
        for encoder, state, room in zip(*parts, strict=True):
            sight = self._sight(encoder, state.seen[rows], state.tails)
            found += [sight.mask, *sight.turn, *(tensor for layer in state.kept(rows, room) for tensor in layer)]
        return found

    def _sight(self, encoder: Encoder, seen: Tensor, like: Tensor) -> Sight:
        """`encoder.sight`, looked up where it can be; on a GPU to ask whether it can would mean to wait for it."""
        if self.device.type == "cuda" or (len(seen) and int(seen.max()) >= KNOWN):
            return encoder.sight(seen, like)
        key = (encoder.channels, encoder.window)
        if key not in self._sights:
            self._sights[key] = encoder.sight(torch.arange(KNOWN), like)
        known = self._sights[key]
        return Sight(known.mask[seen], Rotation(known.turn.cos[seen], known.turn.sin[seen]))

    def _leave(self, left: Sequence[Tensor], rows: Rows, active: Mask, states: Sequence[EncoderState]) -> None:
        """Takes over what a chunk leaves behind in these networks."""
        for state, start in zip(states, range(0, len(left), LEFT), strict=True):
            fresh = Fresh(*left[start : start + LEFT])
            if self.device.type == "cuda":
                state.write(fresh, torch.from_numpy(active).to(self.device))
            else:
                state.put(fresh, torch.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)

    def _spread(self, part: Tensor, rows: Rows) -> NDArray[Any]:
        """Rows back at their slots; the others are zero."""
        found = part.cpu().numpy()
        out = np.zeros((self.slots, *part.shape[1:]), found.dtype)
        out[rows if isinstance(rows, slice) else rows.numpy()] = found
        return out
