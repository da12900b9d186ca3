"""Draws a signer's motion, frame by frame, and says where the face, the mouth and the hands are."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.synthetic import raster
from models.synthetic.hand_solids import Skin, hand_rows, limb, placed
from models.synthetic.pose import ANATOMY, FOREARM_LENGTH, UPPER_ARM_LENGTH, Motion
from models.synthetic.signer import FACE_HEIGHT, Signer, paint_background
from models.synthetic.skeleton import elbow_of

FloatArray = NDArray[np.floating[Any]]
Box = tuple[float, float, float]

HAND_BOX = 1.25
NOSE = np.array(ANATOMY["nose"], np.float32)
HEAD_PIVOT = np.array([0.0, 0.35, -0.02], np.float32)
_BEHIND = -1e6


class Renderer:
    """Draws one signer; keeps the background and its buffers between frames."""

    def __init__(self, signer: Signer, size: tuple[int, int] = (640, 480)) -> None:
        self.signer = signer
        self.width, self.height = size
        self.scale = signer.face_side * self.height / FACE_HEIGHT
        self._background = paint_background(signer.background, *size, signer.around)
        self._picture = np.empty((self.height, self.width, 3), np.float32)
        self._blurred = np.empty_like(self._picture)
        self._depth = np.empty((self.height, self.width), np.float32)
        noise = np.random.default_rng(signer.background).standard_normal(
            (self.height + 64, self.width + 64), np.float32
        )
        self._noise = noise
        yaw, pitch = signer.turn
        turn_y = [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
        turn_x = [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]]
        self._view = (np.array(turn_x) @ np.array(turn_y)).astype(np.float32)
        self._skin = Skin(signer.palm, signer.skin, signer.nail)
        self._picture[:] = self._background
        self._depth[:] = _BEHIND
        self._body()
        self._still = self._picture.copy(), self._depth.copy()

    def project(self, points: FloatArray) -> FloatArray:
        """Signing space (..., 3) to pixels, z towards the camera; a weak perspective."""
        turned = (points - NOSE) @ self._view.T
        nearer = 1.0 + 0.06 * turned[..., 2:3]
        x = turned[..., 0:1] * self.scale * nearer + self.signer.centre[0] * self.width
        y = -turned[..., 1:2] * self.scale * nearer + self.signer.centre[1] * self.height
        out: FloatArray = np.concatenate([x, y, turned[..., 2:3] * self.scale], axis=-1).astype(np.float32)
        return out

    def turned(self, directions: FloatArray) -> FloatArray:
        """Directions (..., 3) of signing space as the camera sees them: x right, y up, z towards it."""
        out: FloatArray = directions @ self._view.T
        return out

    def render(self, motion: Motion, t: int) -> NDArray[np.uint8]:
        """One frame, uint8 RGB (height, width, 3)."""
        self._picture[:], self._depth[:] = self._still
        self._head(motion, t)
        for side in (0, 1):
            self._arm(motion, t, side)
        picture = self._picture
        if self.signer.blur > 0.3:
            cv2.GaussianBlur(picture, (0, 0), self.signer.blur, dst=self._blurred)
            picture = self._blurred
        out = np.empty((self.height, self.width, 3), np.uint8)
        raster.finish(picture, self._noise, (t * 37) % 64, (t * 23) % 64, self.signer.noise, out)
        return out

    def boxes(self, motion: Motion, t: int) -> dict[str, Box | None]:
        """Boxes as in boxes.jsonl: (centre x / width, centre y / height, side / height); None when out of the picture."""
        found: dict[str, Box | None] = {}
        for side, name in enumerate(("right_hand", "left_hand")):
            points = self.project(self._hand(motion, t, side)[0])
            low, high = points[:, :2].min(0), points[:, :2].max(0)
            found[name] = self._box((low + high) / 2, HAND_BOX * float((high - low).max()))
        across, up = self.signer.head
        face = self._on_head(motion, t, np.array([[0.0, 0.61 * 1.0, 0.2]], np.float32))[0]
        found["face"] = self._box(face[:2], FACE_HEIGHT * self.scale * (across + up) / 2)
        mouth = self._on_head(motion, t, np.array([ANATOMY["mouth"]], np.float32))[0]
        spread = 1.0 + 0.12 * float(motion.mouth[t, 1])
        found["mouth"] = self._box(mouth[:2], 0.38 * FACE_HEIGHT * self.scale * spread)
        return found

    def _box(self, centre: FloatArray, side: float) -> Box | None:
        x, y = float(centre[0]) / self.width, float(centre[1]) / self.height
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            return None
        return x, y, side / self.height

    def _hand(self, motion: Motion, t: int, side: int) -> tuple[FloatArray, FloatArray]:
        return placed(motion.joints[t, side], motion.position[t, side], motion.palm[t, side],
                      motion.pointing[t, side], side == 1, self.signer.hand)  # fmt: skip

    def _body(self) -> None:
        s, build = self.signer, self.signer.build
        neck = self.project(np.array([[0, 0.42, 0.0], [0, -0.02, -0.02]], np.float32))
        pixels = self.scale
        self._capsules([limb(neck[0], neck[1], (0.135 * pixels, 0.15 * pixels), s.skin * 0.93)])
        for place, radii in (
            ((0.0, -0.62, -0.08), (0.5 * build, 0.72, 0.25)),
            ((0.0, -1.25, -0.05), (0.46 * build, 0.75, 0.27)),
            ((0.0, -1.9, -0.05), (0.52 * build, 0.7, 0.3)),
        ):
            centre = self.project(np.array([place], np.float32))[0]
            self._ellipsoid(centre, radii, 0.0, s.shirt, s.stripes, 0.0)
        for side in (-1.0, 1.0):
            slope = self.project(np.array([[side * 0.16, 0.08, -0.06], [side * 0.5, -0.05, -0.04]], np.float32))
            self._capsules([limb(slope[0], slope[1], (0.1 * pixels, 0.165 * pixels), s.shirt)])

    def _arm(self, motion: Motion, t: int, side: int) -> None:
        s, left = self.signer, side == 1
        points, pads = self._hand(motion, t, side)
        shoulder = np.array([0.5 if left else -0.5, -0.05, -0.02], np.float32)
        elbow = elbow_of(shoulder, points[0], left, UPPER_ARM_LENGTH, FOREARM_LENGTH)
        joints = self.project(np.stack([shoulder, elbow, points[0], 0.35 * shoulder + 0.65 * elbow]))
        pixels, sleeve = self.scale, s.shirt
        rows = [limb(joints[0], joints[3], (0.155 * pixels, 0.13 * pixels), sleeve)]
        if s.long_sleeves:
            rows.append(limb(joints[3], joints[1], (0.13 * pixels, 0.115 * pixels), sleeve))
            cuff = 0.12 * joints[1] + 0.88 * joints[2]
            rows.append(limb(joints[1], cuff, (0.115 * pixels, 0.085 * pixels), sleeve * 0.97))
            rows.append(limb(cuff, joints[2], (0.062 * pixels, 0.058 * pixels), s.skin))
        else:
            rows.append(limb(joints[3], joints[1], (0.105 * pixels, 0.095 * pixels), s.skin))
            rows.append(limb(joints[1], joints[2], (0.095 * pixels, 0.058 * pixels), s.skin))
        self._capsules(rows)
        inside = pads @ self._view.T
        inside[:, 1] *= -1.0
        projected = self.project(points)
        hand = hand_rows(projected, inside, s.hand * self.scale, self._skin, s.gloss, s.thick)
        raster.capsules(self._picture, self._depth, hand, s.light)

    def _on_head(self, motion: Motion, t: int, points: FloatArray) -> FloatArray:
        """Places of the head (N, 3), turned as the head is, in pixels."""
        yaw, pitch, roll = (float(a) for a in motion.head[t])
        scaled = points * np.array([self.signer.head[0], 1.0, 1.0], np.float32)
        scaled[:, 1] = HEAD_PIVOT[1] + (scaled[:, 1] - HEAD_PIVOT[1]) * self.signer.head[1]
        x, y, z = (scaled - HEAD_PIVOT).T
        x, z = x * math.cos(yaw) + z * math.sin(yaw), z * math.cos(yaw) - x * math.sin(yaw)
        y, z = y * math.cos(pitch) - z * math.sin(pitch), z * math.cos(pitch) + y * math.sin(pitch)
        x, y = x * math.cos(roll) + y * math.sin(roll), y * math.cos(roll) - x * math.sin(roll)
        return self.project(np.stack([x, y, z], axis=1).astype(np.float32) + HEAD_PIVOT)

    def _head(self, motion: Motion, t: int) -> None:
        s = self.signer
        places = self._on_head(motion, t, _HEAD_PLACES)
        roll = float(motion.head[t, 2])
        plain = np.zeros(5, np.float32)
        self._hair(places, roll, behind=True)
        self._ellipsoid(places[0], (0.245, 0.33, 0.25), roll, s.skin, plain, s.gloss)
        self._ellipsoid(places[1], (0.185, 0.2, 0.2), roll, s.skin, plain, s.gloss)
        for ear in (2, 3):
            self._ellipsoid(places[ear], (0.045, 0.085, 0.04), roll, s.skin * 0.94, plain, 0.0)
        if s.beard:
            self._flat(
                places[1] + np.array([0, 0.06 * self.scale, 0], np.float32), (0.17, 0.13, 0), roll, s.hair, s.beard
            )
        self._hair(places, roll, behind=False)
        self._eyes(places, motion, t, roll)
        self._mouth(places[8], motion, t, roll)

    def _hair(self, places: FloatArray, roll: float, *, behind: bool) -> None:
        s, plain = self.signer, np.zeros(5, np.float32)
        if behind:
            if s.hair_style in (1, 2):
                drop = 0.25 if s.hair_style == 1 else 0.55
                low = places[0] + np.array([0, drop * 0.6 * self.scale, -0.25 * self.scale], np.float32)
                self._ellipsoid(low, (0.33, 0.32 + drop * 0.6, 0.1), roll, s.hair, plain, 0.05)
            return
        if s.hair_style == 4:
            return
        top = places[9] + np.array([0, 0, 0.0], np.float32)
        self._ellipsoid(top, (0.268, 0.235, 0.232), roll, s.hair, plain, 0.08)

    def _eyes(self, places: FloatArray, motion: Motion, t: int, roll: float) -> None:
        s, lid, brow = self.signer, 1.0 - float(motion.blink[t]), float(motion.brows[t])
        for eye, arch in ((4, 6), (5, 7)):
            self._flat(places[eye], (0.052, 0.026 * max(lid, 0.12), 0), roll, s.skin * 0.55, 0.8)
            if lid > 0.3:
                white = np.array([236, 232, 226], np.float32) * float(np.clip(s.skin.mean() / 200 + 0.25, 0.75, 1.0))
                self._flat(places[eye], (0.046, 0.02 * lid, 0), roll, white, 1.0)
                self._flat(places[eye], (0.02, 0.02 * lid, 0), roll, s.iris * 0.7, 1.0)
            lift = np.array([0, -0.045 * brow * self.scale, 0], np.float32)
            self._flat(places[arch] + lift, (0.068, 0.016, 0.02 * self.scale), roll, s.hair * 0.8, 0.85)
            if s.glasses:
                for radius in (0.078, 0.07):
                    self._flat(places[eye], (radius, radius * 0.8, 0), roll, np.full(3, 30, np.float32), 0.25)
        nose = places[10]
        self._ellipsoid(nose, (0.04, 0.07, 0.05), roll, s.skin, np.zeros(5, np.float32), s.gloss)
        self._flat(nose + np.array([0, 0.062 * self.scale, 0], np.float32), (0.042, 0.012, 0), roll, s.skin * 0.6, 0.6)

    def _mouth(self, place: FloatArray, motion: Motion, t: int, roll: float) -> None:
        s = self.signer
        wide, spread, pressed, teeth = (float(v) for v in motion.mouth[t])
        half = 0.098 + 0.03 * spread - 0.012 * pressed
        gap = 0.075 * wide
        lip = 0.026 * (1 - 0.6 * pressed) * (1.0 + 0.35 * max(0.0, -spread))
        self._flat(place, (half, lip + gap, -0.008 * self.scale * max(0.0, spread)), roll, s.lips, 1.0)
        if gap > 0.004:
            inner = half - 0.6 * lip
            self._flat(
                place,
                (inner, gap, -0.006 * self.scale * max(0.0, spread)),
                roll,
                np.array([48, 18, 20], np.float32),
                1.0,
            )
            if teeth > 0.1:
                up = np.array([0, -0.45 * gap * self.scale, 0], np.float32)
                self._flat(place + up, (inner * 0.8, gap * 0.4, 0), roll, np.array([226, 222, 212], np.float32), teeth)
            if teeth < 0.6 and wide > 0.5:
                down = np.array([0, 0.5 * gap * self.scale, 0], np.float32)
                self._flat(place + down, (inner * 0.6, gap * 0.4, 0), roll, np.array([176, 86, 86], np.float32), 0.8)
        else:
            self._flat(
                place, (half, 0.006, -0.008 * self.scale * spread), roll, s.lips * 0.5, 0.8 * (1 - 0.4 * pressed)
            )

    def _capsules(self, rows: list[FloatArray]) -> None:
        raster.capsules(self._picture, self._depth, np.stack(rows), self.signer.light)

    def _ellipsoid(
        self, centre: FloatArray, radii: tuple[float, float, float], roll: float, colour: FloatArray,
        stripes: FloatArray, gloss: float,
    ) -> None:  # fmt: skip
        size = np.array(radii, np.float32) * np.float32(self.scale)
        raster.ellipsoid(self._picture, self._depth, centre, size, float(roll), colour.astype(np.float32), stripes,
                         self.signer.light, float(gloss))  # fmt: skip

    def _flat(
        self, centre: FloatArray, radii: tuple[float, float, float], roll: float, colour: FloatArray, strength: float
    ) -> None:
        """A flat ellipse on the face; radii[2] (its bend) is in pixels already."""
        size = np.array([radii[0] * self.scale, radii[1] * self.scale, radii[2]], np.float32)
        raster.flat_ellipse(self._picture, self._depth, centre, size, float(roll), colour.astype(np.float32),
                            0.13 * self.scale, float(strength))  # fmt: skip


_HEAD_PLACES = np.array(
    [
        (0.0, 0.68, 0.0),  # 0 skull
        (0.0, 0.53, 0.03),  # 1 jaw
        (-0.245, 0.62, -0.02),  # 2 right ear
        (0.245, 0.62, -0.02),  # 3 left ear
        (-0.092, 0.68, 0.2),  # 4 right eye
        (0.092, 0.68, 0.2),  # 5 left eye
        (-0.094, 0.755, 0.2),  # 6 right brow
        (0.094, 0.755, 0.2),  # 7 left brow
        (0.0, 0.47, 0.22),  # 8 mouth
        (0.0, 0.84, -0.03),  # 9 hair on top
        (0.0, 0.585, 0.24),  # 10 nose
    ],
    np.float32,
)
