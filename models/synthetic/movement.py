"""One sign as arrays over its frames: handshapes, places and directions of both hands.

Directions are for the right hand, x to the signer's left, y up, z out. `u` runs from 0 to 1 over the sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.synthetic.handshapes import HANDSHAPES
from models.synthetic.lexicon import Sign
from models.synthetic.pose import ANATOMY, HAND_LENGTH
from models.synthetic.skeleton import hand_points

FloatArray = NDArray[np.floating[Any]]
MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)

DIRECTIONS = {
    "left": (1, 0, 0), "right": (-1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0), "out": (0, 0, 1), "in": (0, 0, -1),
}  # fmt: skip
LOCATIONS: dict[str, tuple[float, float, float]] = {
    "neutral": (-0.28, -0.42, 0.55), "center": (0.0, -0.42, 0.58), "high": (-0.32, 0.05, 0.5), "low": (-0.28, -0.8, 0.5),
    "side": (-0.65, -0.3, 0.4), "chest": (0.05, -0.3, 0.27), "belly": (0.0, -0.85, 0.3), "shoulder": (-0.36, 0.04, 0.2),
    "neck": (0.0, 0.2, 0.19), "chin": (0.0, 0.37, 0.26), "mouth": ANATOMY["mouth"], "nose": (0.0, 0.58, 0.36),
    "eye": (-0.1, 0.68, 0.28), "cheek": (-0.16, 0.53, 0.25), "ear": (-0.25, 0.61, 0.06), "temple": (-0.21, 0.77, 0.16),
    "forehead": (0.0, 0.82, 0.28), "forehead-side": (-0.13, 0.8, 0.26), "face": (0.0, 0.6, 0.4),
}  # fmt: skip
BASE_PLACE = (0.14, -0.5, 0.52)
_TIPS = np.array([8, 12, 16, 20])
DEFAULT_SIZE = 0.12


@dataclass
class Unit:
    """A sign's (or letter's) frames: joints (n, 2, 5, 4), position, palm, pointing (n, 2, 3); the left hand may be free."""

    joints: FloatArray
    position: FloatArray
    palm: FloatArray
    pointing: FloatArray
    two_handed: bool

    def __len__(self) -> int:
        return len(self.joints)


def direction(text: str) -> FloatArray:
    """ "left-up" -> unit vector; the first part weighs more."""
    total = np.zeros(3, np.float32)
    for weight, part in zip((1.0, 0.7, 0.5), text.split("-"), strict=False):
        total += weight * np.array(DIRECTIONS[part], np.float32)
    return total / np.float32(np.linalg.norm(total))


def ease(u: FloatArray) -> FloatArray:
    """Minimum-jerk progress 0..1 (Flash and Hogan 1985)."""
    u = np.clip(u, 0, 1)
    return np.asarray(u**3 * (10 - 15 * u + 6 * u**2), np.float32)


def unit_vectors(vectors: FloatArray) -> FloatArray:
    """Rows to length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6), np.float32)


def frames_of(sign: Sign, rng: np.random.Generator) -> int:
    """Frames of a sign at 25 Hz: about 320 to 560 ms, longer when it repeats."""
    long = any(
        word in sign.movement for word in ("circle", "shake", "tap", "twist", "wiggle", "bounce", "nod", "zigzag")
    )
    return int(rng.integers(8, 12)) + (3 if long else 0) + 2 * min(sign.repeat, 2)


def perform(sign: Sign, frames: int, wobble: FloatArray) -> Unit:
    """The sign over `frames`; `wobble` (3,) displaces it."""
    u = np.linspace(0, 1, frames, dtype=np.float32)
    base = _base(sign) if sign.hands == "base" else None
    palm, pointing = _turned(sign.palm, sign.palm_end, u, sign), _turned(sign.pointing, sign.pointing_end, u, sign)
    joints = _shapes(sign, u)
    start = _start(sign, joints[0], palm[0], pointing[0], base) + wobble
    path, palm, pointing, joints = _moved(sign, u, palm, pointing, joints)
    right = start + path
    both = np.stack([right, right * MIRROR], axis=1)
    palms, points = np.stack([palm, palm * MIRROR], axis=1), np.stack([pointing, pointing * MIRROR], axis=1)
    shapes = np.stack([joints, joints], axis=1)
    if sign.hands == "alternating":
        other, _, _, _ = _moved(sign, u, palm, pointing, joints, phase=0.5)
        both[:, 1] = (start + other) * MIRROR
    if base is not None:
        shapes[:, 1], both[:, 1] = HANDSHAPES[base[0]], base[3] + 0.5 * wobble
        palms[:, 1], points[:, 1] = base[1], base[2]
    return Unit(shapes.astype(np.float32), both.astype(np.float32), palms, points, sign.hands != "one")


