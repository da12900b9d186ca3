"""Rotary positions (Su et al., arXiv 2104.09864): attention then depends on distances between steps alone."""

from typing import NamedTuple

import torch
from torch import Tensor

BASE = 1000.0


class Rotation(NamedTuple):
    """cos and signed sin of the angles of each position, both (..., steps, channels)."""

    cos: Tensor
    sin: Tensor


def rotation(positions: Tensor, channels: int) -> Rotation:
    """For whole positions (..., steps) and heads of an even number of channels.

    Angles are taken in double precision: in a stream of hours, single precision would blur neighbouring steps.
    """
    half = torch.arange(channels // 2, device=positions.device, dtype=torch.float64)
    angles = positions[..., None] * BASE ** (-2 * half / channels)
    cos, sin = angles.cos().float(), angles.sin().float()
    return Rotation(torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1))


def rotate(heads: Tensor, by: Rotation) -> Tensor:
    """Turn (..., steps, channels), channel i together with channel i + channels / 2."""
    first, second = torch.split(heads, int(heads.shape[-1]) // 2, dim=-1)
    return (heads * by.cos + torch.cat((second, first), dim=-1) * by.sin).to(heads.dtype)
