"""Attention over the own chunk and a fixed number of chunks before it, with keys and values in a ring cache."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad, scaled_dot_product_attention

from models.config import EncoderConfig
from models.layers.rotary import Rotation, rotate, rotation
from models.streaming import StreamState, Window, additive, rows


class Sight(NamedTuple):
    """What all layers of a network share in one forward: who sees whom, and the positions of the steps."""

    mask: Tensor  # additive, broadcasts to (batch, heads, queries, keys)
    turn: Rotation


def sight_offline(steps: int, channels: int, window: Window, mask: Tensor | None, like: Tensor) -> Sight:
    """For whole sequences of which `mask` (batch, steps) says what is no padding."""
    allowed = window.allowed(steps, like.device)
    if mask is not None:
        own = torch.eye(steps, dtype=torch.bool, device=like.device)  # so that padding sees something: no NaN
        allowed = ((allowed & mask[:, None, :]) | own)[:, None]
    return Sight(additive(allowed, like.dtype), rotation(torch.arange(steps, device=like.device), channels))


def sight_step(seen: Tensor, channels: int, window: Window, like: Tensor) -> Sight:
    """For the chunk that comes after `seen` (slots,) chunks: keys are those of the ring, then the chunk's own."""
    filled = torch.arange(window.lookback, device=seen.device) < seen[:, None]
    own = torch.arange(window.chunk, device=seen.device)
    turn = rotation((seen[:, None] * window.chunk + own)[:, None], channels)
    allowed = pad(filled.repeat_interleave(window.chunk, dim=1), (0, window.chunk), value=True)
    return Sight(additive(allowed, like.dtype)[:, None, None], turn)


def ring_shape(config: EncoderConfig) -> tuple[int, ...]:
    """Of one slot's ring in one layer: rotated keys, and values, of the last `lookback` chunks."""
    return (2, config.heads, config.lookback, config.chunk, config.dim // config.heads)


def write_ring(ring: Tensor, fresh: Tensor, seen: Tensor, active: Tensor) -> None:
    """Puts a chunk's keys and values `fresh` (slots, ..., steps, channels) in the place of the oldest chunk of `ring`
    (slots, ..., chunks, steps, channels), in place, for the active slots only."""
    slots, place = torch.arange(len(ring), device=ring.device), seen % ring.shape[-3]
    chunks = ring.movedim(-3, 1)  # a view: (slots, chunks, ...)
    chunks[slots, place] = torch.where(rows(active, fresh), fresh, chunks[slots, place])


@dataclass
class AttentionState(StreamState):
    """The ring (slots, 2, heads, chunks, steps, channels): it fills from its start, then goes round."""

    ring: Tensor


class ChunkedAttention(nn.Module):
    """Multi-head attention of `queries` over `source`; self-attention where both are the same tensor."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dim, self.heads = config.dim, config.heads
        self.ring_shape = ring_shape(config)
        self.project = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)

    def new_state(self, slots: int, device: torch.device | None = None) -> AttentionState:
        """An empty ring."""
        return AttentionState(torch.zeros((slots, *self.ring_shape), device=device, dtype=self.project.weight.dtype))

    def forward(self, queries: Tensor, source: Tensor, sight: Sight) -> Tensor:
        """Whole sequences (batch, steps, dim)."""
        heads, keys, values = self._heads(queries, source, sight.turn)
        return self._attend(heads, keys, values, sight.mask)

    def advance(self, queries: Tensor, source: Tensor, sight: Sight, ring: Tensor) -> tuple[Tensor, Tensor]:
        """One chunk (slots, chunk, dim) after what is in the ring; also its own keys and values (slots, 2, heads, chunk,
        channels), for `write_ring`."""
        heads, keys, values = self._heads(queries, source, sight.turn)
        kept = ring.flatten(3, 4)
        all_keys, all_values = torch.cat((kept[:, 0], keys), dim=2), torch.cat((kept[:, 1], values), dim=2)
        return self._attend(heads, all_keys, all_values, sight.mask), torch.stack((keys, values), dim=1)

    def _heads(self, queries: Tensor, source: Tensor, turn: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, rotated keys, values: each (batch, heads, steps, channels)."""
        projected = self._projected(queries, source)
        all_three = projected.view(*projected.shape[:2], 3, self.heads, self.dim // self.heads)
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
