"""Attention over the own chunk and a fixed number of chunks before it, with keys and values in a ring cache."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from models.config import EncoderConfig
from models.layers.rotary import Rotation, rotate, rotation
from models.streaming import StreamState, Window, additive


class Sight(NamedTuple):
    """What all layers of a network share in one forward: who sees whom, and the positions of the steps."""

    mask: Tensor  # additive, broadcasts to (batch, heads, queries, keys)
    turn: Rotation
    place: Tensor | None = None  # streaming: where in the ring each slot's chunk goes, (slots,)


def sight_offline(steps: int, channels: int, window: Window, mask: Tensor | None, like: Tensor) -> Sight:
    """For whole sequences of which `mask` (batch, steps) says what is no padding."""
    allowed = window.allowed(steps, like.device)
    if mask is not None:
        own = torch.eye(steps, dtype=torch.bool, device=like.device)  # so that padding sees something: no NaN
        allowed = ((allowed & mask[:, None, :]) | own)[:, None]
    return Sight(additive(allowed, like.dtype), rotation(torch.arange(steps, device=like.device), channels))


def sight_step(seen: Tensor, channels: int, window: Window, like: Tensor) -> Sight:
    """For the chunk that comes after `seen` (slots,) chunks; the ring fills from its start, then goes round."""
    ring = window.lookback + 1
    filled = torch.arange(ring, device=seen.device) <= seen[:, None]
    own = torch.arange(window.chunk, device=seen.device)
    turn = rotation((seen[:, None] * window.chunk + own)[:, None], channels)
    mask = additive(filled.repeat_interleave(window.chunk, dim=1), like.dtype)
    return Sight(mask[:, None, None], turn, seen % ring)


@dataclass
class AttentionState(StreamState):
    """Rotated keys, and values, of the last lookback + 1 chunks: (slots, 2, heads, chunks, steps, channels)."""

    ring: Tensor


class ChunkedAttention(nn.Module):
    """Multi-head attention of `queries` over `source`; self-attention where both are the same tensor."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dim, self.heads = config.dim, config.heads
        self.ring = (config.lookback + 1, config.chunk)
        self.project = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)

    def new_state(self, slots: int, device: torch.device | None = None) -> AttentionState:
        """An empty ring."""
        shape = (slots, 2, self.heads, *self.ring, self.dim // self.heads)
        return AttentionState(torch.zeros(shape, device=device, dtype=self.project.weight.dtype))

    def forward(self, queries: Tensor, source: Tensor, sight: Sight) -> Tensor:
        """Whole sequences (batch, steps, dim)."""
        heads, keys, values = self._heads(queries, source, sight.turn)
        return self._attend(heads, keys, values, sight.mask)

    def step(self, queries: Tensor, source: Tensor, sight: Sight, state: AttentionState) -> Tensor:
        """One chunk (slots, chunk, dim).

        A slot that is not active has its next place in the ring written as well. That place is outside of every
        window until the slot's next chunk writes it again, so nothing can read it.
        """
        heads, keys, values = self._heads(queries, source, sight.turn)
        slots = torch.arange(len(queries), device=queries.device)
        state.ring[slots, :, :, sight.place] = torch.stack((keys, values), dim=1)
        kept = state.ring.flatten(3, 4)
        return self._attend(heads, kept[:, 0], kept[:, 1], sight.mask)

    def _heads(self, queries: Tensor, source: Tensor, turn: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, rotated keys, values: each (batch, heads, steps, channels)."""
        batch, steps, _ = queries.shape
        all_three: Tensor = self._projected(queries, source).view(batch, steps, 3, self.heads, -1)
        rotated = rotate(all_three[:, :, :2].permute(2, 0, 3, 1, 4), turn)
        return rotated[0], rotated[1], all_three[:, :, 2].transpose(1, 2)

    def _projected(self, queries: Tensor, source: Tensor) -> Tensor:
        """Queries, keys, values side by side: (batch, steps, 3 * dim)."""
        if queries is source:
            joined: Tensor = self.project(queries)
            return joined
        weight, bias = self.project.weight, self.project.bias
        query = linear(queries, weight[: self.dim], bias[: self.dim])
        return torch.cat((query, linear(source, weight[self.dim :], bias[self.dim :])), dim=-1)

    def _attend(self, heads: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        mixed = scaled_dot_product_attention(heads, keys, values, mask.to(heads.dtype))
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out
