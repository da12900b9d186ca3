"""What the machine could do at most: the bare networks on prepared inputs, in their best batch, on all its cores.

No frame is cut, no box smoothed, nothing searched or said: what remains is the arithmetic that every frame needs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models import crops
from models.backends import Backend
from models.bundle import translator
from models.canvas import shrink
from models.clock import CHUNK_FRAMES
from models.layout import MANUAL, MOUTH
from models.locate import BoxSmoother
from models.pipeline import Translator
from models.sight import Sight

CHUNKS = (2, 4, 8)
"""Chunks in a batch that are tried."""
TRIAL_S = 1.0

Frames = Sequence[NDArray[np.uint8]]


class BareNetworks:
    """The networks of `checkpoint` on batches made of canvases in either form, one copy a core, each on one thread."""

    def __init__(self, checkpoint: Path, frames: Frames, device: str, cores: int) -> None:
        backend = Backend("auto", device, threads=1)
        lanes = range(cores if device == "cpu" else 1)
        self._lanes = [Lane(translator(checkpoint, device, max(CHUNKS), backend=backend), frames) for _ in lanes]
        self.chunks = max(CHUNKS, key=lambda chunks: self.frames_per_s(TRIAL_S, chunks))

    def frames_per_s(self, seconds: float, chunks: int | None = None) -> float:
        """All lanes side by side for so long."""
        before, size = torch.get_num_threads(), chunks or self.chunks
        torch.set_num_threads(1)
        begun, done = time.perf_counter(), [0] * len(self._lanes)

        def work(index: int) -> None:
            while time.perf_counter() - begun < seconds:
                done[index] += self._lanes[index].run(size)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(self._lanes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        torch.set_num_threads(before)
        return sum(done) / (time.perf_counter() - begun)


class Lane:
    """One copy of the networks and the inputs that they are given again and again."""

    def __init__(self, translator: Translator, frames: Frames) -> None:
        self._sight, self._temporal = translator.sight, translator.temporal
        most = max(CHUNKS) * CHUNK_FRAMES
        self._look = self._sight.networks.closer
        self._pieces, self._due = looked_at(self._sight, frames), 0.0
        self._looks_a_chunk = len(self._pieces) * CHUNK_FRAMES / len(frames)
        frames = [frames[index % len(frames)] for index in range(most)]
        self._small = np.stack([shrink(frame) for frame in frames])
        smoother = BoxSmoother()
        boxes = [smoother(found) for found in self._sight.find(self._small)]
        pairs = list(zip(frames, boxes, strict=True))
        self._hands = [
            [crops.hand(frame, box, left=side == "left_hand") for side in crops.HANDS if (box := found[side])]
            for frame, found in pairs
        ]
        self._mouths = [[crops.mouth(frame, box)] if (box := found["mouth"]) else [] for frame, found in pairs]
        rng = torch.Generator().manual_seed(0)
        self._manual = torch.randn(max(CHUNKS), CHUNK_FRAMES, MANUAL, generator=rng)
        self._mouth = torch.randn(max(CHUNKS), CHUNK_FRAMES, MOUTH, generator=rng)

    def run(self, chunks: int) -> int:
        """One batch of so many chunks; returns its frames."""
        count = chunks * CHUNK_FRAMES
        hands = [hand for found in self._hands[:count] for hand in found]
        mouths = [mouth for found in self._mouths[:count] for mouth in found]
        self._sight.networks.find(self._small[:count])
        self._sight.networks.hand(np.array(hands, np.uint8).reshape(-1, crops.HAND_SIDE, crops.HAND_SIDE, 3))
        self._due += self._looks_a_chunk * chunks
        looks, self._due = int(self._due), self._due % 1
        if looks and self._look is not None:
            self._look(self._pieces[np.arange(looks) % len(self._pieces)])
        self._sight.networks.mouth(np.array(mouths, np.uint8).reshape(-1, crops.MOUTH_SIDE, crops.MOUTH_SIDE))
        self._temporal.step(self._manual, self._mouth, np.arange(max(CHUNKS)) < chunks)
        return count


def looked_at(sight: Sight, frames: Frames) -> NDArray[np.uint8]:
    """The fine crops that the closer look takes of one stream's frames, all of its whole chunks: a hand spells for moments, so a
    batch's frames alone would have many of them or none."""
    look, taken = sight.networks.closer, [np.zeros((0, sight.finer_px, sight.finer_px, 3), np.uint8)]
    if look is None:
        return taken[0]

    def note(pieces: NDArray[np.uint8]) -> NDArray[np.float32]:
        taken.append(pieces)
        return look(pieces)

    plain, sight.networks = sight.networks, sight.networks._replace(closer=note)
    sight.reset(0)
    for start in range(0, len(frames) - CHUNK_FRAMES + 1, CHUNK_FRAMES):
        sight.encode({0: frames[start : start + CHUNK_FRAMES]}, np.arange(sight.slots) == 0)
    sight.networks = plain
    return np.concatenate(taken)