def _base(sign: Sign) -> tuple[str, FloatArray, FloatArray, FloatArray]:
    """The still left hand: handshape, palm, pointing, place."""
    parts = sign.base.split()
    place = LOCATIONS[parts[3]] if len(parts) > 3 else BASE_PLACE
    spot = np.array(place, np.float32)
    if len(parts) > 3:
        spot = spot * MIRROR if place[0] < 0 else spot
    return parts[0], direction(parts[1]), direction(parts[2]), spot


def _start(
    sign: Sign, joints: FloatArray, palm: FloatArray, pointing: FloatArray,
    base: tuple[str, FloatArray, FloatArray, FloatArray] | None,
) -> FloatArray:  # fmt: skip
    """Palm centre that brings the contact point to the location."""
    place = np.array(LOCATIONS.get(sign.location, (0.0, 0.0, 0.0)), np.float32)
    if sign.location.startswith("other-"):
        place = _on_base(
            sign.location, base or ("", direction("up"), direction("right"), np.array(BASE_PLACE, np.float32))
        )
    elif sign.hands in ("same", "alternating") and place[0] == 0 and sign.contact == "centre":
        place = place + np.array([-0.14, 0, 0], np.float32)
    return place + np.array(sign.offset, np.float32) - _contact(sign.contact, joints, palm, pointing)


def _on_base(location: str, base: tuple[str, FloatArray, FloatArray, FloatArray]) -> FloatArray:
    _, palm, pointing, centre = base
    thumb = np.cross(palm, pointing)
    away = {
        "other-hand": palm * 0.07, "other-back": palm * -0.07, "other-tips": pointing * 0.26, "other-side": thumb * 0.12,
        "other-edge": thumb * -0.12, "other-wrist": pointing * -0.17, "other-arm": pointing * -0.36,
    }[location]  # fmt: skip
    return np.asarray(centre + away, np.float32)


def _contact(part: str, joints: FloatArray, palm: FloatArray, pointing: FloatArray) -> FloatArray:
    """From the palm's centre to the part of the hand that touches."""
    points = hand_points(joints, np.zeros(3, np.float32), palm, pointing, False)
    if part == "tip":
        return np.asarray(points[_TIPS[int(np.argmax(points[_TIPS] @ pointing))]])
    joint = {"thumb": 4, "side": 6, "edge": 18, "knuckles": 9}.get(part)
    if joint is not None:
        return np.asarray(points[joint])
    return np.asarray({"palm": palm * 0.05, "back": palm * -0.05}.get(part, palm * 0.0), np.float32)


def _shapes(sign: Sign, u: FloatArray) -> FloatArray:
    first = HANDSHAPES[sign.handshape]
    if not sign.handshape_end:
        return np.repeat(first[None], len(u), axis=0)
    share = _change(sign, u)[:, None, None]
    return np.asarray(first * (1 - share) + HANDSHAPES[sign.handshape_end] * share, np.float32)


def _turned(first: str, last: str, u: FloatArray, sign: Sign) -> FloatArray:
    begin = direction(first)
    if not last:
        return np.repeat(begin[None], len(u), axis=0)
    share = _change(sign, u)[:, None]
    return unit_vectors(begin * (1 - share) + (direction(last) + 1e-3) * share)


def _change(sign: Sign, u: FloatArray) -> FloatArray:
    """Progress of a change of handshape or direction: once, or again and again."""
    if sign.repeat:
        return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * sign.repeat * u), np.float32)
    return ease((u - 0.2) / 0.6)


