"""What a teacher saw in real hands: poses from the 21 landmarks that `teacher_labels.py` wrote with MediaPipe.

The teacher is needed for training alone. Its poses make real and drawn hands speak of the same things: where the palm
faces, where the fingers point, how every joint is bent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.loop import RUNS
from models.training.photographs import decoded
from models.training.seen_clips import POSE

TEACHER = RUNS / "teacher"
SIDE_PX = 112
CHAINS = ((0, 1, 2, 3, 4), (0, 5, 6, 7, 8), (0, 9, 10, 11, 12), (0, 13, 14, 15, 16), (0, 17, 18, 19, 20))
Floats = NDArray[np.float32]


def poses(world: Floats, right: NDArray[np.bool_]) -> Floats:
    """Landmarks (N, 21, 3) in metres (x right, y down, z away) of hands that look like `right` ones or not -> (N, 26):
    palm and pointing directions (x right, y up, z to the camera), then of every finger its spread and three bends."""
    points = world * np.array([1, -1, -1], np.float32)
    along, across = points[:, 9] - points[:, 0], np.cross(points[:, 5] - points[:, 0], points[:, 17] - points[:, 0])
    palm = _unit(across * np.where(right, 1, -1)[:, None])
    pointing = _unit(along)
    angles = []
    for chain in CHAINS:
        bones = [_unit(points[:, b] - points[:, a]) for a, b in zip(chain, chain[1:], strict=False)]
        flat = _unit(bones[1] - palm * (bones[1] * palm).sum(-1, keepdims=True))
        angles.append(_angle(flat, pointing))
        angles += [_angle(one, other) for one, other in zip(bones, bones[1:], strict=False)]
    found = np.concatenate([palm, pointing, np.stack(angles, -1)], -1).astype(np.float32)
    assert found.shape[1] == POSE, found.shape
    return found


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6), np.float32)


def _angle(one: Floats, other: Floats) -> Floats:
    return np.asarray(np.arccos(np.clip((one * other).sum(-1), -1, 1)), np.float32)


def of_photographs(paths: list[str], folder: Path = TEACHER) -> Floats:
    """Poses (N, 26) of photographs by their paths below the data folder; NaN where the teacher saw no hand."""
    found = np.full((len(paths), POSE), np.nan, np.float32)
    file = folder / "hands.npz"
    if not file.is_file():
        return found
    with np.load(file) as held:
        rows = {str(path): row for row, path in enumerate(held["path"])}
        known = held["found"]
        # MediaPipe names hands for mirrored pictures: its "Left" is a right hand in a picture as it is
        all_poses = poses(held["world"].astype(np.float32), held["right"] < 0.5)
    for number, path in enumerate(paths):
        row = rows.get(path)
        if row is not None and known[row]:
            found[number] = all_poses[row]
    return found


@dataclass(frozen=True)
class TaughtHands:
    """Hands of real signing: crops (N, 112, 112, 3) RGB of boxes enlarged by 1.6, left ones mirrored; poses (N, 26)."""

    crops: NDArray[np.uint8]
    poses: Floats


def of_signing(folder: Path = TEACHER) -> TaughtHands:
    """The hands of signing videos that the teacher saw; none where the labels are absent."""
    file = folder / "how2sign_hands.npz"
    if not file.is_file():
        return TaughtHands(np.zeros((0, SIDE_PX, SIDE_PX, 3), np.uint8), np.zeros((0, POSE), np.float32))
    with np.load(file) as held:
        ends = np.cumsum(held["length"])
        jpegs, left = np.split(held["jpeg"], ends[:-1]), held["side"] == 1
        found = poses(held["world"].astype(np.float32), held["right"] < 0.5)
    crops = np.stack([decoded(jpeg) for jpeg in jpegs])
    crops[left] = crops[left][:, :, ::-1]
    found[left] *= np.where(np.isin(np.arange(POSE), (0, 3)), -1, 1).astype(np.float32)
    return TaughtHands(crops, found)
