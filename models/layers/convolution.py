"""Causal depthwise convolution in the manner of Conformer (Gulati et al., arXiv 2005.08100), its tail cached."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, glu, pad, silu

from models.config import EncoderConfig
from models.streaming import StreamState, keep


@dataclass
class ConvolutionState(StreamState):
    """The last kernel - 1 inputs of the depthwise convolution: (slots, kernel - 1, dim)."""

    tail: Tensor


class CausalConvolution(nn.Module):
    """Gated pointwise, causal depthwise, norm, SiLU, pointwise; a layer norm, since batch norm would mix slots."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.kernel_size = config.conv_kernel
        self.gated = nn.Linear(config.dim, 2 * config.dim)
        bound = config.conv_kernel**-0.5
        self.kernel = nn.Parameter(torch.empty(config.conv_kernel, config.dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(config.dim))
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, config.dim)

    def new_state(self, slots: int, device: torch.device | None = None) -> ConvolutionState:
        """Nothing before the first step."""
        shape = (slots, self.kernel_size - 1, self.kernel.shape[1])
        return ConvolutionState(torch.zeros(shape, device=device, dtype=self.kernel.dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        """Whole sequences (batch, steps, dim)."""
        padded = pad(glu(self.gated(inputs)).transpose(1, 2), (self.kernel_size - 1, 0))
        weight = self.kernel.t()[:, None]
        return self._leave(conv1d(padded, weight, self.bias, groups=len(weight)).transpose(1, 2))

    def step(self, inputs: Tensor, state: ConvolutionState, active: Tensor) -> Tensor:
        """One chunk (slots, chunk, dim); for so few steps a sum of products is several times faster than conv1d."""
        padded = torch.cat((state.tail, glu(self.gated(inputs))), dim=1)
        keep(state.tail, padded[:, inputs.shape[1] :], active)
        windows = padded.unfold(1, self.kernel_size, 1).transpose(2, 3)  # (slots, chunk, kernel, dim)
        return self._leave((windows * self.kernel).sum(dim=2) + self.bias)

    def _leave(self, mixed: Tensor) -> Tensor:
        out: Tensor = self.out(silu(self.norm(mixed)))
        return out