def _moved(
    sign: Sign, u: FloatArray, palm: FloatArray, pointing: FloatArray, joints: FloatArray, phase: float = 0.0
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Displacement (n, 3) and what the movement does to directions and fingers."""
    path = np.zeros((len(u), 3), np.float32)
    joints = joints.copy()
    away = np.array([0.0, 0.05, 0.13], np.float32) if "other" not in sign.location else -palm[0] * 0.13
    for part in sign.movement.split("+"):
        words = part.split()
        kind = words[0]
        if kind == "twist":
            angle = (0.7 * np.sin(4 * np.pi * u))[:, None]
            palm = unit_vectors(palm * np.cos(angle) + np.cross(pointing, palm) * np.sin(angle))
        elif kind == "nod":
            angle = (0.45 * np.sin(4 * np.pi * u))[:, None]
            pointing, palm = unit_vectors(pointing + palm * angle), unit_vectors(palm - pointing * angle)
        elif kind == "wiggle":
            for finger in range(1, 5):
                joints[:, finger, 1] += 0.3 + 0.35 * np.sin(6 * np.pi * u + 1.4 * finger)
        else:
            path += _displacement(words, u, sign.repeat, away, phase)
    return path, palm, pointing, joints


def _displacement(words: list[str], u: FloatArray, repeat: int, away: FloatArray, phase: float) -> FloatArray:
    kind, sizes = words[0], [float(word) for word in words if word.replace(".", "").isdigit()]
    size = sizes[-1] if sizes else DEFAULT_SIZE
    ways = [direction(word) for word in words[1:] if word.split("-")[0] in DIRECTIONS]
    way = ways[0] if ways else away / np.float32(np.linalg.norm(away))
    times = repeat + 1
    again = ease(0.5 - 0.5 * np.cos(2 * np.pi * times * u)) if repeat else ease(u)
    wave = np.sin(2 * np.pi * (2 * u + phase))[:, None]
    if kind == "contact":
        return np.asarray(away * (1 - ease(u / 0.6))[:, None], np.float32)
    if kind == "tap":
        lift = np.abs(np.cos(np.pi * 2 * u))[:, None] * (way * 0.1 if ways else away * 0.8)
        return np.asarray(lift, np.float32)
    if kind == "straight":
        return np.asarray(way * size * again[:, None], np.float32)
    if kind == "from":
        return np.asarray(way * size * (1 - again)[:, None], np.float32)
    if kind == "arc":
        bulge = ways[1] if len(ways) > 1 else direction("up")
        return np.asarray(
            way * size * again[:, None] + bulge * (0.4 * size * np.sin(np.pi * again))[:, None], np.float32
        )
    if kind == "bounce":
        return np.asarray(
            way * size * ease(u)[:, None] + np.abs(np.sin(2 * np.pi * u))[:, None] * [0, 0.1, 0], np.float32
        )
    if kind == "brush":
        stroke = ease((u * 2) % 1.0)[:, None] - 0.5
        return np.asarray(way * size * stroke + away * 0.5 * (np.abs(u * 2 - 1) < 0.2)[:, None] * 0, np.float32)
    if kind == "shake":
        return np.asarray(way * 0.5 * size * wave, np.float32)
    if kind == "zigzag":
        return np.asarray(way * size * u[:, None] + np.sin(4 * np.pi * u)[:, None] * [0.12, 0, 0], np.float32)
    if kind == "circle":
        plane = {"frontal": (0, 1), "horizontal": (0, 2), "sagittal": (1, 2)}[words[1]]
        angle = 2 * np.pi * ((max(times, 2) - 0.3) * u * (-1 if "reverse" in words else 1) + phase)
        path = np.zeros((len(u), 3), np.float32)
        path[:, plane[0]], path[:, plane[1]] = size * np.cos(angle), size * np.sin(angle)
        return path
    return np.zeros((len(u), 3), np.float32)


def reach(position: FloatArray) -> FloatArray:
    """Keeps hands (n, 2, 3) in front of the body and within an arm's length of their shoulders."""
    shoulders = np.array([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]], np.float32)
    arm = position - shoulders
    length = np.linalg.norm(arm, axis=-1, keepdims=True)
    kept = shoulders + arm * np.minimum(1.0, 1.42 / np.maximum(length, 1e-6))
    kept[..., 2] = np.maximum(kept[..., 2], 0.12)
    return np.asarray(kept, np.float32)


assert HAND_LENGTH > 0.3, "contacts above are measured for hands of half a shoulder width"
