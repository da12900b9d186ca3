"""Frames to features: finds the signer, cuts hands and mouth out, encodes each crop once.

The only place where pixels are seen. Boxes are found on every frame, smoothed, cut and encoded; what comes out is one
row of features a step (see models/layout.py). `frames_encoded` counts, in one thread, and a test proves that no
frame is seen twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import crops
from models.backends import Backend, Network
from models.canvas import SMALL_HEIGHT, SMALL_WIDTH, shrink
from models.checkpoint import EIGHT_BITS
from models.clock import CHUNK_FRAMES
from models.crops import Found
from models.features import HandEncoder
from models.layout import GEOMETRY, HAND, MANUAL, MOUTH
from models.lips import MouthEncoder
from models.locate import Boxes, BoxSmoother, Locator, PeakLocator

Frames = NDArray[np.uint8]
Chunks = Frames | Mapping[int, Sequence[Frames]]
SIDES = ("right_hand", "left_hand")
CUT = (*SIDES, "mouth")


class Tracked(NamedTuple):
    """Where sight goes on from in the next chunk of a slot."""

    smoother: BoxSmoother
    previous: Boxes | None


@dataclass(frozen=True)
class Seen:
    """Features of one chunk, batched over slots: manual (S, C, 216), mouth (S, C, 96); a hand seen (S, C) bool; `frozen`
    (S,) bool, where all pictures of the chunk are one.

    `tracked` is a copy for each row that was active: sight may look at a later chunk by the time it is asked for.
    """

    manual: Tensor
    mouth: Tensor
    hands: NDArray[np.bool_]
    faces: NDArray[np.bool_]
    frozen: NDArray[np.bool_]
    tracked: Mapping[int, Tracked]
    took_ms: float

    @staticmethod
    def together(parts: Sequence[tuple[Seen, list[int]]]) -> Seen:
        """Chunks that were seen apart, each with its rows, as if they had been seen at once; no row is in two of them."""
        (first, _), *others = parts
        if not others:
            return first
        manual, mouth, tracked = first.manual.clone(), first.mouth.clone(), dict(first.tracked)
        hands, faces, frozen = first.hands.copy(), first.faces.copy(), first.frozen.copy()
        for seen, rows in others:
            manual[rows], mouth[rows] = seen.manual[rows], seen.mouth[rows]
            hands[rows], faces[rows], frozen[rows] = seen.hands[rows], seen.faces[rows], seen.frozen[rows]
            tracked |= {row: seen.tracked[row] for row in rows}
        took_ms = max(seen.took_ms for seen, _ in parts)
        return Seen(manual, mouth, hands, faces, frozen, tracked, took_ms)


class Arrays(NamedTuple):
    """The fields of `Seen` while they are written."""

    manual: NDArray[np.float32]
    mouth: NDArray[np.float32]
    hands: NDArray[np.bool_]
    faces: NDArray[np.bool_]
    frozen: NDArray[np.bool_]


class PictureNetworks(NamedTuple):
    """What the backend made of the locator (its peaks), the hand and the mouth encoder."""

    find: Network
    hand: Network
    mouth: Network


class Sight:
    """The eyes of all slots: one locator, one encoder of hands, one of mouths, and each slot's smoothed boxes."""

    def __init__(
        self, locator: Locator, hand: HandEncoder, mouth: MouthEncoder, slots: int, backend: Backend | None = None,
        folder: Path | None = None,
    ) -> None:  # fmt: skip
        """`folder` is the checkpoint's, where the networks may lie in eight bits too."""
        backend = backend or Backend("torch")
        self.backend, self.slots = backend, slots
        self.lanes = backend.threads if backend.chosen == "openvino" else 1
        """How many threads may encode at once, for different rows."""
        self._boxes = locator.boxes

        def small(name: str) -> Path | None:
            return folder / f"{name}{EIGHT_BITS}" if folder else None

        self.networks = PictureNetworks(
            backend.network(
                PeakLocator(locator), np.zeros((1, SMALL_HEIGHT, SMALL_WIDTH, 3), np.uint8), small("locate")
            ),
            backend.network(hand, np.zeros((1, crops.HAND_SIDE, crops.HAND_SIDE, 3), np.uint8), small("hand_encoder")),
            backend.network(mouth, np.zeros((1, crops.MOUTH_SIDE, crops.MOUTH_SIDE), np.uint8), small("mouth_encoder")),
        )
        self.smoothers = [BoxSmoother() for _ in range(slots)]
        self.previous: list[Boxes | None] = [None] * slots
        self.frames_encoded = 0

    def reset(self, slot: int) -> None:
        """Forgets where the slot's signer was."""
        self.go_on(slot, Tracked(BoxSmoother(), None))

    def go_on(self, slot: int, tracked: Tracked) -> None:
        """Takes the slot's signer to be where `tracked` says; `tracked` itself stays as it is."""
        self.smoothers[slot], self.previous[slot] = tracked.smoother.copy(), tracked.previous

    def find(self, small: Frames) -> list[Boxes]:
        """Boxes of shrunk frames (N, 120, 160, 3), not smoothed yet."""
        return [self._boxes(parts) for parts in self.networks.find(small).tolist()]

    def encode(self, frames: Chunks, active: NDArray[np.bool_], small: Chunks | None = None) -> Seen:
        """Encodes (S, C, 480, 640, 3) uint8, or each active row's C canvases wherever they lie, RGB or I420; rows that are
        not active stay zero and keep their state. `small` are the same frames shrunk, where somebody did so already."""
        begun_s = time.perf_counter()
        rows = [int(row) for row in np.flatnonzero(active)]
        seen = Arrays(
            np.zeros((self.slots, CHUNK_FRAMES, MANUAL), np.float32),
            np.zeros((self.slots, CHUNK_FRAMES, MOUTH), np.float32),
            np.zeros((self.slots, CHUNK_FRAMES), bool), np.zeros((self.slots, CHUNK_FRAMES), bool),
            np.zeros(self.slots, bool),
        )  # fmt: skip
        self.frames_encoded += len(rows) * CHUNK_FRAMES
        if rows:
            self._encode_rows(frames, small, rows, seen)
        tracked = {row: Tracked(self.smoothers[row].copy(), self.previous[row]) for row in rows}
        features = torch.from_numpy(seen.manual), torch.from_numpy(seen.mouth)
        return Seen(*features, seen.hands, seen.faces, seen.frozen, tracked, (time.perf_counter() - begun_s) * 1e3)

    def _encode_rows(self, frames: Chunks, small: Chunks | None, rows: list[int], seen: Arrays) -> None:
        """The rows' pictures, each network once for all of them."""
        shrunk = [shrink(frame) for frame in _each(frames, rows)] if small is None else _each(small, rows)
        pictures = np.stack(shrunk)
        found = self.find(pictures)
        seen.frozen[rows] = [_is_frozen(chunk) for chunk in pictures.reshape(len(rows), CHUNK_FRAMES, -1)]
        pieces: list[Found] = []
        channels: list[list[float]] = []
        for at, row in enumerate(rows):
            smoother, previous, first = self.smoothers[row], self.previous[row], at * CHUNK_FRAMES
            followed = [smoother(boxes) for boxes in found[first : first + CHUNK_FRAMES]]
            for step, boxes in enumerate(followed):
                channels.append(crops.channels_of(boxes, previous))
                previous = boxes
                own = [(part, boxes.get(part)) for part in CUT]
                pieces += [Found(first + step, part, box) for part, box in own if box is not None]
            self.previous[row] = previous
            seen.hands[row] = [any(boxes.get(side) is not None for side in SIDES) for boxes in followed]
            seen.faces[row] = [boxes.get("face") is not None for boxes in followed]
        seen.manual[rows, :, 2 * HAND :] = np.array(channels, np.float32).reshape(len(rows), CHUNK_FRAMES, GEOMETRY)
        self._encode_pieces(_each(frames, rows), pieces, rows, seen)

    def _encode_pieces(self, frames: list[Frames], pieces: list[Found], rows: list[int], seen: Arrays) -> None:
        """Cuts the pieces out of the rows' frames; each feature goes where its piece was."""
        hands = [piece for piece in pieces if piece.part != "mouth"]
        mouths = [piece for piece in pieces if piece.part == "mouth"]
        cut_hands = np.empty((len(hands), crops.HAND_SIDE, crops.HAND_SIDE, 3), np.uint8)
        cut_mouths = np.empty((len(mouths), crops.MOUTH_SIDE, crops.MOUTH_SIDE), np.uint8)
        if pieces:
            crops.cut(frames, pieces, cut_hands, cut_mouths)
        if hands:
            embedded, places = self.networks.hand(cut_hands), _places(hands, rows)
            for number, side in enumerate(SIDES):
                own = np.array([piece.part == side for piece in hands])
                seen.manual[places[0][own], places[1][own], number * HAND : (number + 1) * HAND] = embedded[own]
        if mouths:
            seen.mouth[_places(mouths, rows)] = self.networks.mouth(cut_mouths)


def _places(pieces: list[Found], rows: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and steps of the pieces' frames."""
    at = np.array([piece.canvas for piece in pieces])
    return np.array(rows)[at // CHUNK_FRAMES], at % CHUNK_FRAMES


def _is_frozen(pictures: Frames) -> bool:
    """Whether pictures (C, bytes) are all one; nearly always the first two say that they are not."""
    return all(np.array_equal(pictures[0], picture) for picture in pictures[1:])


def _each(frames: Chunks, rows: list[int]) -> list[Frames]:
    return [frame for row in rows for frame in frames[row]]
