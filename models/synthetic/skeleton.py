"""Forward kinematics of the hand, two-bone inverse kinematics of the arm.

The hand's own frame has its origin at the wrist, x to the thumb's side, y towards the knuckles, z out of the palm, and
the hand's length (wrist to the tip of the middle finger) as its unit. Joints come in MediaPipe's order: wrist, then
four each of thumb, index, middle, ring and little finger. A left hand is a right hand with its x axis turned round.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.synthetic.pose import FOREARM_LENGTH, HAND_LENGTH, UPPER_ARM_LENGTH

FloatArray = NDArray[np.floating[Any]]

JOINTS = 21
PALM_CENTRE = np.array([0.0, 0.27, 0.0], np.float32)
# knuckles of index, middle, ring, little; then their phalanges, from the knuckle to the tip
KNUCKLES = np.array(
    [[0.118, 0.480, 0.0], [0.012, 0.500, -0.012], [-0.090, 0.478, -0.006], [-0.182, 0.430, 0.010]], np.float32
)
PHALANGES = np.array([[0.232, 0.138, 0.115], [0.248, 0.155, 0.120], [0.232, 0.145, 0.118], [0.182, 0.110, 0.105]])
PHALANGES = PHALANGES.astype(np.float32)
THUMB_ROOT = np.array([0.095, 0.085, 0.035], np.float32)
THUMB_BONES = np.array([0.235, 0.175, 0.145], np.float32)
_SIDES = np.array([1.0, 1.0, -1.0, -1.0], np.float32)  # which way abduction opens
_FAN = np.array([-0.05, 0.0, -0.05, -0.11], np.float32)  # closed fingers lean on each other
_CURL_LEAN = np.array([-0.06, 0.02, 0.10, 0.19], np.float32)  # curled fingers point to the root of the thumb
_THUMB_REST = -0.75  # in the palm plane, away from the knuckles' direction, at zero adduction


@njit(cache=True, nogil=True, fastmath=True)
def _flex(frame: FloatArray, angle: float) -> None:
    """Turn a frame (rows x, y, z) about its own x so that y goes towards z, in place."""
    c, s = math.cos(angle), math.sin(angle)
    for k in range(3):
        y, z = frame[1, k], frame[2, k]
        frame[1, k] = c * y + s * z
        frame[2, k] = c * z - s * y


@njit(cache=True, nogil=True, fastmath=True)
def _swing(frame: FloatArray, angle: float) -> None:
    """Turn a frame about its own z so that y goes towards x, in place."""
    c, s = math.cos(angle), math.sin(angle)
    for k in range(3):
        x, y = frame[0, k], frame[1, k]
        frame[1, k] = c * y + s * x
        frame[0, k] = c * x - s * y


@njit(cache=True, nogil=True, fastmath=True)
def _roll(frame: FloatArray, angle: float) -> None:
    """Turn a frame about its own y so that z goes towards x, in place."""
    c, s = math.cos(angle), math.sin(angle)
    for k in range(3):
        x, z = frame[0, k], frame[2, k]
        frame[2, k] = c * z + s * x
        frame[0, k] = c * x - s * z


@njit(cache=True, nogil=True, fastmath=True)
def _extend(points: FloatArray, pads: FloatArray, joint: int, frame: FloatArray, length: float) -> None:
    for k in range(3):
        points[joint + 1, k] = points[joint, k] + length * frame[1, k]
        pads[joint + 1, k] = frame[2, k]


@njit(cache=True, nogil=True, fastmath=True)
def local_hand(joints: FloatArray, points: FloatArray, pads: FloatArray) -> None:
    """Fill points (21, 3), the joints in the hand's frame, and pads (21, 3), where the bone that ends there faces."""
    frame = np.empty((3, 3), np.float32)
    points[0] = 0.0
    pads[:] = 0.0
    pads[:, 2] = 1.0
    frame[:] = 0.0
    for k in range(3):
        frame[k, k] = 1.0
    _swing(frame, -_THUMB_REST - joints[0, 1])
    _flex(frame, joints[0, 0])
    _roll(frame, -1.25 - 0.55 * joints[0, 0])
    points[1] = THUMB_ROOT
    for bone in range(3):
        if bone > 0:
            _flex(frame, joints[0, bone + 1])
        _extend(points, pads, 1 + bone, frame, THUMB_BONES[bone])
    for finger in range(4):
        frame[:] = 0.0
        for k in range(3):
            frame[k, k] = 1.0
        _swing(frame, _SIDES[finger] * (joints[finger + 1, 0] + _FAN[finger]))
        _roll(frame, _CURL_LEAN[finger])
        root = 5 + 4 * finger
        points[root] = KNUCKLES[finger]
        for bone in range(3):
            _flex(frame, joints[finger + 1, bone + 1])
            _extend(points, pads, root + bone, frame, PHALANGES[finger, bone])


