"""Handshapes of American Sign Language, and the poses of its letters and digits.

Directions are in signing space (models/synthetic/pose.py) for the right hand: x to the signer's left, y up, z to the
camera.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

# A line is a shape: thumb | index | middle | ring | little, each the four angles of Motion.joints in hundredths of a
# radian. The thumbs were fitted, with the skeleton of this package, to touch the fingers that they touch in the sign.
_TABLE = """\
A          13 1 85 2 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
A-low      36 -24 105 17 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
A-front    66 14 50 31 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
10         -1 25 20 25 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
open-A     -10 -18 65 60 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
S          93 28 80 48 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
S-long     91 42 83 49 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
S-short    95 11 63 90 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
T          50 51 2 50 | 13 120 135 60 | -12 145 178 100 | 0 145 178 100 | 0 145 178 100
T-deep     52 47 5 60 | 13 120 135 60 | -12 145 178 100 | 0 145 178 100 | 0 145 178 100
N          47 20 96 53 | 2 122 132 55 | 6 122 132 55 | 10 145 178 100 | 0 145 178 100
N-long     51 68 61 -9 | 2 122 132 55 | 6 122 132 55 | 12 145 178 100 | 0 145 178 100
M          38 57 53 107 | 2 122 132 55 | 2 122 132 55 | -3 122 132 55 | 12 145 178 100
M-low      87 46 90 98 | 0 115 110 35 | 0 115 110 35 | -2 115 110 35 | 6 145 178 100
N-low      67 24 82 67 | 0 115 110 35 | 4 115 110 35 | 6 145 178 100 | 0 145 178 100
E          66 23 105 135 | 0 62 195 95 | 0 62 195 95 | 0 62 195 95 | 0 62 195 95
E-open     49 33 105 129 | 0 45 170 85 | 0 45 170 85 | 0 45 170 85 | 0 45 170 85
E-claw     20 46 105 135 | 0 30 190 120 | 0 30 190 120 | 0 30 190 120 | 0 30 190 120
B          19 33 105 118 | 0 4 6 3 | 0 4 6 3 | 0 4 6 3 | 0 4 6 3
B-low      40 20 105 135 | 0 4 6 3 | 0 4 6 3 | 0 4 6 3 | 0 4 6 3
open-B     15 45 0 0 | 0 4 6 3 | 0 4 6 3 | 0 4 6 3 | 0 4 6 3
bent-B     35 50 10 10 | 0 125 12 5 | 0 125 12 5 | 0 125 12 5 | 0 125 12 5
open-N     74 54 67 48 | 0 120 12 5 | 0 120 12 5 | 0 145 178 100 | 0 145 178 100
5          25 -40 -5 -10 | 24 4 6 3 | 0 4 6 3 | 22 4 6 3 | 36 4 6 3
4          19 33 105 118 | 20 4 6 3 | 0 4 6 3 | 18 4 6 3 | 32 4 6 3
bent-5     55 -10 10 30 | 18 100 25 10 | 0 105 25 10 | 16 100 25 10 | 28 90 25 10
claw-5     70 -25 15 50 | 22 35 95 55 | 0 38 100 58 | 20 38 98 56 | 34 36 90 50
C          95 -10 5 35 | 0 55 72 42 | 0 55 75 45 | 0 55 75 45 | 0 50 70 42
flat-C     95 -5 5 20 | 0 80 40 20 | 0 80 40 22 | 0 80 40 22 | 0 75 40 20
O          101 17 40 108 | 0 100 92 50 | 0 102 97 52 | 0 105 100 55 | 0 100 100 60
O-tight    125 -7 83 135 | 0 115 115 60 | 0 120 120 65 | 0 120 120 65 | 0 120 120 65
flat-O     80 78 3 0 | 0 120 25 12 | 0 125 28 12 | 0 122 28 12 | 0 110 25 10
baby-O     108 -6 51 104 | 0 100 92 50 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
1          78 32 63 57 | 0 4 6 3 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
1-side     56 57 21 23 | 0 4 6 3 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
D          98 28 34 109 | 0 3 3 2 | 0 100 97 55 | 0 112 100 60 | 0 115 105 60
D-fist     84 48 28 64 | 0 3 3 2 | 0 125 135 70 | 0 145 178 100 | 0 145 178 100
X          78 31 73 35 | 0 35 150 75 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
X-side     61 34 48 31 | 0 20 135 70 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
X-tip      64 59 34 6 | 0 55 155 80 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
bent-1     71 41 43 74 | 0 120 10 5 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
L          5 -62 -5 -10 | 0 4 6 3 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
L-bent     35 -40 10 65 | 0 35 75 45 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
G          30 63 2 1 | 0 45 6 4 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
G-open     24 55 1 0 | 0 35 5 3 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
G-fist     69 41 53 47 | 0 20 5 3 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
G-parallel -6 35 32 11 | 0 10 5 3 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
U          68 61 50 62 | 0 4 6 3 | 0 4 6 3 | 0 145 178 100 | 0 145 178 100
U-low      100 43 75 84 | 0 4 6 3 | 0 4 6 3 | 0 145 178 100 | 0 145 178 100
U-thumb    10 -50 0 -5 | 0 4 6 3 | 0 4 6 3 | 0 145 178 100 | 0 145 178 100
H          70 55 73 23 | 0 4 6 3 | 0 4 6 3 | 0 145 178 100 | 0 145 178 100
H-up       61 50 27 81 | 0 4 6 3 | 0 4 6 3 | 0 145 178 100 | 0 145 178 100
V          68 60 52 59 | 22 4 6 3 | -20 4 6 3 | 0 145 178 100 | 0 145 178 100
V-wide     84 48 69 68 | 30 4 6 3 | -25 4 6 3 | 0 145 178 100 | 0 145 178 100
bent-V     71 54 69 39 | 20 35 135 70 | -14 35 140 70 | 0 145 178 100 | 0 145 178 100
R          65 68 34 78 | -17 2 4 2 | 17 28 12 5 | 0 145 178 100 | 0 145 178 100
R-tight    82 50 65 73 | -14 -2 8 4 | 20 24 15 10 | 0 145 178 100 | 0 145 178 100
K          8 43 38 46 | 10 5 5 3 | -8 80 6 3 | 0 145 178 100 | 0 145 178 100
K-flat     18 94 -15 -27 | 18 3 5 3 | -18 35 6 3 | 0 145 178 100 | 0 145 178 100
P          12 22 76 35 | 6 10 6 3 | -4 110 8 3 | 0 145 178 100 | 0 145 178 100
Q          38 60 2 1 | 0 50 12 8 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
Q-open     35 35 17 4 | 0 40 12 8 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100
3          10 -60 -5 -10 | 18 4 6 3 | -12 4 6 3 | 0 145 178 100 | 0 145 178 100
W          94 70 56 99 | 20 4 6 3 | 0 4 6 3 | 18 4 6 3 | 5 125 130 60
6          109 67 56 70 | 22 4 6 3 | 0 4 6 3 | 20 4 6 3 | 10 120 100 50
7          96 92 9 18 | 20 4 6 3 | 0 4 6 3 | 0 115 80 40 | 32 4 6 3
8          100 34 29 89 | 20 4 6 3 | 0 110 80 45 | 16 4 6 3 | 30 4 6 3
open-8     30 -35 0 0 | 22 4 6 3 | 0 95 20 10 | 20 4 6 3 | 34 4 6 3
F          103 0 41 114 | 0 100 92 50 | 0 10 5 3 | 16 4 5 3 | 30 4 5 3
F-flat     109 4 42 65 | 0 120 60 25 | -2 8 5 3 | 10 4 5 3 | 20 4 5 3
9          103 0 41 114 | 0 100 92 50 | 0 10 5 3 | 16 4 5 3 | 30 4 5 3
I          86 26 63 69 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 12 4 6 3
I-long     90 41 83 39 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 20 4 6 3
Y          10 -68 -5 -15 | 0 145 178 100 | 0 145 178 100 | 0 145 178 100 | 40 4 6 3
ILY        8 -62 -5 -10 | 10 4 6 3 | 0 145 178 100 | 0 145 178 100 | 30 4 6 3
horns      96 20 70 79 | 8 4 6 3 | 0 145 178 100 | 0 145 178 100 | 22 4 6 3
rest       35 25 20 25 | 5 35 50 25 | 0 42 55 30 | 3 48 58 30 | 8 50 55 28
"""


def _parse(table: str) -> dict[str, FloatArray]:
    shapes = {}
    for line in table.splitlines():
        name, angles = line.split(None, 1)
        shapes[name] = np.array([finger.split() for finger in angles.split("|")], np.float32) / 100.0
        shapes[name].flags.writeable = False
    return shapes


HANDSHAPES: dict[str, FloatArray] = _parse(_TABLE)


def handshape(name: str) -> FloatArray:
    """The joint angles (5, 4) of a named handshape."""
    if name not in HANDSHAPES:
        raise ValueError(f"there is no handshape {name!r}: use one of {', '.join(sorted(HANDSHAPES))}")
    return HANDSHAPES[name]


def _vector(x: float, y: float, z: float) -> FloatArray:
    vector = np.array([x, y, z], np.float32)
    vector /= np.linalg.norm(vector)
    vector.flags.writeable = False
    return vector


def _points(*points: tuple[float, float, float]) -> FloatArray:
    return np.array(points, np.float32).reshape(-1, 3)


@dataclass(frozen=True)
class LetterPose:
    """How the right hand shows a letter or digit.

    path (k, 3): offsets of the palm centre from the place of signing, in hand lengths, passed through in equal times;
    empty if the hand is still. turn (k, 2, 3): palm and pointing at those points; empty if the hand does not turn.
    """

    handshape: str
    palm: FloatArray = field(default_factory=lambda: _vector(0, 0, 1))
    pointing: FloatArray = field(default_factory=lambda: _vector(0, 1, 0))
    path: FloatArray = field(default_factory=_points)
    turn: FloatArray = field(default_factory=lambda: np.zeros((0, 2, 3), np.float32))

    @property
    def joints(self) -> FloatArray:
        return HANDSHAPES[self.handshape]


_FRONT, _UP = _vector(0, 0, 1), _vector(0, 1, 0)
_HALF = _vector(0.7, 0, 0.72)  # palm half turned to the signer's left: C and O show their round side
_J_TURN = np.array(
    [
        [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]],
        [[0.1, -0.2, 0.97], [0.05, 0.97, 0.2]],
        [[0.55, -0.35, 0.75], [0.1, 0.92, 0.37]],
        [[0.95, -0.1, 0.1], [0.15, 0.9, 0.4]],
        [[0.75, 0.25, -0.6], [0.3, 0.75, 0.58]],
        [[0.55, 0.35, -0.75], [0.35, 0.8, 0.5]],
    ],
    np.float32,
)

LETTERS: dict[str, LetterPose] = {
    "A": LetterPose("A"),
    "B": LetterPose("B"),
    "C": LetterPose("C", _HALF, _vector(0.05, 1, 0.1)),
    "D": LetterPose("D", _vector(0.25, 0, 0.97)),
    "E": LetterPose("E"),
    "F": LetterPose("F", _vector(0.12, 0, 1)),
    "G": LetterPose("G", _vector(0.1, -0.1, -1), _vector(1, 0.05, 0.1)),
    "H": LetterPose("H", _vector(0.1, -0.1, -1), _vector(1, 0.05, 0.1)),
    "I": LetterPose("I"),
    "J": LetterPose(
        "I",
        path=_points(
            (0, 0, 0),
            (0, -0.15, 0.03),
            (0.02, -0.34, 0.10),
            (0.12, -0.46, 0.12),
            (0.28, -0.42, 0.05),
            (0.36, -0.28, 0.0),
        ),
        turn=_J_TURN,
    ),
    "K": LetterPose("K", _vector(0.3, 0, 0.95), _vector(-0.05, 1, 0.1)),
    "L": LetterPose("L"),
    "M": LetterPose("M"),
    "N": LetterPose("N"),
    "O": LetterPose("O", _HALF, _vector(0.05, 1, 0.1)),
    "P": LetterPose("P", _vector(-0.2, -0.9, -0.45), _vector(0.7, -0.35, 0.6)),
    "Q": LetterPose("Q", _vector(0.25, -0.1, -1), _vector(0.25, -1, 0.15)),
    "R": LetterPose("R"),
    "S": LetterPose("S"),
    "T": LetterPose("T"),
    "U": LetterPose("U"),
    "V": LetterPose("V"),
    "W": LetterPose("W"),
    "X": LetterPose("X", _vector(0.5, 0, 0.87)),
    "Y": LetterPose("Y"),
    "Z": LetterPose(
        "1",
        _vector(0, -0.45, 0.9),
        _vector(0, 0.9, 0.45),
        _points(
            (0, 0, 0),
            (-0.25, 0.0, 0.02),
            (-0.5, 0.0, 0),
            (-0.25, -0.22, 0.02),
            (0, -0.45, 0),
            (-0.25, -0.45, 0.02),
            (-0.5, -0.45, 0),
        ),
    ),
}

DIGITS: dict[str, LetterPose] = {
    "0": LetterPose("O", _HALF, _vector(0.05, 1, 0.1)),
    "1": LetterPose("1"),
    "2": LetterPose("V"),
    "3": LetterPose("3"),
    "4": LetterPose("4"),
    "5": LetterPose("5"),
    "6": LetterPose("6"),
    "7": LetterPose("7"),
    "8": LetterPose("8"),
    "9": LetterPose("9"),
}

_VARIANTS = {
    "A": ("A-low", "A-front"),
    "B": ("B-low",),
    "C": ("flat-C",),
    "D": ("D-fist",),
    "E": ("E-open", "E-claw"),
    "F": ("F-flat",),
    "G": ("G-open", "G-fist", "G-parallel"),
    "H": ("H-up", "U"),
    "I": ("I-long",),
    "J": ("I-long",),
    "K": ("K-flat",),
    "M": ("M-low",),
    "N": ("N-low", "N-long"),
    "O": ("O-tight", "flat-O"),
    "P": ("K", "K-flat"),
    "Q": ("Q-open", "G-open"),
    "R": ("R-tight",),
    "S": ("S-long", "S-short"),
    "T": ("T-deep",),
    "U": ("U-low",),
    "V": ("V-wide",),
    "W": ("6",),
    "X": ("X-side", "X-tip"),
    "Z": ("1-side",),
}
# other joint angles by which people make a letter; a letter that is not here is made in one way
LETTER_VARIANTS: dict[str, list[FloatArray]] = {
    letter: [HANDSHAPES[name] for name in names] for letter, names in _VARIANTS.items()
}
# other directions (palm, pointing) in which people hold a letter towards the camera
LETTER_VIEWS: dict[str, list[tuple[FloatArray, FloatArray]]] = {
    "C": [(_FRONT, _UP), (_vector(1, 0, 0.15), _UP)],
    "O": [(_FRONT, _UP), (_vector(1, 0, 0.15), _UP)],
    "G": [(_vector(-0.1, 0, 1), _vector(-1, 0.1, 0.1)), (_vector(0.7, 0, -0.7), _vector(0.65, 0.25, 0.7))],
    "H": [(_vector(-0.1, 0, 1), _vector(-1, 0.1, 0.1)), (_vector(0.7, 0, -0.7), _vector(0.65, 0.25, 0.7))],
    "P": [(_vector(0.2, -0.75, 0.6), _vector(0.8, -0.2, 0.2)), (_vector(-0.2, -0.5, -0.85), _vector(0.5, -0.8, 0.35))],
    "Q": [(_vector(0.1, -0.75, -0.6), _vector(0.25, -0.7, 0.7)), (_vector(0.9, 0, -0.4), _vector(0.1, -1, 0.3))],
    "X": [(_FRONT, _UP), (_vector(0.9, 0, 0.4), _UP)],
    "D": [(_FRONT, _UP), (_vector(0.7, 0, 0.7), _UP)],
    "F": [(_FRONT, _UP), (_vector(0.6, 0, 0.8), _UP)],
}
