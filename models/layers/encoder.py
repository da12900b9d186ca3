"""The temporal encoder: blocks of half feed-forward, chunked attention, causal convolution, half feed-forward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.config import EncoderConfig
from models.layers.attention import ChunkedAttention, Sight, ring_shape, sight_offline, sight_step, write_ring
from models.layers.convolution import CausalConvolution
from models.streaming import StreamState, Window, chunks_of, keep

Rows = slice | Tensor
"""Slots: a range of them, or their numbers (n,)."""


@dataclass
class EncoderState(StreamState):
    """What all blocks remember, and how many chunks each slot has seen: int64 (slots,).

    `rings` (slots, layers, 2, heads, chunks, steps, channels) are the keys and values of the last chunks, `tails` (slots,
    layers, kernel - 1, dim) the last inputs of the convolutions.
    """

    seen: Tensor
    rings: Tensor
    tails: Tensor

    def kept(self, rows: Rows, room: EncoderState | None = None) -> list[Kept]:
        """What each layer remembers of the slots `rows`. A range of slots is read where it lies; others are copied to
        `room`, a state of as many slots, where there is one: fresh memory costs more than the copy."""
        rings, tails = self._as_in_memory()
        if isinstance(rows, slice):
            rings, tails = rings[:, :, rows], tails[:, rows]
        elif room is None:
            rings, tails = rings.index_select(2, rows), tails.index_select(1, rows)
        else:
            free_rings, free_tails = room._as_in_memory()
            rings = torch.index_select(rings, 2, rows, out=_front(free_rings, 2, len(rows)))
            tails = torch.index_select(tails, 1, rows, out=_front(free_tails, 1, len(rows)))
        return [
            Kept(ring[0].flatten(2, 3), ring[1].flatten(2, 3), tail) for ring, tail in zip(rings, tails, strict=True)
        ]

    def _as_in_memory(self) -> tuple[Tensor, Tensor]:
        """Rings (layers, 2, slots, ...) and tails (layers, slots, ...), both contiguous, see `Encoder.new_state`."""
        return self.rings.movedim(0, 2), self.tails.movedim(0, 1)

    def put(self, fresh: Fresh, rows: Tensor) -> None:
        """Takes over what one chunk of the slots `rows` (n,) leaves behind; `fresh` has a row for each of them."""
        place = self.seen[rows] % self.rings.shape[-3]
        if self.rings.device.type == "cpu" and self.rings.dtype != torch.bfloat16:
            # a quarter of torch's time; numpy knows no bfloat16
            self.rings.numpy()[rows.numpy(), :, :, :, place.numpy()] = fresh.heads.numpy()
            self.tails.numpy()[rows.numpy()] = fresh.tails.numpy()
        else:
            self.rings[rows, :, :, :, place] = fresh.heads
            self.tails[rows] = fresh.tails
        self.seen[rows] += 1

    def write(self, fresh: Fresh, active: Tensor) -> None:
        """Takes over what one chunk leaves behind, for the active slots."""
        write_ring(self.rings, fresh.heads, self.seen, active)
        keep(self.tails, fresh.tails, active)
        self.seen += active


def _front(room: Tensor, axis: int, length: int) -> Tensor:
    """The beginning of the memory of `room`, in its shape but for the length of one axis."""
    shape = (*room.shape[:axis], length, *room.shape[axis + 1 :])
    return room.view(-1)[: math.prod(shape)].view(shape)


class Kept(NamedTuple):
    """What a layer remembers: keys and values (slots, heads, lookback * chunk, channels) in the ring's order, and the last
    inputs of the convolution (slots, kernel - 1, dim)."""

    keys: Tensor
    values: Tensor
    tail: Tensor


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

    def advance(self, steps: Tensor, sight: Sight, kept: Kept) -> tuple[Tensor, Kept]:
        """One chunk (slots, chunk, dim); also its own keys and values, and the convolution's next tail."""
        steps = torch.add(steps, self.enter(steps), alpha=0.5)
        normed = self.attention_norm(steps)
        attended, keys, values = self.attention.after(normed, normed, sight, kept.keys, kept.values)
        steps = steps + attended
        mixed, tail = self.convolution.advance(self.convolution_norm(steps), kept.tail)
        steps = steps + mixed
        return torch.add(steps, self.leave(steps), alpha=0.5), Kept(keys, values, tail)


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
        """Nothing seen yet. In memory a layer's slots lie side by side, so that a range of them needs no copy."""
        config, dtype = self.config, self.norm.weight.dtype
        two, *ring = ring_shape(config)
        rings = torch.zeros((config.layers, two, slots, *ring), device=device, dtype=dtype)
        tails = torch.zeros((config.layers, slots, config.conv_kernel - 1, config.dim), device=device, dtype=dtype)
        seen = torch.zeros(slots, dtype=torch.int64, device=device)
        return EncoderState(seen, rings.movedim(2, 0), tails.movedim(1, 0))

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

    def advance(self, steps: Tensor, sight: Sight, kept: Sequence[Kept]) -> tuple[Tensor, Fresh]:
        """One chunk (slots, chunk, dim) after what the layers remember of the slots; changes nothing in place."""
        heads, tails = [], []
        for block, remembered in zip(self._blocks(), kept, strict=True):
            steps, own = block.advance(steps, sight, remembered)
            heads += [own.keys, own.values]
            tails.append(own.tail)
        out: Tensor = self.norm(steps)
        config = self.config
        fresh = torch.cat(heads, dim=1).view(-1, config.layers, 2, config.heads, config.chunk, self.channels)
        return out, Fresh(fresh, torch.cat(tails, dim=1).view(-1, config.layers, config.conv_kernel - 1, config.dim))

    def _chunk(self, steps: Tensor, state: EncoderState, active: Tensor) -> Tensor:
        out, fresh = self.advance(steps, self.sight(state.seen, steps), state.kept(slice(None)))
        state.write(fresh, active)
        return out

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]
