"""A backbone that has seen more hands than we have: the trunk of MediaPipe's hand landmark network (Zhang et al. 2020, "full").

An EfficientNet-B0 (Tan and Le 2019) without squeeze-and-excitation, its norms folded into its convolutions, up to the mean over
all places. It was made for crops of 224 px.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STAGES = ((3, 2, 4, 24, 1), (3, 1, 6, 24, 1), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4))
"""Kernel, stride, expansion, channels, blocks of each stage."""
STEM, FIRST, SEEN = 24, 16, 1152


class Convolution(nn.Module):
    """A convolution with a bias; a strided one is padded more behind than before, as the published weights expect it."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, each: bool = False, bends: bool = True
    ) -> None:
        super().__init__()
        around = kernel - stride
        self.padding = (around // 2, around - around // 2) * 2 if stride > 1 else None
        self.bends = bends
        inside = 0 if stride > 1 else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, inside, groups=inputs if each else 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x if self.padding is None else F.pad(x, self.padding))
        return F.relu6(out) if self.bends else out


class Inverted(nn.Module):
    """A block that widens, looks around in each channel, and narrows (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = Convolution(inputs, wide, 1)
        self.look = Convolution(wide, wide, kernel, stride, each=True)
        self.narrow = Convolution(wide, outputs, 1, bends=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.narrow(self.look(self.expand(x)))
        return x + out if self.shortcut else out


class LandmarkTrunk(nn.Module):
    """RGB (N, 3, S, S) in 0..1 -> (N, 1152); S a multiple of 32."""

    def __init__(self) -> None:
        super().__init__()
        stem = [
            Convolution(3, STEM, 3, 2),
            Convolution(STEM, STEM, 3, each=True),
            Convolution(STEM, FIRST, 1, bends=False),
        ]
        blocks: list[nn.Module] = []
        inputs = FIRST
        for kernel, stride, expansion, outputs, count in STAGES:
            for number in range(count):
                blocks.append(Inverted(inputs, outputs, kernel, stride if number == 0 else 1, expansion))
                inputs = outputs
        last = [Convolution(inputs, SEEN, 1), Convolution(SEEN, SEEN, 3, each=True)]
        self.layers = nn.Sequential(*stem, *blocks, *last)

    def forward(self, pictures: Tensor) -> Tensor:
        pooled: Tensor = self.layers(pictures.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return pooled

    def convolutions(self) -> list[nn.Conv2d]:
        """All of them in the order in which a picture passes them."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]
