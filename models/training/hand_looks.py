"""Changes of view and light of many hand pictures at once, in torch, on whatever device they are.

They make few signers stand for many: turned, scaled, sheared, mirrored, laid on other backgrounds, seen by other cameras.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.features import HAND_SIZE

GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Changes:
    """How far a picture may be changed; shares are probabilities, sides in sides of the picture."""

    turn_deg: float = 25.0
    smallest: float = 0.8  # side of the crop: the hand then fills it
    largest: float = 1.4
    shift: float = 0.12
    squeeze: float = 0.15  # how far width and height may differ, and the shear
    mirror: float = 0.5
    background: float = 0.6


class View(NamedTuple):
    """How each picture is laid into its crop: angle (N,) in radians, sign (N,) -1 where mirrored, theta (N, 2, 3)."""

    angle: Tensor
    sign: Tensor
    theta: Tensor


def draw_views(count: int, changes: Changes, device: torch.device) -> View:
    """Random views; `theta` takes places of the crop (-1..1) to places of the picture (-1..1)."""

    def even(low: float, high: float) -> Tensor:
        return torch.empty(count, device=device).uniform_(low, high)

    side = even(math.log(changes.smallest), math.log(changes.largest)).exp()
    angle = even(-1, 1) * math.radians(changes.turn_deg)
    stretch = even(-changes.squeeze, changes.squeeze).exp()
    shear = even(-changes.squeeze, changes.squeeze)
    sign = torch.where(torch.rand(count, device=device) < changes.mirror, -1.0, 1.0)
    c, s = angle.cos(), angle.sin()
    # picture = diag(sign, 1) * shear * stretch * R(-angle) * crop * side
    rows = (torch.stack((c / stretch, s / stretch), -1), torch.stack((-s * stretch, c * stretch), -1))
    first = (rows[0] + shear[:, None] * rows[1]) * sign[:, None]
    linear = torch.stack((first, rows[1]), 1) * side[:, None, None]
    move = torch.stack((even(-1, 1), even(-1, 1)), -1) * 2 * changes.shift
    return View(angle, sign, torch.cat((linear, move[..., None]), -1))


def turned(pose: Tensor, view: View) -> Tensor:
    """Poses (N, 26) as the view shows them: the first six are two directions (x right, y up, z to the camera)."""
    out = pose.clone()
    c, s = view.angle.cos(), view.angle.sin()
    for start in (0, 3):
        x, y = pose[:, start] * view.sign, -pose[:, start + 1]  # y down, as in pictures
        out[:, start], out[:, start + 1] = c * x - s * y, -(s * x + c * y)
    return out


def placed(pictures: Tensor, opaque: Tensor | None, behind: Tensor | None, view: View, changes: Changes) -> Tensor:
    """Pictures (N, 3, H, W) uint8 through their views -> (N, 3, 64, 64) in 0..1, some on the background `behind`."""
    return coarser(placed_finely(pictures, opaque, behind, view, changes))  # sampled twice as fine: fingers are thin


def coarser(fine: Tensor) -> Tensor:
    """Half as many pixels, each the mean of four."""
    return F.avg_pool2d(fine, 2)


def placed_finely(
    pictures: Tensor, opaque: Tensor | None, behind: Tensor | None, view: View, changes: Changes
) -> Tensor:
    """`placed` with twice as many pixels a side: (N, 3, 128, 128)."""
    size = [len(pictures), 3, 2 * HAND_SIZE, 2 * HAND_SIZE]
    grid = F.affine_grid(view.theta, size, align_corners=False)
    crops = _sampled(pictures, grid)
    if opaque is not None and behind is not None:
        mask = _sampled(opaque, grid)
        mask = torch.where(_some(len(crops), changes.background, crops.device), mask, 1.0)
        crops = crops * mask + F.interpolate(behind.float() / 255, size=crops.shape[-2:], mode="bilinear") * (1 - mask)
    return crops


def _sampled(pictures: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(pictures.float() / 255, grid, padding_mode="border", align_corners=False)


def _some(count: int, share: float, device: torch.device) -> Tensor:
    """True for a random `share`, (count, 1, 1, 1)."""
    return torch.rand(count, 1, 1, 1, device=device) < share


def relight(x: Tensor) -> Tensor:
    """Another camera and light for pictures (N, 3, S, S) in 0..1: gamma, contrast, colour cast, fog, grey, blur, coarse
    pixels, noise, a piece hidden."""
    count, device = len(x), x.device

    def normal(channels: int, size: float) -> Tensor:
        return torch.randn(count, channels, 1, 1, device=device) * size

    def even(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.empty(count, channels, 1, 1, device=device).uniform_(low, high)

    x = x.clamp(1e-4, 1).pow(normal(1, 0.3).exp()) * normal(3, 0.13).exp() * normal(1, 0.2).exp()
    grey = (x * torch.tensor(GREY, device=device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    colour = torch.where(_some(count, 0.35, device), torch.zeros_like(even(0, 1)), even(0.3, 1.6))
    x = torch.where(_some(count, 0.5, device), grey + (x - grey) * colour, x)
    fog = torch.where(
        _some(count, 0.5, device), even(0.2, 0.95, 3), x.mean((1, 2, 3), keepdim=True).expand(-1, 3, 1, 1)
    )
    x = torch.where(_some(count, 0.22, device), fog + (x - fog) * even(0.35, 0.9), x)
    x = torch.where(_some(count, 0.25, device), x + even(0.3, 1.0) * (_blurred(x) - x), x)
    x = torch.where(_some(count, 0.12, device), _smeared(x), x)
    x = torch.where(_some(count, 0.2, device), _coarse(x), x)
    x = x + torch.randn_like(x) * torch.where(
        _some(count, 0.25, device), even(0.01, 0.045), torch.zeros_like(even(0, 1))
    )
    x = torch.where(_some(count, 0.25, device) & _pieces(count, x.shape[-1], device), even(0, 1, 3), x)
    return x.clamp(0, 1)


def _blurred(x: Tensor) -> Tensor:
    """Gaussian of deviation 1.5."""
    at = torch.arange(-3, 4, device=x.device)
    line = torch.exp(-(at**2) / (2 * 1.5**2))
    kernel = (line[:, None] * line[None, :] / line.sum() ** 2).expand(3, 1, 7, 7)
    return F.conv2d(F.pad(x, (3, 3, 3, 3), mode="replicate"), kernel, groups=3)


def _smeared(x: Tensor) -> Tensor:
    """Motion blur in one random direction for all."""
    angle, reach = float(torch.rand(())) * math.pi, float(torch.empty(()).uniform_(1.0, 3.5))
    at = torch.linspace(-1, 1, 7)
    kernel = torch.zeros(9, 9)
    column = (4 + at * reach * math.cos(angle)).round().long()
    row = (4 + at * reach * math.sin(angle)).round().long()
    kernel.index_put_((row, column), torch.full((7,), 1 / 7), accumulate=True)
    return F.conv2d(F.pad(x, (4, 4, 4, 4), mode="replicate"), kernel.to(x.device).expand(3, 1, 9, 9), groups=3)


def _coarse(x: Tensor) -> Tensor:
    """As a camera of fewer pixels saw it."""
    size = int(torch.randint(20, 48, ()))
    small = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
    return F.interpolate(small, size=x.shape[-2:], mode="bilinear")


def _pieces(count: int, side: int, device: torch.device) -> Tensor:
    """A random rectangle of each picture, bool (count, 1, side, side)."""
    at = torch.arange(side, device=device).float()
    low = torch.rand(2, count, 1, device=device) * 0.8 * side
    size = torch.empty(2, count, 1, device=device).uniform_(0.09, 0.38) * side
    inside = (at >= low) & (at < low + size)
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
