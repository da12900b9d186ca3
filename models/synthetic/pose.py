"""Motion: what the synthetic signer's body does, frame by frame, in signing space.

Signing space has its origin midway between the shoulder joints, x to the signer's left (the picture's right), y up,
z towards the camera; its unit is the distance between the shoulder joints. Index 0 is the right hand, 1 the left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

RIGHT, LEFT = 0, 1
FINGERS = ("thumb", "index", "middle", "ring", "little")
HAND_LENGTH = 0.5  # wrist to the tip of the middle finger
UPPER_ARM_LENGTH, FOREARM_LENGTH = 0.78, 0.70

ANATOMY: dict[str, tuple[float, float, float]] = {
    "right_shoulder": (-0.5, 0.0, 0.0),
    "left_shoulder": (0.5, 0.0, 0.0),
    "neck": (0.0, 0.05, 0.0),
    "chin": (0.0, 0.36, 0.22),
    "mouth": (0.0, 0.47, 0.27),
    "nose": (0.0, 0.58, 0.32),
    "right_eye": (-0.09, 0.68, 0.24),
    "left_eye": (0.09, 0.68, 0.24),
    "forehead": (0.0, 0.82, 0.25),
    "right_ear": (-0.22, 0.62, 0.0),
    "left_ear": (0.22, 0.62, 0.0),
    "crown": (0.0, 1.0, 0.0),
    "chest": (0.0, -0.30, 0.25),
    "belly": (0.0, -0.85, 0.28),
    "hips": (0.0, -1.45, 0.0),
    "right_rest": (-0.45, -1.35, 0.25),
    "left_rest": (0.45, -1.35, 0.25),
}

_TAILS: dict[str, tuple[int, ...]] = {
    "joints": (2, 5, 4),
    "position": (2, 3),
    "palm": (2, 3),
    "pointing": (2, 3),
    "mouth": (4,),
    "head": (3,),
    "brows": (),
    "blink": (),
}
_MIRROR_X = np.array([-1.0, 1.0, 1.0], np.float32)
_MIRROR_HEAD = np.array([-1.0, 1.0, -1.0], np.float32)  # yaw and roll change sides, pitch does not


@dataclass
class Motion:
    """Arrays over T frames, float32.

    joints   (T, 2, 5, 4) radians; fingers in the order of FINGERS. A finger: [abduction away from the middle finger,
             MCP flexion, PIP flexion, DIP flexion]. The thumb: [abduction out of the palm plane, adduction across the
             palm, MCP flexion, IP flexion].
    position (T, 2, 3) palm centres; palm (T, 2, 3) unit normals out of the palm; pointing (T, 2, 3) unit wrist ->
             knuckles.
    mouth    (T, 4) open 0..1, round -1 .. spread +1, pressed 0..1, teeth/tongue 0..1.
    head     (T, 3) yaw (+ towards the signer's left), pitch (+ nods down), roll (+ tilts to the signer's left), radians.
    brows    (T,) lowered -1 .. raised +1; blink (T,) open 0 .. shut 1.
    """

    joints: FloatArray
    position: FloatArray
    palm: FloatArray
    pointing: FloatArray
    mouth: FloatArray
    head: FloatArray
    brows: FloatArray
    blink: FloatArray

    def __post_init__(self) -> None:
        frames = len(self.joints)
        for name, tail in _TAILS.items():
            value = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if value.shape != (frames, *tail):
                raise ValueError(
                    f"Motion.{name} must have the shape {(frames, *tail)}, got {value.shape}: "
                    "give every array as many frames as joints has"
                )
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self.joints)

    def mirrored(self) -> Motion:
        """The same motion made by a left-handed signer: hands change sides and x is negated."""
        return Motion(
            joints=self.joints[:, ::-1],
            position=self.position[:, ::-1] * _MIRROR_X,
            palm=self.palm[:, ::-1] * _MIRROR_X,
            pointing=self.pointing[:, ::-1] * _MIRROR_X,
            mouth=self.mouth.copy(),
            head=self.head * _MIRROR_HEAD,
            brows=self.brows.copy(),
            blink=self.blink.copy(),
        )

    def at(self, t: int) -> Motion:
        """The single frame t as a Motion of length 1 (negative t counts from the end)."""
        if not -len(self) <= t < len(self):
            raise ValueError(f"frame {t} is outside this motion of {len(self)} frames: use 0 to {len(self) - 1}")
        index = t % len(self)
        return Motion(**{field.name: getattr(self, field.name)[index : index + 1] for field in fields(self)})

    @classmethod
    def resting(cls, frames: int) -> Motion:
        """A signer at rest: relaxed hands in the lap, closed mouth, looking at the camera."""
        return cls(
            joints=np.broadcast_to(RELAXED, (frames, 2, 5, 4)).copy(),
            position=np.tile(np.array([ANATOMY["right_rest"], ANATOMY["left_rest"]]), (frames, 1, 1)),
            palm=np.tile(np.array([[0.35, -0.2, -0.915], [-0.35, -0.2, -0.915]]), (frames, 1, 1)),
            pointing=np.tile(np.array([[0.35, -0.92, 0.2], [-0.35, -0.92, 0.2]]), (frames, 1, 1)),
            mouth=np.zeros((frames, 4)),
            head=np.zeros((frames, 3)),
            brows=np.zeros(frames),
            blink=np.zeros(frames),
        )


RELAXED: FloatArray = np.array(
    [
        [0.35, 0.30, 0.20, 0.25],
        [0.06, 0.35, 0.50, 0.25],
        [0.00, 0.42, 0.55, 0.30],
        [0.04, 0.48, 0.58, 0.30],
        [0.10, 0.52, 0.55, 0.28],
    ],
    np.float32,
)
