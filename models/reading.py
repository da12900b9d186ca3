"""Reads whole clips with the live translator: the same steps, the same chunks, no clock.

Used by uploads, evaluation and recipes; a clip's last chunk is filled up with its last frame, as a live stream's is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.clock import CHUNK_FRAMES, HEIGHT, WIDTH
from models.hypothesis import Hypothesis, StreamOptions
from models.pipeline import Translator

Frame = NDArray[np.uint8]


@dataclass
class Reading:
    """What was read of one clip: its segments' final hypotheses and the route of every step."""

    segments: list[Hypothesis] = field(default_factory=list)
    routes: list[int] = field(default_factory=list)
    frames: int = 0


def chunks(frames: Iterable[Frame]) -> Iterator[tuple[Frame, int]]:
    """(CHUNK_FRAMES, 480, 640, 3) pieces and how many of their frames are the clip's own."""
    held: list[Frame] = []
    for frame in frames:
        held.append(frame)
        if len(held) == CHUNK_FRAMES:
            yield np.stack(held), CHUNK_FRAMES
            held = []
    if held:
        own = len(held)
        yield np.stack(held + [held[-1]] * (CHUNK_FRAMES - own)), own


def read(translator: Translator, frames: Iterable[Frame], options: StreamOptions | None = None) -> Reading:
    """One clip of canvas frames through slot 0."""
    return read_many(translator, [frames], options)[0]


def read_many(
    translator: Translator, clips: list[Iterable[Frame]], options: StreamOptions | None = None
) -> list[Reading]:
    """Clips through as many slots as the translator has, batched; a freed slot takes the next clip."""
    readings = [Reading() for _ in clips]
    waiting = iter(range(len(clips)))
    busy: dict[int, tuple[int, Iterator[tuple[Frame, int]]]] = {}
    batch = np.zeros((translator.slots, CHUNK_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    free = list(range(translator.slots))
    while True:
        while free and (clip := next(waiting, None)) is not None:
            slot = free.pop()
            translator.open(slot, options or StreamOptions())
            busy[slot] = (clip, chunks(clips[clip]))
        if not busy:
            return readings
        active, own = np.zeros(translator.slots, bool), dict[int, int]()
        for slot, (clip, pieces) in list(busy.items()):
            piece = next(pieces, None)
            if piece is None:
                _finish(translator, slot, readings[clip])
                del busy[slot]
                free.append(slot)
                continue
            batch[slot], own[slot] = piece
            active[slot] = True
        if active.any():
            _step(translator, batch, active, own, {slot: readings[clip] for slot, (clip, _) in busy.items()})


def _step(
    translator: Translator, batch: Frame, active: NDArray[np.bool_], own: dict[int, int], open_: dict[int, Reading]
) -> None:
    updates = translator.step(batch, active)
    for slot, steps in own.items():
        reading = open_[slot]
        reading.frames += steps
        reading.routes.extend(translator.last_routes(slot)[:steps])
        reading.segments.extend(u.hypothesis for u in updates[slot] if u.kind == "ended" and u.hypothesis)


def _finish(translator: Translator, slot: int, reading: Reading) -> None:
    updates = translator.finalize(slot)
    reading.segments.extend(u.hypothesis for u in updates if u.kind == "ended" and u.hypothesis)
    translator.close(slot)
