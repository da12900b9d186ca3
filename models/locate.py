"""Finds the signer's hands, face and mouth on every frame: a small CenterNet (Zhou et al. 2019) with a U-shaped network.

The picture is shrunk to 160x120; each of the four parts has its own heatmap at a quarter of that, with the centre's place
within the cell and the log of the side. At most one box a part: the highest peak.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.canvas import SMALL_HEIGHT, SMALL_WIDTH, shrink
from models.following import BEFORE, Limits, boxes_of, choose, nowhere, rows_of, smooth
from models.following import PARTS as PARTS
from models.following import Box as Box
from models.following import Boxes as Boxes

STRIDE = 4
GRID_WIDTH, GRID_HEIGHT = SMALL_WIDTH // STRIDE, SMALL_HEIGHT // STRIDE
CHANNELS = 4  # a part: heat, x, y, log side

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LocatorConfig:
    stem: int = 16
    channels: tuple[int, int, int, int] = (32, 64, 80, 80)
    threshold: float = 0.3  # a part counts as seen from this heat on
    twin_distance: float = 0.35  # hands nearer than this, in their sides, may be one hand found twice
    twin_heat: float = 0.6  # of the stronger one's heat, under which the weaker twin is dropped

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if len(self.channels) != 4 or not 0 < self.threshold < 1:
            raise ValueError(
                f"the locator needs four stages and a threshold between 0 and 1, got {self.channels}, {self.threshold}: "
                "use its own config file"
            )

    @property
    def limits(self) -> Limits:
        """As `models.following` takes them."""
        return self.threshold, self.twin_distance, self.twin_heat


def _convolve(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Locator(nn.Module):
    """Small frames, uint8 RGB (N, 120, 160, 3) -> maps (N, 4 parts, 4, 30, 40): heat logit, x, y, log side."""

    def __init__(self, config: LocatorConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third, fourth = config.channels
        self.stem = _convolve(3, config.stem, 2, 5)
        self.down = nn.ModuleList(
            [
                nn.Sequential(_convolve(inputs, outputs, 2), _convolve(outputs, outputs))
                for inputs, outputs in zip((config.stem, *config.channels), config.channels, strict=False)
            ]
        )
        self.narrow = nn.ModuleList(
            [nn.Conv2d(fourth, third, 1), nn.Conv2d(third, second, 1), nn.Conv2d(second, first, 1)]
        )
        self.up = nn.ModuleList([nn.Identity(), _convolve(second, second), _convolve(first, first)])
        self.heads = nn.Conv2d(first, len(PARTS) * CHANNELS, 1)
        with torch.no_grad():
            self.heads.weight.mul_(0.1)
            assert self.heads.bias is not None
            bias = self.heads.bias
            assert bias is not None
            bias.view(len(PARTS), CHANNELS)[:] = torch.tensor([-3.0, 0.5, 0.5, math.log(0.2)])

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0).contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        levels = []
        for down in self.down:
            x = down(x)
            levels.append(x)
        for narrow, up, level in zip(self.narrow, self.up, levels[-2::-1], strict=True):
            enlarged = F.interpolate(narrow(x), size=level.shape[-2:], mode="nearest")
            x = up(enlarged + level)
        maps: Tensor = self.heads(x)
        return maps.view(-1, len(PARTS), CHANNELS, GRID_HEIGHT, GRID_WIDTH)

    def find(self, frames: Sequence[Pixels]) -> list[Boxes]:
        """Boxes of every frame (any size of the canvas' shape, RGB uint8)."""
        if not len(frames):
            return []
        return self.find_small(np.stack([shrink(frame) for frame in frames]))

    @torch.inference_mode()
    def find_small(self, small: Pixels, batch: int = 64) -> list[Boxes]:
        """Boxes of frames (N, 120, 160, 3) that are shrunk already."""
        if small.ndim != 4 or small.shape[1:] != (SMALL_HEIGHT, SMALL_WIDTH, 3):
            raise ValueError(
                f"small frames must be (N, {SMALL_HEIGHT}, {SMALL_WIDTH}, 3), got {small.shape}: shrink them"
            )
        found: list[Boxes] = []
        for start in range(0, len(small), batch):
            maps = self(torch.from_numpy(np.ascontiguousarray(small[start : start + batch])))
            found += [self.boxes(row) for row in peaks(maps).tolist()]
        return found

    def boxes(self, parts: list[list[float]]) -> Boxes:
        """The boxes of one frame's `peaks`: those hot enough, and of one hand found twice the better one."""
        rows = np.array(parts, np.float64)
        choose(rows, self.config.limits)
        return boxes_of(rows)


class PeakLocator(nn.Module):
    """Small frames, uint8 RGB (N, 120, 160, 3) -> (N, 4 parts, 4), the `peaks` of the locator's maps."""

    def __init__(self, locator: Locator) -> None:
        super().__init__()
        self.locator = locator

    def forward(self, frames: Tensor) -> Tensor:
        return peaks(self.locator(frames))


def peaks(maps: Tensor) -> Tensor:
    """Maps (N, parts, 4, 30, 40) -> (N, parts, 4): heat 0..1, centre x / width, centre y / height, side / height."""
    flat = maps.flatten(3).float()  # places of cells need more digits than bfloat16 has
    heat, cell = flat[:, :, 0].max(-1)
    at = flat.gather(3, cell[:, :, None, None].expand(-1, -1, CHANNELS, 1))[..., 0]
    row, column = cell // GRID_WIDTH, cell % GRID_WIDTH
    x, y = (column + at[:, :, 1]) / GRID_WIDTH, (row + at[:, :, 2]) / GRID_HEIGHT
    return torch.stack([heat.sigmoid(), x, y, at[:, :, 3].clamp(-4.5, 0.5).exp()], -1)


@dataclass
class BoxSmoother:
    """Steadies one signer's boxes, causally, as `following.smooth` does; one object a stream, a new one for a new stream."""

    place: NDArray[np.float64] = field(default_factory=lambda: nowhere(1)[0])
    """(PARTS, 9), see `models.following`."""

    def __call__(self, boxes: Mapping[str, Box | None]) -> Boxes:
        rows = rows_of(boxes)
        smooth(rows, self.place)
        self.place[:, BEFORE:] = rows
        return boxes_of(rows)
