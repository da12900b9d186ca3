"""Causal depthwise convolution in the manner of Conformer (Gulati et al., arXiv 2005.08100), its tail cached."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, glu, pad, silu

from models.config import EncoderConfig


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

    def forward(self, inputs: Tensor) -> Tensor:
        """Whole sequences (batch, steps, dim)."""
        padded = pad(glu(self.gated(inputs)).transpose(1, 2), (self.kernel_size - 1, 0))
        weight = self.kernel.t()[:, None]
        return self._leave(conv1d(padded, weight, self.bias, groups=len(weight)).transpose(1, 2))

    def advance(self, inputs: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """One chunk (slots, chunk, dim) after `tail`, the kernel - 1 inputs before it; also the tail of the next chunk.

        For so few steps a sum of products is several times faster than torch's convolution; ONNX Runtime's is quick for
        pictures, and here they are one step wide.
        """
        padded = torch.cat((tail, glu(self.gated(inputs))), dim=1)
        if torch.onnx.is_in_onnx_export():
            columns = padded[:, :, None].permute(0, 3, 1, 2)  # (slots, dim, kernel - 1 + chunk, 1)
            mixed = conv2d(columns, self.kernel.t()[:, None, :, None], self.bias, groups=self.kernel.shape[1])
            mixed = mixed.permute(0, 2, 3, 1).reshape(-1, int(inputs.shape[1]), int(inputs.shape[2]))
        else:
            windows = padded.unfold(1, self.kernel_size, 1).transpose(2, 3)  # (slots, chunk, kernel, dim)
            mixed = (windows * self.kernel).sum(dim=2) + self.bias
        return self._leave(mixed), padded[:, -int(tail.shape[1]) :]

    def _leave(self, mixed: Tensor) -> Tensor:
        out: Tensor = self.out(silu(self.norm(mixed)))
        return out
