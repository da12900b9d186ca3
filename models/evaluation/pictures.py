"""What the picture networks are measured on: frames of the page's sample, and the crops that are found on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import crops
from models.canvas import shrink
from models.locate import Locator
from models.synthetic import corpus
from models.video import canvas_frames

SAMPLE = Path(__file__).parents[2] / "app" / "web" / "sample.webm"
DRAWN = "my name is Maria"
"""Signed where the sample is not at hand."""
DRAWN_SEED = 7

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """Small frames (N, 120, 160, 3), hands (M, 64, 64, 3) and mouths (K, 40, 40), uint8, as they come to the networks."""

    small: Frame
    hands: Frame
    mouths: Frame


def sample_frames(file: Path = SAMPLE) -> list[Frame]:
    """Canvas frames (480, 640, 3) of the file, or of a drawn signer where there is none."""
    if file.is_file():
        return list(canvas_frames(file))
    return [frame for frame, _ in corpus.clip(DRAWN_SEED, DRAWN, held_out=False).frames()]


def repeated(frames: Sequence[Frame], count: int) -> list[Frame]:
    """`count` frames, from the beginning again where they do not suffice; nothing is copied."""
    return list(islice(cycle(frames), count))


def pictures_of(frames: Sequence[Frame], locator: Locator) -> Pictures:
    """Every frame small, and what the locator finds on it cut out; ValueError where it finds no hand or no mouth."""
    small = np.stack([shrink(frame) for frame in frames])
    hands, mouths = [], []
    for frame, boxes in zip(frames, locator.eval().find_small(small), strict=True):
        for side in crops.HANDS:
            if (box := boxes.get(side)) is not None:
                hands.append(crops.hand(frame, box, left=side == "left_hand"))
        if (box := boxes.get("mouth")) is not None:
            mouths.append(crops.mouth(frame, box))
    if not hands or not mouths:
        raise ValueError(f"the locator found {len(hands)} hands and {len(mouths)} mouths: nothing to measure on")
    return Pictures(small, np.stack(hands), np.stack(mouths))
