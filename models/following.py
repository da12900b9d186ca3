"""Where the signer's parts are, from frame to frame, of many slots in one compiled call: which peaks count, smoothed places, and
what the geometry channels say of them.

Boxes are rows of (there 0 or 1, x, y, side) in the order of PARTS, centres as shares of the picture's width and
height, sides of its height; what is not there is all zero. A slot's memory, its `places` (PARTS, 9), has of each part its
smoothed box, the frames since it was last found, and its box of the frame before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.kept import kept_exactly

Floats = NDArray[np.float64]
Channels = NDArray[np.float32]
Limits = tuple[float, float, float]
"""Heat from which on a part is there; distance, in their sides, under which two hands may be one; the share of the stronger's
heat under which the weaker of the two is dropped."""

Box = tuple[float, float, float]
Boxes = dict[str, Box | None]

PARTS = ("right_hand", "left_hand", "face", "mouth")
RIGHT, LEFT, FACE, MOUTH = range(4)
THERE, X, Y, SIDE = range(4)
MISSED, BEFORE = 4, 5
PLACE = 9
KEPT_FRAMES = (3, 3, 12, 12)
"""Of a part: so many frames without it keep its last box."""
ASPECT = 4 / 3
RESTING = 0.45
"""Share of a new place that is taken over when the part stands still."""
QUICK = 0.12
"""Movement in sides a frame from which on the new place is taken as it is."""
SIDE_SHARE = 0.4
"""Of a new side; sides change slower than places."""
UNSEEN_FACE = (0.5, 0.35, 0.25)
"""Stands in for the face until one is found."""
MOUTH_BELOW_FACE = 0.22
"""In face sides, where the mouth itself is not found."""


def nowhere(slots: int) -> Floats:
    """What is remembered of slots that nothing was seen of: (slots, PARTS, 9)."""
    return np.zeros((slots, len(PARTS), PLACE))


def rows_of(boxes: Mapping[str, Box | None]) -> Floats:
    """Boxes by their parts' names as rows (PARTS, 4)."""
    found = (boxes.get(name) for name in PARTS)
    return np.array([(0, 0, 0, 0) if box is None else (1, *box) for box in found], np.float64)


def boxes_of(rows: Floats) -> Boxes:
    """The reverse of `rows_of`."""
    return {
        name: (x, y, side) if there else None for name, (there, x, y, side) in zip(PARTS, rows.tolist(), strict=True)
    }


@kept_exactly
def follow(
    peaks: Channels, limits: Limits, rows: NDArray[np.int64], places: Floats, boxes: Floats, channels: Channels
) -> None:
    """Peaks (N, steps, PARTS, 4: heat, x, y, side) of the slots `rows` (N,) -> smoothed `boxes` (N, steps, PARTS, 4) and geometry
    `channels` (N, steps, 24, zero before); `places` (slots, PARTS, 9) go on by so many steps."""
    for number in range(len(rows)):
        for step in range(peaks.shape[1]):
            now = boxes[number, step]
            now[:] = peaks[number, step]
            choose(now, limits)
            smooth(now, places[rows[number]])
            measure(now, places[rows[number], :, BEFORE:], channels[number, step])
            places[rows[number], :, BEFORE:] = now


@kept_exactly
def choose(parts: Floats, limits: Limits) -> None:
    """Peaks of one frame (PARTS, 4) become boxes: those hot enough, and of one hand found twice the better one."""
    threshold, distance, share = limits
    right, left = parts[RIGHT], parts[LEFT]
    right_heat, left_heat = right[THERE], left[THERE]
    for part in parts:
        if part[THERE] >= threshold and math.isfinite(part[X] + part[Y] + part[SIDE]):
            part[THERE] = 1
        else:
            part[:] = 0
    if right[THERE] and left[THERE]:
        apart = math.hypot((right[X] - left[X]) * ASPECT, right[Y] - left[Y])
        if apart < distance * max(right[SIDE], left[SIDE]):
            if left_heat < share * right_heat:
                left[:] = 0
            elif right_heat < share * left_heat:
                right[:] = 0


@kept_exactly
def smooth(parts: Floats, place: Floats) -> None:
    """Boxes of one frame (PARTS, 4), steadied causally: still parts are averaged, moving ones followed at once (Casiez et al.
    2012), short gaps filled with the last box."""
    for number in range(len(parts)):
        box, last = parts[number], place[number]
        if box[THERE]:
            last[MISSED] = 0
            if last[THERE]:
                _blend(last, box)
            else:
                last[:MISSED] = box
        else:
            last[MISSED] += 1
            if last[MISSED] > KEPT_FRAMES[number]:
                last[:MISSED] = 0
        box[:] = last[:MISSED]


@kept_exactly
def _blend(last: Floats, box: Floats) -> None:
    moved = math.hypot((box[X] - last[X]) * ASPECT, box[Y] - last[Y]) / max(box[SIDE], 1e-3)
    share = min(1.0, RESTING + (1 - RESTING) * moved / QUICK)
    size = max(SIDE_SHARE, min(1.0, moved - 0.5))
    last[X] += share * (box[X] - last[X])
    last[Y] += share * (box[Y] - last[Y])
    last[SIDE] += size * (box[SIDE] - last[SIDE])


@kept_exactly
def measure(parts: Floats, before: Floats, channels: Channels) -> None:
    """The channels (24,) of `models.crops.geometry`, of boxes and those of the step before (PARTS, 4)."""
    face, lips = parts[FACE], parts[MOUTH]
    face_x, face_y, side = UNSEEN_FACE
    if face[THERE]:
        face_x, face_y, side = face[X], face[Y], face[SIDE]
        channels[21], channels[23] = 1, side
    lips_x, lips_y = face_x, face_y + MOUTH_BELOW_FACE * side
    if lips[THERE]:
        lips_x, lips_y = lips[X], lips[Y]
        channels[22] = 1
    for hand in (RIGHT, LEFT):
        box, last = parts[hand], before[hand] if before[hand, THERE] else parts[hand]
        if not box[THERE]:
            continue
        own = channels[6 * hand : 6 * hand + 6]
        own[0], own[3] = 1, math.log(max(box[SIDE], 1e-3) / side)
        own[1], own[2] = (box[X] - face_x) * ASPECT / side, (box[Y] - face_y) / side
        own[4], own[5] = (box[X] - last[X]) * ASPECT / side, (box[Y] - last[Y]) / side
        _apart(box[X] - lips_x, box[Y] - lips_y, side, channels[15 + 3 * hand : 18 + 3 * hand])
    right, left = parts[RIGHT], parts[LEFT]
    if right[THERE] and left[THERE]:
        _apart(right[X] - left[X], right[Y] - left[Y], side, channels[12:15])


@kept_exactly
def _apart(x: float, y: float, side: float, into: Channels) -> None:
    """A distance in face sides, and its length."""
    across, down = x * ASPECT / side, y / side
    into[0], into[1], into[2] = across, down, math.hypot(across, down)
