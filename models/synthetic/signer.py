"""Who signs, in front of what, before which camera: drawn at random once for a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.synthetic.pose import ANATOMY

FloatArray = NDArray[np.floating[Any]]

# sRGB of skin over the human range, light to dark
_SKINS = np.array(
    [[246, 214, 196], [236, 192, 166], [224, 172, 138], [206, 150, 114], [176, 120, 84], [141, 92, 62], [104, 66, 46],
     [76, 50, 38]], np.float32,
)  # fmt: skip
_HAIR = np.array(
    [[28, 22, 20], [52, 34, 24], [88, 56, 34], [138, 96, 56], [196, 156, 100], [150, 60, 34], [150, 148, 146]],
    np.float32,
)
FACE_HEIGHT = 0.53
"""Side of the face's box in signing space."""
NOSE_HEIGHT = ANATOMY["nose"][1]
CLOSE = 0.27
"""A face larger than this share of the picture's height: a webcam's framing, see `Signer.draw`."""
PALM_ABOVE_EDGE = 0.17  # of a hand half a unit long most is seen then


@dataclass(frozen=True)
class Signer:
    """Appearance, place and camera of one clip; colours 0..255, lengths in signing space, angles in radians."""

    skin: FloatArray
    palm: FloatArray
    nail: FloatArray
    lips: FloatArray
    hair: FloatArray
    hair_style: int
    iris: FloatArray
    glasses: bool
    beard: float
    shirt: FloatArray
    stripes: FloatArray
    long_sleeves: bool
    build: float
    head: tuple[float, float]
    hand: float
    thick: float
    face_side: float
    centre: tuple[float, float]
    turn: tuple[float, float]
    light: FloatArray
    gloss: float
    background: int
    blur: float
    noise: float
    left_handed: bool
    around: FloatArray | None = None
    """A colour that much of what is behind the signer has, like the skin's; None where chance decides."""

    @property
    def lowest_palm(self) -> float:
        """How low, in signing space, a palm is still seen: people who see themselves close to the camera sign above it."""
        below = (1 - self.centre[1]) * FACE_HEIGHT / self.face_side
        return NOSE_HEIGHT - below + PALM_ABOVE_EDGE

    @staticmethod
    def draw(
        rng: np.random.Generator, *, close: float = 0.1, turned: float = 0.12, left: float = 0.12, alike: float = 0.0
    ) -> Signer:
        """A signer; `close` is the share of webcam framings, in which little more than head and hands is seen; `turned` the
        standard deviation of the body's turn to a side, in radians; `left` the share of the left-handed; `alike` the share
        of those whose hands stand out little, because clothes or surroundings have nearly the skin's colour."""
        tone = float(rng.uniform(0, len(_SKINS) - 1))
        low = int(tone)
        skin = _SKINS[low] + (tone - low) * (_SKINS[min(low + 1, len(_SKINS) - 1)] - _SKINS[low])
        skin = np.clip(skin * rng.normal(1, 0.03, 3), 20, 250).astype(np.float32)
        palm = skin + (np.array([242, 196, 172], np.float32) - skin) * float(rng.uniform(0.12, 0.4))
        face_side = float(rng.uniform(0.28, 0.42) if rng.random() < close else rng.uniform(0.155, 0.25))
        stripes = np.zeros(5, np.float32)
        if rng.random() < 0.25:
            stripes[:2] = rng.uniform(6, 30), rng.uniform(0.2, 0.6)
            stripes[2:] = rng.uniform(10, 245, 3)
        signer = Signer(
            skin=skin, palm=palm.astype(np.float32),
            nail=(skin * 0.6 + np.array([235, 180, 170], np.float32) * 0.4).astype(np.float32),
            lips=np.asarray(skin * rng.uniform(0.55, 0.75) + np.array([170, 50, 60]) * rng.uniform(0.2, 0.4), np.float32),
            hair=np.clip(_HAIR[rng.integers(len(_HAIR))] * rng.normal(1, 0.12), 8, 235).astype(np.float32),
            hair_style=int(rng.integers(5)), iris=rng.uniform(30, 110, 3).astype(np.float32),
            glasses=bool(rng.random() < 0.15), beard=float(rng.uniform(0.2, 0.6)) if rng.random() < 0.15 else 0.0,
            shirt=_shirt(rng), stripes=stripes, long_sleeves=bool(rng.random() < 0.5),
            build=float(rng.uniform(0.88, 1.18)), head=(float(rng.uniform(0.93, 1.08)), float(rng.uniform(0.94, 1.07))),
            hand=float(rng.uniform(0.46, 0.55)), thick=float(rng.uniform(0.88, 1.14)), face_side=face_side,
            centre=_centre(rng, face_side), turn=(float(rng.normal(0, turned)), float(rng.normal(0, 0.05))),
            light=_light(rng), gloss=float(rng.uniform(0, 0.12)), background=int(rng.integers(2**31)),
            blur=float(max(0.0, rng.normal(0.35, 0.35))), noise=float(abs(rng.normal(0, 3.0))),
            left_handed=bool(rng.random() < left),
        )  # fmt: skip
        return _hidden(signer, rng) if alike and rng.random() < alike else signer