@njit(cache=True, nogil=True, fastmath=True)
def hand_frame(palm: FloatArray, pointing: FloatArray, left: bool) -> FloatArray:
    """The hand's axes (3, 3), rows x (thumb's side), y, z, from directions that need not be exact unit vectors."""
    frame = np.empty((3, 3), np.float32)
    y_norm = math.sqrt(pointing[0] ** 2 + pointing[1] ** 2 + pointing[2] ** 2) + 1e-9
    along = 0.0
    for k in range(3):
        frame[1, k] = pointing[k] / y_norm
        along += frame[1, k] * palm[k]
    z_norm = 0.0
    for k in range(3):
        frame[2, k] = palm[k] - along * frame[1, k]
        z_norm += frame[2, k] ** 2
    z_norm = math.sqrt(z_norm) + 1e-9
    for k in range(3):
        frame[2, k] /= z_norm
    sign = -1.0 if left else 1.0
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        frame[0, k] = sign * (frame[1, a] * frame[2, b] - frame[1, b] * frame[2, a])
    return frame


@njit(cache=True, nogil=True, fastmath=True)
def place_hand(
    joints: FloatArray,
    position: FloatArray,
    frame: FloatArray,
    length: float,
    points: FloatArray,
    pads: FloatArray,
) -> None:
    """Fill points and pads (21, 3) of a hand whose palm centre is at position, in signing space."""
    local_hand(joints, points, pads)
    for j in range(JOINTS):
        px, py, pz = points[j, 0] - PALM_CENTRE[0], points[j, 1] - PALM_CENTRE[1], points[j, 2] - PALM_CENTRE[2]
        dx, dy, dz = pads[j, 0], pads[j, 1], pads[j, 2]
        for k in range(3):
            points[j, k] = position[k] + length * (px * frame[0, k] + py * frame[1, k] + pz * frame[2, k])
            pads[j, k] = dx * frame[0, k] + dy * frame[1, k] + dz * frame[2, k]


def hand_points(
    joints: FloatArray,
    position: FloatArray,
    palm: FloatArray,
    pointing: FloatArray,
    left: bool,
    length: float = HAND_LENGTH,
) -> FloatArray:
    """The 21 joints (21, 3) in signing space."""
    points, pads = np.empty((JOINTS, 3), np.float32), np.empty((JOINTS, 3), np.float32)
    place_hand(joints, position, hand_frame(palm, pointing, left), length, points, pads)
    return points


@njit(cache=True, nogil=True, fastmath=True)
def elbow_of(shoulder: FloatArray, wrist: FloatArray, left: bool, upper: float, fore: float) -> FloatArray:
    """The elbow (3,) of an arm from shoulder to wrist: it hangs down, a little outwards and back.

    Bones stretch together when the wrist is out of reach, so the hand is always where the motion says.
    """
    reach = np.empty(3, np.float32)
    distance = 0.0
    for k in range(3):
        reach[k] = wrist[k] - shoulder[k]
        distance += reach[k] ** 2
    distance = math.sqrt(distance) + 1e-6
    stretch = max(1.0, distance / (0.995 * (upper + fore)))
    upper, fore = upper * stretch, fore * stretch
    shortest = abs(upper - fore) * 1.02 + 0.08
    along = (upper**2 - fore**2 + max(distance, shortest) ** 2) / (2.0 * max(distance, shortest))
    height = math.sqrt(max(upper**2 - along**2, 0.0))
    pole = np.array([0.55 if left else -0.55, -1.0, -0.35], np.float32)
    dot = 0.0
    for k in range(3):
        reach[k] /= distance
        dot += pole[k] * reach[k]
    norm = 0.0
    for k in range(3):
        pole[k] -= dot * reach[k]
        norm += pole[k] ** 2
    norm = math.sqrt(norm) + 1e-6
    elbow = np.empty(3, np.float32)
    for k in range(3):
        elbow[k] = shoulder[k] + along * reach[k] + height * pole[k] / norm
    return elbow


def arm(shoulder: FloatArray, wrist: FloatArray, left: bool) -> FloatArray:
    """Shoulder, elbow and wrist (3, 3) of a standard arm."""
    return np.stack([shoulder, elbow_of(shoulder, wrist, left, UPPER_ARM_LENGTH, FOREARM_LENGTH), wrist])
