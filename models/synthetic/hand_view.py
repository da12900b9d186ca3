"""One hand close up, as the locator would cut it out: for training the hand encoder on poses with their truth."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.synthetic import raster
from models.synthetic.hand_solids import Skin, hand_rows, limb, placed
from models.synthetic.signer import Signer, paint_background

FloatArray = NDArray[np.floating[Any]]
_TO_PICTURE = np.array([1.0, -1.0, 1.0], np.float32)
_POOL = 48


class _Grounds:
    """A few painted backgrounds, made once: cutouts of them lie behind the hands."""

    pictures: list[FloatArray] = []

    @classmethod
    def cut(cls, rng: np.random.Generator, size: int) -> FloatArray:
        if not cls.pictures:
            cls.pictures = [paint_background(seed, 320, 240) for seed in range(_POOL)]
        picture = cls.pictures[int(rng.integers(_POOL))]
        y, x = int(rng.integers(240 - size)), int(rng.integers(320 - size))
        return picture[y : y + size, x : x + size].copy()


def render_hand(
    rng: np.random.Generator,
    joints: FloatArray,
    palm: FloatArray,
    pointing: FloatArray,
    left: bool = False,
    size: int = 64,
) -> NDArray[np.uint8]:
    """A hand crop (size, size, 3) uint8 RGB: joints (5, 4), directions in signing space; skin, light, place at random."""
    signer = Signer.draw(rng)
    points, pads = placed(joints, np.zeros(3, np.float32), palm, pointing, left, 1.0)
    points, pads = points * _TO_PICTURE, pads * _TO_PICTURE
    low, high = points.min(0), points.max(0)
    side = 1.25 * 1.25 * float(max(high[0] - low[0], high[1] - low[1])) * float(rng.uniform(0.85, 1.2))
    scale = 2 * size / side
    middle = (low + high) / 2 + np.array([*rng.normal(0, 0.05 * side, 2), 0.0])
    points = ((points - middle) * scale + np.array([size, size, 0.0])).astype(np.float32)
    picture = np.asarray(cv2.resize(_Grounds.cut(rng, 64), (2 * size, 2 * size)), np.float32)
    depth = np.full((2 * size, 2 * size), -1e6, np.float32)
    if rng.random() < 0.35:
        picture[:] = signer.shirt
    rows = hand_rows(points, pads, scale, Skin(signer.palm, signer.skin, signer.nail), signer.gloss, signer.thick)
    back = points[0] - (points[9] - points[0]) * 1.2 + rng.normal(0, 0.15 * scale, 3).astype(np.float32)
    arm = limb(
        points[0],
        back.astype(np.float32),
        (0.115 * scale, 0.13 * scale),
        signer.shirt if signer.long_sleeves else signer.skin,
    )
    raster.capsules(picture, depth, np.concatenate([arm[None], rows]), signer.light)
    small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small + rng.normal(0, signer.noise, (size, size, 1)), 0, 255), np.uint8)
