"""Causal depthwise convolution in the manner of Conformer (Gulati et al., arXiv 2005.08100), its tail cached."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, glu, pad, silu

from models.config import EncoderConfig
from models.streaming import StreamState, keep


@dataclass
class ConvolutionState(StreamState):
    """The last kernel - 1 inputs of the depthwise convolution: (slots, dim, kernel - 1)."""

    tail: Tensor


class CausalConvolution(nn.Module):
    """Gated pointwise, causal depthwise, norm, SiLU, pointwise; a layer norm, since batch norm would mix slots."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.tail = config.conv_kernel - 1
        self.gated = nn.Linear(config.dim, 2 * config.dim)
        self.depthwise = nn.Conv1d(config.dim, config.dim, config.conv_kernel, groups=config.dim)
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, config.dim)

    def new_state(self, slots: int, device: torch.device | None = None) -> ConvolutionState:
        """Silence before the first step."""
        weight = self.depthwise.weight
        return ConvolutionState(torch.zeros(slots, weight.shape[0], self.tail, device=device, dtype=weight.dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        """Whole sequences (batch, steps, dim)."""
        return self._after(pad(self._before(inputs), (self.tail, 0)))

    def step(self, inputs: Tensor, state: ConvolutionState, active: Tensor) -> Tensor:
        """One chunk (slots, chunk, dim)."""
        padded = torch.cat((state.tail, self._before(inputs)), dim=2)
        keep(state.tail, padded[:, :, padded.shape[2] - self.tail :], active)
        return self._after(padded)

    def _before(self, inputs: Tensor) -> Tensor:
        """(batch, steps, dim) -> (batch, dim, steps)."""
        return glu(self.gated(inputs), dim=-1).transpose(1, 2)

    def _after(self, padded: Tensor) -> Tensor:
        """(batch, dim, tail + steps) -> (batch, steps, dim)."""
        weight, bias = self.depthwise.weight, self.depthwise.bias
        mixed = conv1d(padded, weight, bias, groups=weight.shape[0]).transpose(1, 2)
        out: Tensor = self.out(silu(self.norm(mixed)))
        return out
