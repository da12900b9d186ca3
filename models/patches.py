"""Boxes on frames -> normalised patches for a vision transformer, all on the device that encodes them.

Frames cross to the device once, as bytes; each crop is sampled from them where it is needed (see `crops.crop` for the
same on the host). With torch.compile one kernel reads the bytes and writes the patches.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class Patching(NamedTuple):
    """Crops of `px` pixels in patches of `patch_px`, each padded with zeros to `values` numbers of a type."""

    px: int
    patch_px: int
    values: int
    dtype: torch.dtype


def colours(device: torch.device | str) -> Tensor:
    """Mean and deviation of ImageNet's colours, (2, 3): made beforehand, since a graph cannot read the host's memory."""
    return torch.tensor((MEAN, DEVIATION), device=device)


def cut(frames: Tensor, boxes: Tensor, colour: Tensor, want: Patching) -> Tensor:
    """Square crops, one a frame, as patches (frames, (px / patch_px) ** 2, values).

    `frames` (frames, height, width, 3) uint8 RGB; `boxes` (frames, 4) float: centre x / width, centre y / height,
    side / height, and +1, or -1 for a mirrored crop; `colour` as `colours` gives it. Bilinear; outside of the frame its
    edge repeats. A patch holds its rows of pixels, colours innermost.
    """
    count, patch_px = len(frames), want.patch_px
    rows = want.px // patch_px
    pixels = _sampled(frames, *_places(frames, boxes, want.px))
    normal = ((pixels / 255 - colour[0]) / colour[1]).to(want.dtype)
    parts = normal.view(count, rows, patch_px, rows, patch_px, 3).permute(0, 1, 3, 2, 4, 5)
    return pad(parts.reshape(count, rows * rows, 3 * patch_px**2), (0, want.values - 3 * patch_px**2))


def _places(frames: Tensor, boxes: Tensor, px: int) -> tuple[Tensor, Tensor]:
    """Where each pixel of a crop lies in its frame: y (frames, px) and x (frames, px), in pixels from the first's centre."""
    height, width = frames.shape[1:3]
    across = (torch.arange(px, device=frames.device) + 0.5) / px - 0.5
    side = boxes[:, 2:3] * height
    y = boxes[:, 1:2] * height + across * side - 0.5
    x = boxes[:, 0:1] * width + across * side * boxes[:, 3:4] - 0.5
    return y.clamp(0, height - 1), x.clamp(0, width - 1)


def _sampled(frames: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Pixels (frames, rows, columns, 3) float at the places, weighed by the distances to the four around each."""
    height, width = frames.shape[1:3]
    top, left = y.floor().long(), x.floor().long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    down, aside = (y - top)[:, :, None, None], (x - left)[:, None, :, None]
    one = torch.arange(len(frames), device=frames.device)[:, None, None]

    def at(row: Tensor, column: Tensor) -> Tensor:
        return frames[one, row[:, :, None], column[:, None, :]].float()

    upper = torch.lerp(at(top, left), at(top, right), aside)
    return torch.lerp(upper, torch.lerp(at(bottom, left), at(bottom, right), aside), down)
