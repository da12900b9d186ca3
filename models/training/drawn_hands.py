"""Hands drawn by the synthetic signer's renderer, with their handshape, letter, direction and joint angles known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.synthetic.hand_view import render_hand
from models.synthetic.handshapes import DIGITS, HANDSHAPES, LETTER_VARIANTS, LETTER_VIEWS, LETTERS
from models.training.photographs import symbol_id

DRAWN_TARGETS = 26  # palm (3), pointing (3), joint angles (5 fingers x 4)
LETTER_SHARE = 0.45  # of the drawn hands; the others hold any handshape in any direction
STILL_LETTERS = tuple(sorted(set(LETTERS) - {"J", "Z"}))
NO_SYMBOL = -1

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class DrawnHand:
    """`crop` (64, 64, 3); `symbol` 0-35 or -1; `shape` the number of its handshape; `pose` (26,)."""

    crop: NDArray[np.uint8]
    symbol: int
    shape: int
    pose: Vectors


def shape_groups() -> dict[str, int]:
    """Number of every handshape's name; ways in which people make one letter count as one shape."""
    variants = {id(joints) for ways in LETTER_VARIANTS.values() for joints in ways}
    base = {}
    for name, joints in HANDSHAPES.items():
        stem = name.split("-")[0]
        base[name] = stem if id(joints) in variants and stem in HANDSHAPES else name
    numbers = {name: number for number, name in enumerate(sorted(set(base.values())))}
    return {name: numbers[of] for name, of in base.items()}


class DrawnHands:
    """An endless source of drawn hands."""

    def __init__(self) -> None:
        self.groups = shape_groups()
        self.names = list(HANDSHAPES)
        self.by_joints = {id(joints): name for name, joints in HANDSHAPES.items()}

    def draw(self, rng: np.random.Generator) -> DrawnHand:
        if rng.random() < LETTER_SHARE:
            symbol, joints, palm, pointing = self._letter(rng)
            turn = _turn(rng, 0.18)
        else:
            symbol, joints = NO_SYMBOL, HANDSHAPES[self.names[rng.integers(len(self.names))]]
            palm, pointing = np.array([0, 0, 1], np.float32), np.array([0, 1, 0], np.float32)
            turn = _turn(rng, 0.3) @ _any_direction(rng)
        shape = self.groups[self.by_joints[id(joints)]]
        palm, pointing = (turn @ palm).astype(np.float32), (turn @ pointing).astype(np.float32)
        pointing = pointing - palm * float(palm @ pointing)
        pointing = (pointing / np.linalg.norm(pointing)).astype(np.float32)
        loose = (joints + rng.normal(0, 0.06, joints.shape) * (1 + np.abs(joints))).astype(np.float32)
        crop = render_hand(rng, loose, palm, pointing)
        return DrawnHand(crop, symbol, shape, np.concatenate([palm, pointing, loose.ravel()]).astype(np.float32))

    def _letter(self, rng: np.random.Generator) -> tuple[int, Vectors, Vectors, Vectors]:
        if rng.random() < 0.2:
            name = str(rng.integers(10))
            pose, ways, views = DIGITS[name], [], []
        else:
            name = STILL_LETTERS[rng.integers(len(STILL_LETTERS))]
            pose = LETTERS[name]
            ways, views = LETTER_VARIANTS.get(name, []), LETTER_VIEWS.get(name, [])
        joints = ways[rng.integers(len(ways))] if ways and rng.random() < 0.5 else pose.joints
        palm, pointing = views[rng.integers(len(views))] if views and rng.random() < 0.5 else (pose.palm, pose.pointing)
        return symbol_id(name), joints, palm, pointing


def _turn(rng: np.random.Generator, size_rad: float) -> NDArray[np.float64]:
    """A small rotation about a random axis (Rodrigues)."""
    axis = rng.normal(0, size_rad, 3)
    angle = float(np.linalg.norm(axis)) + 1e-9
    x, y, z = axis / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _any_direction(rng: np.random.Generator) -> NDArray[np.float64]:
    """A rotation of the raised open hand: turned about its length, then tipped towards any side."""
    about, tip, lean = rng.uniform(-np.pi, np.pi), rng.uniform(-1.3, 1.3), rng.uniform(-2.2, 2.2)
    turn_y = np.array([[np.cos(about), 0, np.sin(about)], [0, 1, 0], [-np.sin(about), 0, np.cos(about)]])
    tip_x = np.array([[1, 0, 0], [0, np.cos(tip), -np.sin(tip)], [0, np.sin(tip), np.cos(tip)]])
    lean_z = np.array([[np.cos(lean), -np.sin(lean), 0], [np.sin(lean), np.cos(lean), 0], [0, 0, 1]])
    return np.asarray(lean_z @ tip_x @ turn_y)