def _hidden(signer: Signer, rng: np.random.Generator) -> Signer:
    """The signer before what has the colour of their skin, or in it, or both."""
    which = int(rng.integers(3))
    near = [
        np.clip(signer.skin * rng.normal(1, 0.15) * rng.normal(1, 0.05, 3), 8, 250).astype(np.float32) for _ in "12"
    ]
    return replace(signer, around=near[0] if which else None, shirt=near[1] if which != 1 else signer.shirt)


def _shirt(rng: np.random.Generator) -> FloatArray:
    if rng.random() < 0.4:
        return np.full(3, rng.uniform(15, 90), np.float32) * rng.normal(1, 0.05, 3).astype(np.float32)
    return rng.uniform(15, 240, 3).astype(np.float32)


def _centre(rng: np.random.Generator, face_side: float) -> tuple[float, float]:
    """Where the nose is, in shares of the picture: high and central when far, anywhere central when close."""
    if face_side > CLOSE:
        return float(rng.uniform(0.35, 0.72)), float(rng.uniform(0.4, 0.62))
    return float(rng.normal(0.5, 0.06)), float(rng.uniform(0.2, 0.38))


def _light(rng: np.random.Generator) -> FloatArray:
    """Direction (3), ambient, diffuse, colour (3), as `raster` wants it."""
    direction = np.array([rng.normal(0, 0.5), rng.normal(-0.5, 0.3), 1.0])
    direction /= np.linalg.norm(direction)
    diffuse = rng.uniform(0.35, 0.9)
    total = rng.uniform(0.85, 1.2)
    colour = np.clip(rng.normal(1, 0.05, 3), 0.85, 1.15)
    return np.array([*direction, total - 0.8 * diffuse, diffuse, *colour], np.float32)


def paint_background(seed: int, width: int, height: int, around: FloatArray | None = None) -> FloatArray:
    """A wall, a gradient, a plain studio colour or blurred shapes of a room: float32 (height, width, 3).

    With a colour `around`, the wall and half of the shapes have nearly that colour.
    """
    rng = np.random.default_rng(seed)
    kind = rng.random()
    base = rng.uniform(30, 235, 3)
    if kind < 0.25:
        base = np.array([[40, 130, 200], [60, 170, 90], [225, 225, 225], [40, 40, 44]])[rng.integers(4)]
    picture = np.ones((height, width, 3), np.float32) * np.asarray(base if around is None else around, np.float32)
    across, down = rng.normal(0, 18, 3), rng.normal(0, 18, 3)
    picture += np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * across.astype(np.float32)
    picture += np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * down.astype(np.float32)
    if kind > 0.45:
        for _ in range(int(rng.integers(3, 14))):
            x, y = int(rng.integers(-50, width)), int(rng.integers(-50, height))
            w, h = int(rng.integers(20, width // 2)), int(rng.integers(20, height // 2))
            colour = rng.uniform(10, 245, 3)
            if around is not None and rng.random() < 0.5:
                colour = around * rng.normal(1, 0.1, 3)
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour.tolist(), -1)
        if rng.random() < 0.5:
            for _ in range(int(rng.integers(1, 5))):
                middle = (int(rng.integers(width)), int(rng.integers(height)))
                cv2.circle(picture, middle, int(rng.integers(10, 90)), rng.uniform(10, 245, 3).tolist(), -1)
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(1, 9))).astype(np.float32)
    grain = rng.normal(0, 1, (height // 4 + 1, width // 4 + 1)).astype(np.float32)
    rough = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
    return np.asarray(np.clip(picture + rough * float(rng.uniform(0, 6)), 0, 255), np.float32)
