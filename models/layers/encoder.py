"""The temporal encoder: blocks of half feed-forward, chunked attention, causal convolution, half feed-forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.config import EncoderConfig
from models.layers.attention import ChunkedAttention, Sight, ring_shape, sight_offline, sight_step, write_ring
from models.layers.convolution import CausalConvolution
from models.streaming import StreamState, Window, chunks_of, keep


@dataclass
class EncoderState(StreamState):
    """What all blocks remember, and how many chunks each slot has seen: int64 (slots,).

    `rings` (slots, layers, 2, heads, chunks, steps, channels) are the keys and values of the last chunks, `tails` (slots,
    layers, kernel - 1, dim) the last inputs of the convolutions.
    """

    seen: Tensor
    rings: Tensor
    tails: Tensor

    def of(self, rows: Tensor) -> EncoderState:
        """A copy of what the slots `rows` (n,) remember."""
        return EncoderState(self.seen[rows], self.rings[rows], self.tails[rows])

    def put(self, fresh: Fresh, rows: Tensor) -> None:
        """Takes over what one chunk of the slots `rows` (n,) leaves behind; `fresh` has a row for each of them."""
        place = self.seen[rows] % self.rings.shape[-3]
        self.rings[rows, :, :, :, place] = fresh.heads
        self.tails[rows] = fresh.tails
        self.seen[rows] += 1

    def write(self, fresh: Fresh, active: Tensor) -> None:
        """Takes over what one chunk leaves behind, for the active slots."""
        write_ring(self.rings, fresh.heads, self.seen, active)
        keep(self.tails, fresh.tails, active)
        self.seen += active


class Fresh(NamedTuple):
    """What one chunk leaves behind: keys and values (slots, layers, 2, heads, steps, channels), and the new tails."""

    heads: Tensor
    tails: Tensor


class FeedForward(nn.Sequential):
    """Norm, widen, SiLU, narrow."""

    def __init__(self, config: EncoderConfig) -> None:
        wide = config.expansion * config.dim
        super().__init__(
            nn.LayerNorm(config.dim),
            nn.Linear(config.dim, wide),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(wide, config.dim),
        )


class Block(nn.Module):
    """One pre-norm Conformer block."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.enter = FeedForward(config)
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = ChunkedAttention(config)
        self.convolution_norm = nn.LayerNorm(config.dim)
        self.convolution = CausalConvolution(config)
        self.leave = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, steps: Tensor, sight: Sight) -> Tensor:
        """Whole sequences (batch, steps, dim)."""
        steps = torch.add(steps, self.dropout(self.enter(steps)), alpha=0.5)
        normed = self.attention_norm(steps)
        steps = steps + self.dropout(self.attention(normed, normed, sight))
        steps = steps + self.dropout(self.convolution(self.convolution_norm(steps)))
        return torch.add(steps, self.dropout(self.leave(steps)), alpha=0.5)

    def advance(self, steps: Tensor, sight: Sight, ring: Tensor, tail: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One chunk (slots, chunk, dim); also its keys and values, and the convolution's next tail."""
        steps = torch.add(steps, self.enter(steps), alpha=0.5)
        normed = self.attention_norm(steps)
        attended, heads = self.attention.advance(normed, normed, sight, ring)
        steps = steps + attended
        mixed, tail = self.convolution.advance(self.convolution_norm(steps), tail)
        steps = steps + mixed
        return torch.add(steps, self.leave(steps), alpha=0.5), heads, tail


class Encoder(nn.Module):
    """Blocks and a last norm: (batch, steps, dim) -> the same shape."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.window = Window(config.chunk, config.lookback)
        self.channels = config.dim // config.heads
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)

    def new_state(self, slots: int, device: torch.device | None = None) -> EncoderState:
        """Nothing seen yet."""
        config, dtype = self.config, self.norm.weight.dtype
        rings = torch.zeros((slots, config.layers, *ring_shape(config)), device=device, dtype=dtype)
        tails = torch.zeros((slots, config.layers, config.conv_kernel - 1, config.dim), device=device, dtype=dtype)
        return EncoderState(torch.zeros(slots, dtype=torch.int64, device=device), rings, tails)

    def forward(self, steps: Tensor, mask: Tensor | None = None, window: Window | None = None) -> Tensor:
        """Whole sequences; `mask` (batch, steps) is true for steps that are no padding."""
        sight = sight_offline(steps.shape[1], self.channels, window or self.window, mask, steps)
        for block in self._blocks():
            steps = block(steps, sight)
        out: Tensor = self.norm(steps)
        return out

    @torch.no_grad()
    def step(self, steps: Tensor, state: EncoderState, active: Tensor) -> Tensor:
        """One or more whole chunks (slots, n * chunk, dim); rows of slots that are not active mean nothing."""
        done = [self._chunk(chunk, state, active) for chunk in chunks_of(steps, self.window.chunk)]
        return done[0] if len(done) == 1 else torch.cat(done, dim=1)

    def sight(self, seen: Tensor, like: Tensor) -> Sight:
        """What the chunk after `seen` (slots,) chunks sees."""
        return sight_step(seen, self.channels, self.window, like)

    def advance(self, steps: Tensor, sight: Sight, rings: Tensor, tails: Tensor) -> tuple[Tensor, Fresh]:
        """One chunk (slots, chunk, dim) after what the slots remember; changes nothing in place."""
        heads, next_tails = [], []
        for layer, block in enumerate(self._blocks()):
            steps, kept, tail = block.advance(steps, sight, rings[:, layer], tails[:, layer])
            heads.append(kept)
            next_tails.append(tail)
        out: Tensor = self.norm(steps)
        return out, Fresh(torch.stack(heads, dim=1), torch.stack(next_tails, dim=1))

    def _chunk(self, steps: Tensor, state: EncoderState, active: Tensor) -> Tensor:
        out, fresh = self.advance(steps, self.sight(state.seen, steps), state.rings, state.tails)
        state.write(fresh, active)
        return out

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]
