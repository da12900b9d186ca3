"""Attention over the own chunk and a fixed number of chunks before it, with keys and values in a ring cache."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad, scaled_dot_product_attention

from models.config import EncoderConfig
from models.layers.rotary import Rotation, rotate, rotation
from models.streaming import StreamState, Window, additive, rows

Parts = tuple[Tensor, Tensor]
"""What is kept, and the chunk's own."""


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
        kept = ring.flatten(3, 4)
        mixed, keys, values = self.after(queries, source, sight, kept[:, 0], kept[:, 1])
        return mixed, torch.stack((keys, values), dim=1)

    def after(
        self, queries: Tensor, source: Tensor, sight: Sight, kept_keys: Tensor, kept_values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One chunk (slots, chunk, dim) after earlier keys and values (slots, heads, lookback * chunk, channels); also its
        own, for those that come."""
        heads, keys, values = self._heads(queries, source, sight.turn)
        if torch.onnx.is_in_onnx_export():
            mixed = self._attend_apart(heads, (kept_keys, keys), (kept_values, values), sight.mask)
        else:
            all_keys, all_values = torch.cat((kept_keys, keys), dim=2), torch.cat((kept_values, values), dim=2)
            mixed = self._attend(heads, all_keys, all_values, sight.mask)
        return mixed, keys, values

    def _heads(self, queries: Tensor, source: Tensor, turn: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, rotated keys, values: each (batch, heads, steps, channels)."""
        projected = self._projected(queries, source)
        steps = int(projected.shape[1])  # a number, where a graph would compute it anew in every layer
        all_three = projected.view(-1, steps, 3 * self.heads, self.dim // self.heads).transpose(1, 2)
        unturned, values = torch.split(all_three, [2 * self.heads, self.heads], dim=1)
        heads, keys = torch.split(rotate(unturned, turn), self.heads, dim=1)
        return heads, keys, values

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

    def _attend_apart(self, heads: Tensor, keys: Parts, values: Parts, mask: Tensor) -> Tensor:
        """The same, for a graph: what is kept is read where it lies, and not copied to lie beside the chunk's own."""
        heads, lengths = heads * (self.dim // self.heads) ** -0.5, [int(part.shape[2]) for part in keys]
        scores = torch.cat([heads @ part.transpose(2, 3) for part in keys], dim=-1) + mask
        of_kept, of_own = torch.split(scores.softmax(dim=-1), lengths, dim=-1)
        mixed = of_kept @ values[0] + of_own @ values[1]
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out
