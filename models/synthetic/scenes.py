"""Scenes in which nobody signs, frame by frame: rooms without people, noise, a covered camera, a frozen picture, people who sit,
talk, gesture or touch their faces. Seeds from FIRST_HELD_OUT_SEED on are for evaluation alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, repeat

import numpy as np
from numpy.typing import NDArray

from models.clock import FRAME_RATE_HZ, HEIGHT, WIDTH
from models.synthetic import corpus, not_signing
from models.synthetic.corpus import FIRST_HELD_OUT_SEED
from models.synthetic.signer import paint_background

Frames = Iterator[NDArray[np.uint8]]
SENSOR_NOISE = 4.0
LONGEST_S = 60


def empty_room(seed: int) -> Frames:
    """A background before a camera with some noise."""
    return before_camera(paint_background(seed, WIDTH, HEIGHT), seed)


def before_camera(picture: NDArray[np.generic], seed: int) -> Frames:
    """A picture (HEIGHT, WIDTH, 3; 0..255) in which nothing moves before a camera with some noise, without an end."""
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, SENSOR_NOISE, (8, HEIGHT, WIDTH, 3)).astype(np.float32)
    at = 0
    while True:
        at = (at + int(rng.integers(1, len(grain)))) % len(grain)  # never the same twice running
        yield np.clip(picture + grain[at], 0, 255).astype(np.uint8)


def noise(seed: int) -> Frames:
    """Every pixel of every frame by chance."""
    rng = np.random.default_rng(seed)
    while True:
        yield rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def dark(seed: int) -> Frames:
    """A covered camera."""
    del seed
    return repeat(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def still(seed: int) -> Frames:
    """One frame from the middle of a signed sentence, held: a frozen call."""
    clip = corpus.clip(seed, held_out=seed >= FIRST_HELD_OUT_SEED)
    frames = clip.frames()
    middle = len(clip.script.routes) // 2
    return repeat(next(islice(frames, middle, None))[0])


def person(seed: int, kind: str) -> Frames:
    """Somebody who does not sign, for as long as a scene lasts at most."""
    clip = not_signing.clip(seed, LONGEST_S * FRAME_RATE_HZ, kind, held_out=seed >= FIRST_HELD_OUT_SEED)
    for frame, _ in clip.frames():
        yield frame


SCENES: dict[str, Callable[[int], Frames]] = {
    "empty_room": empty_room, "noise": noise, "dark": dark, "still": still,
    **{kind: partial(person, kind=kind) for kind in not_signing.KINDS},
}  # fmt: skip
"""By name, what draws the frames of a seed's scene, without an end or for LONGEST_S."""
