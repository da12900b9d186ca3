"""Attention over the own chunk and a fixed number of chunks before it, with keys and values in a rolling cache."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from models.config import EncoderConfig
from models.layers.rotary import Rotation, rotate
from models.streaming import StreamState, keep


@dataclass
class AttentionState(StreamState):
    """Keys (before rotation) and values of the last lookback * chunk steps: (slots, 2, heads, steps, channels)."""

    cache: Tensor


class ChunkedAttention(nn.Module):
    """Multi-head attention of `queries` over `source`; self-attention where both are the same tensor."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.kept = config.lookback * config.chunk
        self.query = nn.Linear(config.dim, config.dim)
        self.key_value = nn.Linear(config.dim, 2 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)

    def new_state(self, slots: int, device: torch.device | None = None) -> AttentionState:
        """An empty cache."""
        channels = self.query.out_features // self.heads
        dtype = self.query.weight.dtype
        return AttentionState(torch.zeros(slots, 2, self.heads, self.kept, channels, device=device, dtype=dtype))

    def forward(self, queries: Tensor, source: Tensor, mask: Tensor, turn: Rotation) -> Tensor:
        """Whole sequences (batch, steps, dim); `mask` is additive and broadcasts to (batch, heads, steps, steps)."""
        keys, values = self._keys_values(source).unbind(1)
        return self._attend(queries, keys, values, mask, turn)

    def step(
        self, queries: Tensor, source: Tensor, mask: Tensor, turn: Rotation, state: AttentionState, active: Tensor
    ) -> Tensor:
        """One chunk (slots, chunk, dim); `mask` and `turn` cover the cached steps and then the chunk's own."""
        window = torch.cat((state.cache, self._keys_values(source)), dim=3)
        keep(state.cache, window[:, :, :, -self.kept :], active)
        keys, values = window.unbind(1)
        return self._attend(queries, keys, values, mask, turn)

    def _keys_values(self, source: Tensor) -> Tensor:
        """(batch, steps, dim) -> (batch, 2, heads, steps, channels)."""
        batch, steps, _ = source.shape
        both: Tensor = self.key_value(source)
        return both.view(batch, steps, 2, self.heads, -1).permute(0, 2, 3, 1, 4)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, turn: Rotation) -> Tensor:
        batch, steps, dim = queries.shape
        heads = self.query(queries).view(batch, steps, self.heads, -1).transpose(1, 2)
        mixed = scaled_dot_product_attention(rotate(heads, turn.last(steps)), rotate(keys, turn), values, mask)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, steps, dim))
        return out
