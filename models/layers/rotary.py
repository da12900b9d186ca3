"""Rotary positions (Su et al., arXiv 2104.09864): attention then depends on distances between steps alone.

So a cache may hold keys without positions and number them anew at every step: no counter grows with the stream.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BASE = 1000.0


class Rotation(NamedTuple):
    """cos and signed sin for each position, both (steps, channels)."""

    cos: Tensor
    sin: Tensor

    def last(self, steps: int) -> "Rotation":
        """The rotation of the last `steps` positions."""
        return Rotation(self.cos[-steps:], self.sin[-steps:])


def rotation(steps: int, channels: int, device: torch.device | None = None) -> Rotation:
    """Positions 0 .. steps - 1 for heads of an even number of channels."""
    rates = BASE ** -(torch.arange(channels // 2, device=device, dtype=torch.float32) * 2 / channels)
    angles = torch.arange(steps, device=device, dtype=torch.float32)[:, None] * rates
    sin = angles.sin()
    return Rotation(angles.cos().repeat(1, 2), torch.cat((-sin, sin), dim=1))


def rotate(heads: Tensor, by: Rotation) -> Tensor:
    """Turn (..., steps, channels), channel i together with channel i + channels / 2."""
    half = heads.shape[-1] // 2
    return torch.addcmul(heads * by.cos, heads.roll(half, dims=-1), by.sin)
