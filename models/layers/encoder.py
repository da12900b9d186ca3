"""The temporal encoder: blocks of half feed-forward, chunked attention, causal convolution, half feed-forward."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.config import EncoderConfig
from models.layers.attention import AttentionState, ChunkedAttention, Sight, sight_offline, sight_step
from models.layers.convolution import CausalConvolution, ConvolutionState
from models.streaming import StreamState, Window, chunks_of


@dataclass
class BlockState(StreamState):
    """What one block remembers."""

    attention: AttentionState
    convolution: ConvolutionState


@dataclass
class EncoderState(StreamState):
    """What all blocks remember, and how many chunks each slot has seen: int64 (slots,)."""

    seen: Tensor
    blocks: list[BlockState]


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

    def new_state(self, slots: int, device: torch.device | None = None) -> BlockState:
        """Nothing seen yet."""
        return BlockState(self.attention.new_state(slots, device), self.convolution.new_state(slots, device))

    def forward(self, steps: Tensor, sight: Sight) -> Tensor:
        """Whole sequences (batch, steps, dim)."""
        steps = torch.add(steps, self.dropout(self.enter(steps)), alpha=0.5)
        normed = self.attention_norm(steps)
        steps = steps + self.dropout(self.attention(normed, normed, sight))
        steps = steps + self.dropout(self.convolution(self.convolution_norm(steps)))
        return torch.add(steps, self.dropout(self.leave(steps)), alpha=0.5)

    def step(self, steps: Tensor, sight: Sight, state: BlockState, active: Tensor) -> Tensor:
        """One chunk (slots, chunk, dim)."""
        steps = torch.add(steps, self.enter(steps), alpha=0.5)
        normed = self.attention_norm(steps)
        steps = steps + self.attention.step(normed, normed, sight, state.attention)
        steps = steps + self.convolution.step(self.convolution_norm(steps), state.convolution, active)
        return torch.add(steps, self.leave(steps), alpha=0.5)


class Encoder(nn.Module):
    """Blocks and a last norm: (batch, steps, dim) -> the same shape."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.window = Window(config.chunk, config.lookback)
        self.channels = config.dim // config.heads
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)

    def new_state(self, slots: int, device: torch.device | None = None) -> EncoderState:
        """Nothing seen yet."""
        blocks = [block.new_state(slots, device) for block in self._blocks()]
        return EncoderState(torch.zeros(slots, dtype=torch.int64, device=device), blocks)

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

    def _chunk(self, steps: Tensor, state: EncoderState, active: Tensor) -> Tensor:
        sight = sight_step(state.seen, self.channels, self.window, steps)
        for block, block_state in zip(self._blocks(), state.blocks, strict=True):
            steps = block.step(steps, sight, block_state, active)
        state.seen += active
        out: Tensor = self.norm(steps)
        return out

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]
