"""The temporal encoder: blocks of half feed-forward, chunked attention, causal convolution, half feed-forward."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.config import EncoderConfig
from models.layers.attention import AttentionState, ChunkedAttention
from models.layers.convolution import CausalConvolution, ConvolutionState
from models.layers.rotary import Rotation, rotation
from models.streaming import StreamState, Window, additive, chunks_of, keep


@dataclass
class BlockState(StreamState):
    """What one block remembers."""

    attention: AttentionState
    convolution: ConvolutionState


@dataclass
class EncoderState(StreamState):
    """What all blocks remember, and how many cached steps are filled: int64 (slots,)."""

    filled: Tensor
    blocks: list[BlockState]


class Sight(nn.Module):
    """Masks and positions for attention, the same for all layers of a network."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.window = Window(config.chunk, config.lookback)
        self.channels = config.dim // config.heads
        turn = rotation(self.window.steps_kept + config.chunk, self.channels)
        self.register_buffer("cos", turn.cos, persistent=False)
        self.register_buffer("sin", turn.sin, persistent=False)

    def offline(self, inputs: Tensor, mask: Tensor | None, window: Window | None) -> tuple[Tensor, Rotation]:
        """For whole sequences (batch, steps, dim) of which `mask` (batch, steps) says what is no padding."""
        steps = inputs.shape[1]
        allowed = (window or self.window).allowed(steps, inputs.device)
        if mask is not None:
            own = torch.eye(steps, dtype=torch.bool, device=inputs.device)
            allowed = ((allowed & mask[:, None, :]) | own)[:, None]
        return additive(allowed, inputs.dtype), rotation(steps, self.channels, inputs.device)

    def step(self, filled: Tensor, dtype: torch.dtype) -> tuple[Tensor, Rotation]:
        """For one chunk after `filled` (slots,) cached steps, which stand at the end of the cache."""
        kept = self.window.steps_kept
        places = torch.arange(kept + self.window.chunk, device=filled.device)
        allowed = places >= kept - filled[:, None]
        return additive(allowed, dtype)[:, None, None], Rotation(self.cos, self.sin)

    def seen(self, filled: Tensor, active: Tensor) -> None:
        """Count one more chunk, in place."""
        keep(filled, (filled + self.window.chunk).clamp(max=self.window.steps_kept), active)


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

    def forward(self, steps: Tensor, mask: Tensor, turn: Rotation) -> Tensor:
        """Whole sequences (batch, steps, dim)."""
        steps = torch.add(steps, self.dropout(self.enter(steps)), alpha=0.5)
        normed = self.attention_norm(steps)
        steps = steps + self.dropout(self.attention(normed, normed, mask, turn))
        steps = steps + self.dropout(self.convolution(self.convolution_norm(steps)))
        return torch.add(steps, self.dropout(self.leave(steps)), alpha=0.5)

    def step(self, steps: Tensor, mask: Tensor, turn: Rotation, state: BlockState, active: Tensor) -> Tensor:
        """One chunk (slots, chunk, dim)."""
        steps = torch.add(steps, self.enter(steps), alpha=0.5)
        normed = self.attention_norm(steps)
        steps = steps + self.attention.step(normed, normed, mask, turn, state.attention, active)
        steps = steps + self.convolution.step(self.convolution_norm(steps), state.convolution, active)
        return torch.add(steps, self.leave(steps), alpha=0.5)


class Encoder(nn.Module):
    """Blocks and a last norm: (batch, steps, dim) -> the same shape."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.sight = Sight(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)

    def new_state(self, slots: int, device: torch.device | None = None) -> EncoderState:
        """Nothing seen yet."""
        blocks = [block.new_state(slots, device) for block in self._blocks()]
        return EncoderState(torch.zeros(slots, dtype=torch.int64, device=device), blocks)

    def forward(self, steps: Tensor, mask: Tensor | None = None, window: Window | None = None) -> Tensor:
        """Whole sequences; `mask` (batch, steps) is true for steps that are no padding."""
        sight = self.sight.offline(steps, mask, window)
        for block in self._blocks():
            steps = block(steps, *sight)
        out: Tensor = self.norm(steps)
        return out

    @torch.no_grad()
    def step(self, steps: Tensor, state: EncoderState, active: Tensor) -> Tensor:
        """One or more whole chunks (slots, n * chunk, dim); rows of slots that are not active mean nothing."""
        done = [self._chunk(chunk, state, active) for chunk in chunks_of(steps, self.sight.window.chunk)]
        return done[0] if len(done) == 1 else torch.cat(done, dim=1)

    def _chunk(self, steps: Tensor, state: EncoderState, active: Tensor) -> Tensor:
        mask, turn = self.sight.step(state.filled, steps.dtype)
        for block, block_state in zip(self._blocks(), state.blocks, strict=True):
            steps = block.step(steps, mask, turn, block_state, active)
        self.sight.seen(state.filled, active)
        out: Tensor = self.norm(steps)
        return out

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]
