"""A hand as tapered capsules: 21 placed joints to rows that `raster.capsules` paints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.synthetic.raster import CAPSULE
from models.synthetic.skeleton import JOINTS, hand_frame, place_hand

FloatArray = NDArray[np.floating[Any]]

# joint pairs, radii at both ends in hand lengths: palm, then fingers; the thumb's ball is the second row
_BONES = [
    (0, 5, 0.085, 0.072), (0, 1, 0.085, 0.088), (0, 9, 0.088, 0.072), (0, 13, 0.085, 0.070), (0, 17, 0.080, 0.066),
    (5, 9, 0.070, 0.070), (9, 13, 0.070, 0.068), (13, 17, 0.068, 0.064), (1, 5, 0.075, 0.060),
    (1, 2, 0.088, 0.070), (2, 3, 0.068, 0.060), (3, 4, 0.060, 0.048),
    (5, 6, 0.064, 0.056), (6, 7, 0.056, 0.051), (7, 8, 0.051, 0.042),
    (9, 10, 0.064, 0.057), (10, 11, 0.057, 0.052), (11, 12, 0.052, 0.043),
    (13, 14, 0.061, 0.054), (14, 15, 0.054, 0.049), (15, 16, 0.049, 0.041),
    (17, 18, 0.054, 0.047), (18, 19, 0.047, 0.043), (19, 20, 0.043, 0.036),
]  # fmt: skip
_ENDS = np.array([[bone[0], bone[1]] for bone in _BONES])
_RADII = np.array([[bone[2], bone[3]] for bone in _BONES], np.float32)
_TIPS = np.array([4, 8, 12, 16, 20])
_TIP_RADII = np.array([0.048, 0.042, 0.043, 0.041, 0.036], np.float32)
NAIL_SHARE = 0.62


@dataclass(frozen=True)
class Skin:
    """Colours 0..255: the palm's side, the back of the hand, nails."""

    palm: FloatArray
    back: FloatArray
    nail: FloatArray


def placed(
    joints: FloatArray, position: FloatArray, palm: FloatArray, pointing: FloatArray, left: bool, length: float
) -> tuple[FloatArray, FloatArray]:
    """Joints (21, 3) and where each bone's inner side faces (21, 3), in the space of `position`."""
    points, pads = np.empty((JOINTS, 3), np.float32), np.empty((JOINTS, 3), np.float32)
    frame = hand_frame(palm.astype(np.float32), pointing.astype(np.float32), left)
    place_hand(joints.astype(np.float32), position.astype(np.float32), frame, float(length), points, pads)
    return points, pads


def hand_rows(points: FloatArray, pads: FloatArray, size: float, skin: Skin, gloss: float, thick: float) -> FloatArray:
    """Capsules (29, CAPSULE) of a hand of `size` pixels length; `points` and `pads` are in picture axes."""
    rows = np.zeros((len(_BONES) + len(_TIPS), CAPSULE), np.float32)
    count = len(_BONES)
    rows[:count, 0:3], rows[:count, 4:7] = points[_ENDS[:, 0]], points[_ENDS[:, 1]]
    rows[:count, 3], rows[:count, 7] = _RADII[:, 0] * size * thick, _RADII[:, 1] * size * thick
    rows[:count, 14:17] = pads[_ENDS[:, 1]]
    rows[:9, 14:17] = pads[5]
    rows[:count, 8:11], rows[:count, 11:14], rows[:count, 17] = skin.palm, skin.back, gloss
    radius = _TIP_RADII * size * thick
    nails = points[_TIPS] - pads[_TIPS] * (radius * 0.62)[:, None]
    inward = (points[_TIPS - 1] - points[_TIPS]) / (0.115 * size)
    rows[count:, 0:3], rows[count:, 4:7] = (
        nails + inward * (radius * 0.9)[:, None],
        nails + inward * (radius * 0.2)[:, None],
    )
    rows[count:, 3], rows[count:, 7] = radius * NAIL_SHARE, radius * NAIL_SHARE
    rows[count:, 8:11], rows[count:, 11:14], rows[count:, 17] = skin.back * 0.98, skin.nail, 2.0 * gloss
    rows[count:, 14:17] = pads[_TIPS]
    return rows


def limb(start: FloatArray, end: FloatArray, radii: tuple[float, float], colour: FloatArray) -> FloatArray:
    """One capsule (CAPSULE,) of one colour: an arm, a neck, a sleeve."""
    row = np.zeros(CAPSULE, np.float32)
    row[0:3], row[3], row[4:7], row[7] = start, radii[0], end, radii[1]
    row[8:11], row[11:14], row[16] = colour, colour, 1.0
    return row
