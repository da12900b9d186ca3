"""Phonemes to mouth shapes: (open, spread, pressed, teeth) as `Motion.mouth` has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

SHAPES: dict[str, tuple[float, float, float, float]] = {
    "AA": (0.9, 0.0, 0, 0.1), "AE": (0.8, 0.5, 0, 0.4), "AH": (0.55, 0.0, 0, 0.2), "AO": (0.75, -0.5, 0, 0.0),
    "AW": (0.75, -0.3, 0, 0.1), "AY": (0.75, 0.3, 0, 0.3), "B": (0.0, 0.0, 0.9, 0), "CH": (0.3, -0.6, 0, 0.9),
    "D": (0.25, 0.2, 0, 0.7), "DH": (0.25, 0.1, 0, 0.5), "EH": (0.55, 0.5, 0, 0.5), "ER": (0.35, -0.5, 0, 0.3),
    "EY": (0.45, 0.8, 0, 0.6), "F": (0.08, 0.1, 0.4, 1.0), "G": (0.35, 0.1, 0, 0.3), "HH": (0.45, 0.0, 0, 0.1),
    "IH": (0.35, 0.6, 0, 0.6), "IY": (0.22, 1.0, 0, 0.8), "JH": (0.3, -0.6, 0, 0.9), "K": (0.35, 0.1, 0, 0.3),
    "L": (0.4, 0.2, 0, 0.2), "M": (0.0, 0.1, 1.0, 0), "N": (0.22, 0.2, 0, 0.6), "NG": (0.3, 0.1, 0, 0.3),
    "OW": (0.5, -0.9, 0, 0.0), "OY": (0.6, -0.7, 0, 0.1), "P": (0.0, -0.1, 1.0, 0), "R": (0.25, -0.6, 0, 0.3),
    "S": (0.12, 0.5, 0, 1.0), "SH": (0.22, -0.8, 0, 0.9), "T": (0.2, 0.2, 0, 0.7), "TH": (0.25, 0.2, 0, 0.2),
    "UH": (0.35, -0.6, 0, 0.1), "UW": (0.2, -1.0, 0, 0.0), "V": (0.08, 0.1, 0.4, 1.0), "W": (0.12, -1.0, 0, 0.0),
    "Y": (0.22, 0.8, 0, 0.7), "Z": (0.12, 0.5, 0, 1.0), "ZH": (0.22, -0.8, 0, 0.9),
}  # fmt: skip
CLOSED = (0.0, 0.0, 0.15, 0.0)


def mouth_track(frames: int, spoken: list[tuple[str, float, float]]) -> FloatArray:
    """(frames, 4) from phonemes with start and end frames; shapes glide into each other over about two frames."""
    track = np.tile(np.array(CLOSED, np.float32), (frames, 1))
    for phoneme, start, end in spoken:
        first, last = max(0, round(start)), min(frames, max(round(start) + 1, round(end)))
        track[first:last] = SHAPES[phoneme]
    padded = np.concatenate([track[:1], track, track[-1:]])
    return np.asarray(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], np.float32)
