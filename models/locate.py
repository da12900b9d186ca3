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

PARTS = ("right_hand", "left_hand", "face", "mouth")
STRIDE = 4
GRID_WIDTH, GRID_HEIGHT = SMALL_WIDTH // STRIDE, SMALL_HEIGHT // STRIDE
CHANNELS = 4  # a part: heat, x, y, log side

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float]
Boxes = dict[str, Box | None]


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
        boxes: Boxes = {}
        heats = {}
        for name, (heat, x, y, side) in zip(PARTS, parts, strict=True):
            is_there = heat >= self.config.threshold and math.isfinite(x + y + side)
            boxes[name] = (x, y, side) if is_there else None
            heats[name] = heat
        right, left = boxes["right_hand"], boxes["left_hand"]
        if right is not None and left is not None and self._same(right, left):
            weaker, stronger = sorted(("right_hand", "left_hand"), key=lambda name: heats[name])
            if heats[weaker] < self.config.twin_heat * heats[stronger]:
                boxes[weaker] = None
        return boxes

    def _same(self, one: Box, other: Box) -> bool:
        apart = math.hypot((one[0] - other[0]) * SMALL_WIDTH / SMALL_HEIGHT, one[1] - other[1])
        return apart < self.config.twin_distance * max(one[2], other[2])


class PeakLocator(nn.Module):
    """Small frames, uint8 RGB (N, 120, 160, 3) -> (N, 4 parts, 4), the `peaks` of the locator's maps."""

    def __init__(self, locator: Locator) -> None:
        super().__init__()
        self.locator = locator

    def forward(self, frames: Tensor) -> Tensor:
        return peaks(self.locator(frames))


def peaks(maps: Tensor) -> Tensor:
    """Maps (N, parts, 4, 30, 40) -> (N, parts, 4): heat 0..1, centre x / width, centre y / height, side / height."""
    flat = maps.flatten(3)
    heat, cell = flat[:, :, 0].max(-1)
    at = flat.gather(3, cell[:, :, None, None].expand(-1, -1, CHANNELS, 1))[..., 0]
    row, column = cell // GRID_WIDTH, cell % GRID_WIDTH
    x, y = (column + at[:, :, 1]) / GRID_WIDTH, (row + at[:, :, 2]) / GRID_HEIGHT
    return torch.stack([heat.sigmoid(), x, y, at[:, :, 3].clamp(-4.5, 0.5).exp()], -1)


def signer_visible(boxes: Mapping[str, Box | None]) -> bool:
    """Whether someone can be translated: a face, or a hand."""
    return any(boxes.get(name) is not None for name in ("face", "right_hand", "left_hand"))


KEPT_FRAMES = {"right_hand": 3, "left_hand": 3, "face": 12, "mouth": 12}


@dataclass
class BoxSmoother:
    """Steadies one signer's boxes, causally: still parts are averaged, moving ones followed at once (Casiez et al. 2012),
    short gaps filled with the last box. One object a stream; make a new one for a new stream."""

    resting: float = 0.45  # share of a new place that is taken over when the part stands still
    quick: float = 0.12  # movement in sides a frame from which on the new place is taken as it is
    side_share: float = 0.4  # of a new side; sides change slower than places
    last: dict[str, Box] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)

    def __call__(self, boxes: Mapping[str, Box | None]) -> Boxes:
        return {name: self._part(name, boxes.get(name)) for name in PARTS}

    def copy(self) -> "BoxSmoother":
        """One that goes on from here by itself."""
        return BoxSmoother(self.resting, self.quick, self.side_share, dict(self.last), dict(self.missed))

    def _part(self, name: str, box: Box | None) -> Box | None:
        before = self.last.get(name)
        if box is None:
            self.missed[name] = self.missed.get(name, 0) + 1
            if self.missed[name] > KEPT_FRAMES[name]:
                self.last.pop(name, None)
            return self.last.get(name)
        self.missed[name] = 0
        self.last[name] = box if before is None else self._blend(before, box)
        return self.last[name]

    def _blend(self, before: Box, box: Box) -> Box:
        moved = math.hypot((box[0] - before[0]) * SMALL_WIDTH / SMALL_HEIGHT, box[1] - before[1]) / max(box[2], 1e-3)
        share = min(1.0, self.resting + (1 - self.resting) * moved / self.quick)
        size = max(self.side_share, min(1.0, moved - 0.5))
        (x, y, side), (to_x, to_y, to_side) = before, box
        return x + share * (to_x - x), y + share * (to_y - y), side + size * (to_side - side)
