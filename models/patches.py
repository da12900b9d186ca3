"""Boxes on frames -> normalised patches for a vision transformer, all on the device that encodes them.

Frames cross to the device once, as bytes; each crop is sampled from them where it is needed (see `crops.crop` for the
same on the host). With torch.compile one kernel reads the bytes and writes the patches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


def cut(frames: Tensor, boxes: Tensor, px: int, patch_px: int, values: int, dtype: torch.dtype) -> Tensor:
    """Square crops of `px` pixels, one a frame, as patches (frames, (px / patch_px) ** 2, values) in `dtype`.

    `frames` (frames, height, width, 3) uint8 RGB; `boxes` (frames, 4) float: centre x / width, centre y / height,
    side / height, and +1, or -1 for a mirrored crop. Bilinear; outside of the frame its edge repeats. A patch holds its
    rows of pixels, colours innermost, and zeros up to `values`.
    """
    count = len(frames)
    rows = px // patch_px
    pixels = _sampled(frames, *_places(frames, boxes, px))
    mean = torch.tensor(MEAN, device=frames.device)
    deviation = torch.tensor(DEVIATION, device=frames.device)
    normal = ((pixels / 255 - mean) / deviation).to(dtype)
    parts = normal.view(count, rows, patch_px, rows, patch_px, 3).permute(0, 1, 3, 2, 4, 5)
    return pad(parts.reshape(count, rows * rows, 3 * patch_px**2), (0, values - 3 * patch_px**2))


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
