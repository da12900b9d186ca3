"""Hands drawn by the synthetic signer's renderer, with their handshape, letter, direction and joint angles known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWN_TARGETS = 26  # palm (3), pointing (3), joint angles (5 fingers x 4)


@dataclass(frozen=True)
class DrawnHand:
    crop: NDArray[np.uint8]
    symbol: int
    shape: int
    pose: NDArray[np.float32]


class DrawnHands:
    """Filled in as soon as the renderer is there."""

    @classmethod
    def load(cls, seed: int) -> "DrawnHands | None":
        return None

    def draw(self, rng: np.random.Generator) -> DrawnHand:
        raise NotImplementedError
