"""People who do not sign: sitting, talking, gesturing as speakers do, touching the face. Their truth is rest throughout.

A translator that has met only signing takes every raised hand for a sign; these clips tell it otherwise. Gestures that go with
speech are modelled on McNeill 1992: hands rest, rise, stroke once or a few times with loose handshapes, and sink again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.synthetic.corpus import FIRST_HELD_OUT_SEED, Clip
from models.synthetic.mouthing import SHAPES, mouth_track
from models.synthetic.movement import LOCATIONS, MIRROR, ease, reach, unit_vectors
from models.synthetic.pose import Motion
from models.synthetic.script import Script
from models.synthetic.sentences import Sentence
from models.synthetic.signer import Signer
from models.vocabulary import REST

FloatArray = NDArray[np.floating[Any]]
RISE_FRAMES, STROKE_FRAMES, HOLD_FRAMES, PAUSE_FRAMES = (8, 16), (7, 16), (0, 12), (10, 50)
TOUCHED = ("chin", "cheek", "ear", "nose", "forehead-side", "neck")


def clip(seed: int, frames: int, kind: str | None = None, held_out: bool = False) -> Clip:
    """A person of `seed` for so many frames; `kind` is one of KINDS, drawn where it is None.

    As with sentences, seeds from FIRST_HELD_OUT_SEED on are for evaluation alone.
    """
    if held_out != (seed >= FIRST_HELD_OUT_SEED):
        raise ValueError(f"seeds from {FIRST_HELD_OUT_SEED} on are for held-out clips alone, got {seed}, {held_out=}")
    rng = np.random.default_rng((seed, 7))
    signer = Signer.draw(rng)
    motion = alive(frames, rng)
    KINDS[kind or sorted(KINDS)[int(rng.integers(len(KINDS)))]](motion, rng)
    motion = replace(motion, position=reach(motion.position))
    motion = motion.mirrored() if signer.left_handed else motion
    return Clip(signer, Script(motion, (), (), (), np.full(frames, REST, np.int8), Sentence("", ())))


def alive(frames: int, rng: np.random.Generator) -> Motion:
    """Sits, blinks, looks about, sways."""
    motion = Motion.resting(frames)
    motion.position += wander(frames, rng, 0.02, 3)[:, None]
    motion.position += rng.normal(0, 0.06, (1, 2, 3)).astype(np.float32)
    motion.joints += rng.normal(0, 0.08, (1, 2, 5, 4)).astype(np.float32)
    motion.head += wander(frames, rng, 0.12, 3)
    motion.brows += wander(frames, rng, 0.3, 1)[:, 0]
    for start in rng.integers(0, frames, max(1, frames // 70)):
        motion.blink[start : start + 3] = (0.6, 1.0, 0.5)[: frames - start]
    return motion


def sitting(motion: Motion, rng: np.random.Generator) -> None:
    """Nothing more."""
    del motion, rng


def talking(motion: Motion, rng: np.random.Generator) -> None:
    """The lips move in phrases with pauses."""
    at, spoken, phonemes = float(rng.integers(5, 20)), list[tuple[str, float, float]](), sorted(SHAPES)
    while at < len(motion):
        for _ in range(int(rng.integers(8, 40))):
            length = float(rng.uniform(1.5, 3.0))
            spoken.append((phonemes[int(rng.integers(len(phonemes)))], at, at + length))
            at += length
        at += float(rng.integers(5, 30))
    motion.mouth[:] = mouth_track(len(motion), spoken)


def gesturing(motion: Motion, rng: np.random.Generator) -> None:
    """Talks, and the hands go along: one of them, both alike, or both apart."""
    talking(motion, rng)
    at = int(rng.integers(5, 30))
    while at < len(motion):
        sides = ((0,), (1,), (0, 1))[int(rng.integers(3))]
        strokes = [gesture_place(rng) for _ in range(int(rng.integers(1, 5)))]
        at = moved(motion, sides, at, strokes, rng) + int(rng.integers(*PAUSE_FRAMES))


def touching(motion: Motion, rng: np.random.Generator) -> None:
    """A hand goes to the face, the ear or the neck, stays a while and comes back; now and then it drinks from there."""
    at = int(rng.integers(5, 40))
    while at < len(motion):
        place = np.array(LOCATIONS[TOUCHED[int(rng.integers(len(TOUCHED)))]], np.float32)
        stays = [place + rng.normal(0, 0.03, 3).astype(np.float32)] * int(rng.integers(2, 8))
        at = moved(motion, (int(rng.integers(2)),), at, stays, rng) + int(rng.integers(*PAUSE_FRAMES))


def gesture_place(rng: np.random.Generator) -> FloatArray:
    """A place in front of the trunk, of the right hand."""
    return np.array([rng.uniform(-0.9, 0.0), rng.uniform(-0.95, 0.0), rng.uniform(0.3, 0.65)], np.float32)


def moved(
    motion: Motion, sides: tuple[int, ...], start: int, places: list[FloatArray], rng: np.random.Generator
) -> int:
    """Takes the hands of `sides` through `places` and back to where they rested; returns the frame where they are."""
    shape = rng.normal(0, 0.22, (5, 4)).astype(np.float32) - np.float32(rng.uniform(0, 0.25))
    turn, lean = (unit_vectors(rng.normal(0, 1, (1, 3)))[0] for _ in range(2))
    share = rng.uniform(0.2, 0.9)
    for side in sides:
        mirror = MIRROR if side else np.ones(3, np.float32)
        rest = [getattr(motion, name)[:, side].copy() for name in ("position", "joints", "palm", "pointing")]
        at, last = start, None
        for place in [*places, None]:
            length = int(rng.integers(*(RISE_FRAMES if last is None or place is None else STROKE_FRAMES)))
            goal = None if place is None else place * mirror
            for step in range(length + (int(rng.integers(*HOLD_FRAMES)) if goal is not None else 0)):
                if at >= len(motion):
                    return at
                u = float(ease(np.array((step + 1) / length)))
                here = rest[0][at]
                motion.position[at, side] = (here if last is None else last) * (1 - u) + (
                    here if goal is None else goal
                ) * u
                raised = (u if last is None else 1.0) * (1.0 if goal is not None else 1 - u)
                motion.joints[at, side] = rest[1][at] + raised * shape
                motion.palm[at, side] = unit_vectors((rest[2][at] + raised * share * turn * mirror)[None])[0]
                motion.pointing[at, side] = unit_vectors(
                    (rest[3][at] * (1 - 2 * raised * share) + raised * lean)[None]
                )[0]
                at += 1
            last = goal
    return at


def wander(frames: int, rng: np.random.Generator, size: float, channels: int) -> FloatArray:
    """Slow random curves (frames, channels), a knot about every second."""
    knots = max(3, frames // 25 + 2)
    at = np.linspace(0, knots - 1, frames)
    curves = [np.interp(at, np.arange(knots), rng.normal(0, size, knots)) for _ in range(channels)]
    return np.stack(curves, axis=1).astype(np.float32)


KINDS: dict[str, Callable[[Motion, np.random.Generator], None]] = {
    "sitting": sitting, "talking": talking, "gesturing": gesturing, "touching": touching,
}  # fmt: skip
