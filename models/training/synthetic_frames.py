"""Small frames of many synthetic signers with their true boxes, drawn once and kept as arrays."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.canvas import SMALL_HEIGHT, SMALL_WIDTH
from models.locate import PARTS
from models.synthetic import corpus
from models.synthetic.renderer import Renderer
from models.training.boxes import Pool, as_rows
from models.training.loop import RUNS

FOLDER = RUNS / "synthetic_frames"
DRAWN = (2 * SMALL_WIDTH, 2 * SMALL_HEIGHT)  # drawn at twice the size, then averaged
SIGNERS, SIGNERS_A_FILE, FRAMES_A_SIGNER = 4800, 100, 8


def draw_frames(seed: int, count: int = FRAMES_A_SIGNER) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Frames (count, 120, 160, 3) at random times of one clip, and their boxes (count, 4, 3)."""
    clip = corpus.clip(seed, hard=True)
    renderer = Renderer(clip.signer, DRAWN)
    steps = len(clip.script.routes)
    times = np.random.default_rng(seed).integers(steps // 12, steps - steps // 12, count)
    frames, boxes = [], []
    for t in times.tolist():
        frame = renderer.render(clip.script.motion, t)
        frames.append(cv2.resize(frame, (SMALL_WIDTH, SMALL_HEIGHT), interpolation=cv2.INTER_AREA))
        found = renderer.boxes(clip.script.motion, t)
        boxes.append(as_rows({part: box for part, box in found.items() if box is not None}))
    return np.stack(frames).astype(np.uint8), np.stack(boxes)


def draw_pool(signers: int, folder: Path = FOLDER) -> int:
    """Draws what is missing of `signers` signers' frames; returns how many files are new."""
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = 0
    for first in range(0, signers, SIGNERS_A_FILE):
        file = folder / f"frames{first:06d}.npz"
        if file.exists():
            continue
        pairs = [draw_frames(seed) for seed in range(first, first + SIGNERS_A_FILE)]
        partial = file.with_suffix(".part.npz")
        np.savez(partial, frames=np.concatenate([p[0] for p in pairs]), boxes=np.concatenate([p[1] for p in pairs]))
        partial.replace(file)
        fresh += 1
    return fresh


def synthetic_pool(folder: Path = FOLDER) -> Pool:
    """All that was drawn into `folder` so far; empty where nothing was."""
    files = sorted(folder.glob("frames??????.npz")) if folder.is_dir() else []
    boxes = [np.zeros((0, len(PARTS), 3), np.float32)]
    for file in files:
        with np.load(file) as kept:
            boxes.append(kept["boxes"])
    frames = np.empty((sum(map(len, boxes)), SMALL_HEIGHT, SMALL_WIDTH, 3), np.uint8)
    start = 0
    for file in files:
        with np.load(file) as kept:
            part = kept["frames"]
        frames[start : start + len(part)] = part
        start += len(part)
    return Pool(frames, np.concatenate(boxes), np.ones(len(PARTS), np.float32))
