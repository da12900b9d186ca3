"""How well the locator finds the hands of drawn signers that training never saw, apart by skin and by framing."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.canvas import SMALL_HEIGHT, SMALL_WIDTH
from models.locate import Locator
from models.synthetic import corpus
from models.synthetic.renderer import Renderer
from models.synthetic.signer import CLOSE, Signer
from models.training.boxes import as_rows
from models.vocabulary import REST

SIGNERS, FRAMES = 240, 6
FIRST_SEED = 1_900_000
"""Apart from `evaluate synthetic`'s and the clips that training is validated on."""
DRAWN = (2 * SMALL_WIDTH, 2 * SMALL_HEIGHT)
SKINS = ("darkest third", "middle third", "lightest third")
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class DrawnFrames:
    """Small frames (N, 120, 160, 3) uint8 with true boxes (N, 4, 3), NaN where absent, and the signer of each."""

    frames: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    signers: list[Signer]


def draw(signers: int = SIGNERS) -> DrawnFrames:
    """FRAMES random frames of signing of each of so many signers."""
    frames, boxes, shown = [], [], []
    for seed in range(FIRST_SEED, FIRST_SEED + signers):
        clip = corpus.clip(seed, held_out=True)
        renderer, motion = Renderer(clip.signer, DRAWN), clip.script.motion
        signing = np.flatnonzero(clip.script.routes != REST)
        for t in np.random.default_rng(seed).choice(signing, FRAMES, replace=False).tolist():
            frame = renderer.render(motion, t)
            frames.append(cv2.resize(frame, (SMALL_WIDTH, SMALL_HEIGHT), interpolation=cv2.INTER_AREA))
            boxes.append(as_rows({part: box for part, box in renderer.boxes(motion, t).items() if box is not None}))
            shown.append(clip.signer)
    return DrawnFrames(np.stack(frames).astype(np.uint8), np.stack(boxes), shown)


def groups_of(signers: list[Signer]) -> dict[str, NDArray[np.bool_]]:
    """Which frames (N,) belong to each group: all, both framings, thirds by the skin's luma."""
    close = np.array([signer.face_side > CLOSE for signer in signers])
    luma = np.array([float(signer.skin @ np.array(_LUMA, np.float32)) for signer in signers])
    third = np.searchsorted(np.quantile(luma, [1 / 3, 2 / 3]), luma)
    skins = {name: third == number for number, name in enumerate(SKINS)}
    return {"all": np.ones(len(signers), bool), "close": close, "not close": ~close, **skins}


def evaluate_drawn(locator: Locator, signers: int = SIGNERS) -> dict[str, float]:
    """Share of hands found (centre met within half a side) by group; a group that nobody is of is left out."""
    from models.evaluation.locate import compare

    drawn = draw(signers)
    found = locator.find_small(drawn.frames)
    return {
        f"hands_found, {name}": compare([found[at] for at in np.flatnonzero(chosen)], drawn.boxes[chosen])[
            "hands_found"
        ]
        for name, chosen in groups_of(drawn.signers).items()
        if chosen.any()
    }
