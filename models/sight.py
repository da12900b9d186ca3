"""Frames to features: finds the signer, cuts hands and mouth out, encodes each crop once.

The only place where pixels are seen. Boxes are found on every frame, smoothed, cut and encoded; what comes out is one
row of features a step (see models/layout.py). `frames_encoded` counts, and a test proves that no frame is seen twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import crops
from models.backends import Backend
from models.clock import CHUNK_FRAMES
from models.features import HandEncoder
from models.layout import HAND, MANUAL, MOUTH
from models.lips import MouthEncoder
from models.locate import SMALL_HEIGHT, SMALL_WIDTH, Boxes, BoxSmoother, Locator, PeakLocator, shrink

Frames = NDArray[np.uint8]
Chunks = Frames | Mapping[int, Sequence[Frames]]
SIDES = ("right_hand", "left_hand")


@dataclass(frozen=True)
class Seen:
    """Features of one chunk, batched over slots: manual (S, C, 216), mouth (S, C, 96); a hand seen (S, C) bool."""

    manual: Tensor
    mouth: Tensor
    hands: NDArray[np.bool_]
    faces: NDArray[np.bool_]


class Sight:
    """The eyes of all slots: one locator, one encoder of hands, one of mouths, and each slot's smoothed boxes."""

    def __init__(
        self, locator: Locator, hand: HandEncoder, mouth: MouthEncoder, slots: int, backend: Backend | None = None
    ) -> None:
        backend = backend or Backend("torch")
        self.backend, self.slots = backend, slots
        self._boxes = locator.boxes
        self._find = backend.network(PeakLocator(locator), np.zeros((1, SMALL_HEIGHT, SMALL_WIDTH, 3), np.uint8))
        self._hand = backend.network(hand, np.zeros((1, crops.HAND_SIDE, crops.HAND_SIDE, 3), np.uint8))
        self._mouth = backend.network(mouth, np.zeros((1, crops.MOUTH_SIDE, crops.MOUTH_SIDE), np.uint8))
        self.smoothers = [BoxSmoother() for _ in range(slots)]
        self.previous: list[Boxes | None] = [None] * slots
        self.frames_encoded = 0

    def reset(self, slot: int) -> None:
        """Forgets where the slot's signer was."""
        self.smoothers[slot] = BoxSmoother()
        self.previous[slot] = None

    def encode(self, frames: Chunks, active: NDArray[np.bool_]) -> Seen:
        """Encodes (S, C, 480, 640, 3) uint8, or each active row's C frames wherever they lie; rows that are not active
        stay zero and keep their state."""
        rows = [int(row) for row in np.flatnonzero(active)]
        manual = torch.zeros(self.slots, CHUNK_FRAMES, MANUAL)
        mouth = torch.zeros(self.slots, CHUNK_FRAMES, MOUTH)
        hands = np.zeros((self.slots, CHUNK_FRAMES), bool)
        faces = np.zeros((self.slots, CHUNK_FRAMES), bool)
        if not rows:
            return Seen(manual, mouth, hands, faces)
        self.frames_encoded += len(rows) * CHUNK_FRAMES
        found = self._find(np.stack([shrink(frame) for row in rows for frame in frames[row]])).tolist()
        pieces = Pieces()
        for at, row in enumerate(rows):
            for step in range(CHUNK_FRAMES):
                boxes = self.smoothers[row](self._boxes(found[at * CHUNK_FRAMES + step]))
                manual[row, step, 2 * HAND :] = torch.from_numpy(crops.geometry(boxes, self.previous[row]))
                self.previous[row] = boxes
                hands[row, step] = any(boxes.get(side) is not None for side in SIDES)
                faces[row, step] = boxes.get("face") is not None
                pieces.take(frames[row][step], boxes, row, step)
        self._encode_pieces(pieces, manual, mouth)
        return Seen(manual, mouth, hands, faces)

    def _encode_pieces(self, pieces: Pieces, manual: Tensor, mouth: Tensor) -> None:
        if pieces.hands:
            embedded = torch.from_numpy(self._hand(np.stack(pieces.hands)))
            for (row, step, side), vector in zip(pieces.hand_places, embedded, strict=True):
                manual[row, step, side * HAND : (side + 1) * HAND] = vector
        if pieces.mouths:
            embedded = torch.from_numpy(self._mouth(np.stack(pieces.mouths)))
            for (row, step), vector in zip(pieces.mouth_places, embedded, strict=True):
                mouth[row, step] = vector


class Pieces:
    """The crops of one batched chunk and where each belongs."""

    def __init__(self) -> None:
        self.hands: list[Frames] = []
        self.hand_places: list[tuple[int, int, int]] = []
        self.mouths: list[Frames] = []
        self.mouth_places: list[tuple[int, int]] = []

    def take(self, frame: Frames, boxes: Boxes, row: int, step: int) -> None:
        """Cuts what was found on one frame out of it."""
        for side, name in enumerate(SIDES):
            box = boxes.get(name)
            if box is not None:
                self.hands.append(crops.hand(frame, box, left=side == 1))
                self.hand_places.append((row, step, side))
        if (box := boxes.get("mouth")) is not None:
            self.mouths.append(crops.mouth(frame, box))
            self.mouth_places.append((row, step))
