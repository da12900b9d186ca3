"""Eight-bit copies of the picture networks, for processors; their ranges come from what they were trained on. Beside them
the graphs of the networks over time, which have no weights (`models/graphs.py`)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models import crops
from models.canvas import SMALL_HEIGHT, SMALL_WIDTH, letterbox
from models.checkpoint import EIGHT_BITS, load
from models.eight_bits import Subject, quantised
from models.evaluation.networks import Networks
from models.features import HAND_SIZE, HandEncoder
from models.lips import MouthEncoder
from models.locate import BoxSmoother, Locator, PeakLocator
from models.training.boxes import grid_pool, how2sign_pool, webcam_pool
from models.training.grid import grid_clips, read_frames
from models.training.hand_pools import HandPools, Pictures
from models.training.seen_clips import CLIPS, kept, read
from models.training.synthetic_frames import synthetic_pool

PICTURES = 400  # of each kind
GRID_CLIPS = 12

Crops = NDArray[np.uint8]


def train(data: Path, out: Path, *, minutes: float, seed: int = 0) -> dict[str, float]:
    """Writes locate, hand_encoder and mouth_encoder with .int8.onnx beside the weights in `out`, and the graphs of those over
    time; takes a minute, whatever `minutes` says. Returns each file's size in MB."""
    del minutes
    torch.manual_seed(seed)
    networks: list[tuple[str, nn.Module, Crops]] = [
        ("locate", PeakLocator(load(Locator, out, "locate")), small_frames(data)),
        ("hand_encoder", load(HandEncoder, out, "hand_encoder"), hands(data)),
        ("mouth_encoder", load(MouthEncoder, out, "mouth_encoder"), mouths(data, out, seed)),
    ]
    sizes: dict[str, float] = {}
    for name, module, pictures in networks:
        with tempfile.TemporaryDirectory() as folder:
            made = quantised(Subject(name, module, pictures, Path(folder)))
            path = out / f"{name}{EIGHT_BITS}"
            shutil.copyfile(made, path)
        sizes[f"{name}_mb"] = path.stat().st_size / 1e6
    for path in Networks.load(out).write_graphs(out):
        sizes[f"{path.name.partition('.')[0]}_mb"] = path.stat().st_size / 1e6
    return sizes


def small_frames(data: Path) -> Crops:
    """Frames of real signing and of the drawn signer as the locator sees them (N, 120, 160, 3)."""
    pools = (how2sign_pool(data), webcam_pool(data), grid_pool(data), synthetic_pool())
    rng = np.random.default_rng(0)
    taken = [pool.frames[rng.choice(len(pool), min(PICTURES, len(pool)), replace=False)] for pool in pools if len(pool)]
    size = (SMALL_WIDTH, SMALL_HEIGHT)
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for part in taken for frame in part])


def hands(data: Path) -> Crops:
    """Crops of photographs, of real signing and of the drawn signer (N, 64, 64, 3), as they are, without changes."""
    pools = HandPools(data, CLIPS, torch.device("cpu"), most_drawn=4 * PICTURES)
    pools_of = [pool for pool in (pools.photographs, pools.signing, pools.drawn) if pool is not None]
    return np.concatenate([_crops(resized(pool, PICTURES)) for pool in pools_of if len(pool.pictures)])


def resized(pool: Pictures, count: int) -> Tensor:
    """`count` random pictures of a pool at the size of a crop, uint8 (N, 3, 64, 64)."""
    pictures = pool.pictures[pool.draw(count)].float()
    size = (HAND_SIZE, HAND_SIZE)
    small: Tensor = interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)
    return small.round().clamp(0, 255).byte()


def _crops(pictures: Tensor) -> Crops:
    crops: Crops = pictures.permute(0, 2, 3, 1).contiguous().numpy()
    return crops


def mouths(data: Path, out: Path, seed: int) -> Crops:
    """Crops of GRID's training clips and of the drawn signer (N, 40, 40), as the live path cuts them."""
    drawn = np.concatenate([clip.lips[clip.seen[:, 2]] for clip in map(read, kept(CLIPS)[:GRID_CLIPS])])
    locator = load(Locator, out, "locate")
    clips = grid_clips(data / "grid_lips", held_out=False)[:: max(1, PICTURES // GRID_CLIPS)][:GRID_CLIPS]
    real = np.stack([crop for clip in clips for crop in _cut(read_frames(clip.video), locator)])
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(part, min(PICTURES, len(part)), replace=False) for part in (drawn, real)])


def _cut(frames: NDArray[np.uint8], locator: Locator) -> Iterator[Crops]:
    smoother = BoxSmoother()
    canvases = [letterbox(frame)[0] for frame in frames]
    for canvas, found in zip(canvases, locator.find(canvases), strict=True):
        if box := smoother(found).get("mouth"):
            yield crops.mouth(canvas, box)
