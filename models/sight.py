"""Frames to features: finds the signer, cuts hands and mouth out, encodes each crop once.

The only place where pixels are seen. Boxes are found on every frame, smoothed, cut and encoded; hands that may be spelling are
looked at once more, in finer crops (models/closer.py). What comes out is one row of features a step (see models/layout.py).
`frames_encoded` counts, in one thread, and a test proves that no frame is seen twice.
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

from models import crops, following
from models.backends import Backend, Network
from models.canvas import SMALL_HEIGHT, SMALL_WIDTH, shrink
from models.checkpoint import EIGHT_BITS
from models.clock import CHUNK_FRAMES
from models.closer import Closer, Whereabouts
from models.crops import Found
from models.features import HandEncoder
from models.following import PARTS, Boxes
from models.layout import GEOMETRY, HAND, MANUAL, MOUTH
from models.lips import MouthEncoder
from models.locate import Locator, PeakLocator

Frames = NDArray[np.uint8]
Chunks = Frames | Mapping[int, Sequence[Frames]]
Places = NDArray[np.float64]
"""Where a slot's signer is, what sight goes on from in the next chunk: (PARTS, 9), see `models/following.py`."""


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
    tracked: Mapping[int, Places]
    took_ms: float

    def shows_someone(self, row: int) -> bool:
        """Whether there is anybody in a row's chunk who could be translated: a face, or a hand."""
        return bool((self.hands[row] | self.faces[row]).any())

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
    """What the backend made of the locator (its peaks), the hand and the mouth encoder, and of the trunk of the closer look,
    if there is one."""

    find: Network
    hand: Network
    mouth: Network
    closer: Network | None


class Sight:
    """The eyes of all slots: one locator, one encoder of hands, one of mouths, and each slot's smoothed boxes."""

    def __init__(
        self, locator: Locator, hand: HandEncoder, mouth: MouthEncoder, slots: int, backend: Backend | None = None,
        folder: Path | None = None, closer: Closer | None = None,
    ) -> None:  # fmt: skip
        """`folder` is the checkpoint's, where the networks may lie in eight bits too; without `closer` all hands are looked at
        once."""
        backend = backend or Backend("torch")
        self.backend, self.slots = backend, slots
        self.lanes = backend.threads if backend.chosen == "openvino" else 1
        """How many threads may encode at once, for different rows."""
        self._boxes, self._limits = locator.boxes, locator.config.limits

        def small(name: str) -> Path | None:
            return folder / f"{name}{EIGHT_BITS}" if folder else None

        self.networks = PictureNetworks(
            backend.network(
                PeakLocator(locator),
                np.zeros((1, SMALL_HEIGHT, SMALL_WIDTH, 3), np.uint8),
                small("locate"),
                measures=True,
            ),
            backend.network(hand, np.zeros((1, crops.HAND_SIDE, crops.HAND_SIDE, 3), np.uint8), small("hand_encoder")),
            backend.network(mouth, np.zeros((1, crops.MOUTH_SIDE, crops.MOUTH_SIDE), np.uint8), small("mouth_encoder")),
            closer and closer.looking(backend),
        )
        self._closer, self.finer_px = closer, closer.config.side_px if closer else 0
        self.places = following.nowhere(slots)
        self.frames_encoded = 0

    def reset(self, slot: int) -> None:
        """Forgets where the slot's signer was."""
        self.places[slot] = 0

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
        tracked = {row: self.places[row].copy() for row in rows}
        features = torch.from_numpy(seen.manual), torch.from_numpy(seen.mouth)
        return Seen(*features, seen.hands, seen.faces, seen.frozen, tracked, (time.perf_counter() - begun_s) * 1e3)

    def _encode_rows(self, frames: Chunks, small: Chunks | None, rows: list[int], seen: Arrays) -> None:
        """The rows' pictures, each network once for all of them."""
        shrunk = [shrink(frame) for frame in _each(frames, rows)] if small is None else _each(small, rows)
        pictures = np.stack(shrunk)
        seen.frozen[rows] = [_is_frozen(chunk) for chunk in pictures.reshape(len(rows), CHUNK_FRAMES, -1)]
        boxes = self._follow(self.networks.find(pictures), rows, seen)
        self._encode_pieces(_each(frames, rows), boxes, rows, seen)

    def _follow(self, peaks: NDArray[np.float32], rows: list[int], seen: Arrays) -> NDArray[np.float64]:
        """The smoothed boxes (N, PARTS, 4) of the rows' frames."""
        shape = (len(rows), CHUNK_FRAMES, len(PARTS), 4)
        boxes, channels = np.empty(shape), np.zeros((*shape[:2], GEOMETRY), np.float32)
        following.follow(peaks.reshape(shape), self._limits, np.array(rows), self.places, boxes, channels)
        there = boxes[..., following.THERE] > 0
        seen.hands[rows] = there[..., : following.FACE].any(-1)
        seen.faces[rows] = there[..., following.FACE]
        seen.manual[rows, :, 2 * HAND :] = channels
        return boxes.reshape(-1, *shape[2:])

    def _encode_pieces(self, frames: list[Frames], boxes: NDArray[np.float64], rows: list[int], seen: Arrays) -> None:
        """Cuts hands and mouths out of the rows' frames; each feature goes where its piece was."""
        there = boxes[:, :, following.THERE] > 0
        hands, mouths = (
            _found(boxes, there, slice(0, following.FACE)),
            _found(boxes, there, slice(following.MOUTH, None)),
        )
        cut_hands, cut_mouths = crops.cut(frames, hands, mouths)
        embedded, (slots, steps) = self.networks.hand(cut_hands), _places(hands, rows)
        if self._closer is not None:
            told = Whereabouts(seen.manual[slots, steps, 2 * HAND :], hands.left, slots, steps)
            self._closer.look(embedded, told, lambda chosen: self._see_closer(frames, hands.some(chosen)))
        for start, own in ((0, ~hands.left), (HAND, hands.left)):
            seen.manual[slots[own], steps[own], start : start + HAND] = embedded[own]
        seen.mouth[_places(mouths, rows)] = self.networks.mouth(cut_mouths)

    def _see_closer(self, frames: list[Frames], hands: Found) -> NDArray[np.float32]:
        """What the trunk of the closer look sees of these hands."""
        assert self.networks.closer is not None, "a closer look needs its trunk"
        return self.networks.closer(crops.cut_finer(frames, hands, self.finer_px))


def _found(boxes: NDArray[np.float64], there: NDArray[np.bool_], parts: slice) -> Found:
    """What of these parts is there in boxes (N, PARTS, 4), frame by frame."""
    frames, part = np.nonzero(there[:, parts])
    return Found(frames, boxes[:, parts][frames, part, following.X :], part == following.LEFT)


def _places(found: Found, rows: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and steps of their frames."""
    return np.array(rows)[found.canvas // CHUNK_FRAMES], found.canvas % CHUNK_FRAMES


def _is_frozen(pictures: Frames) -> bool:
    """Whether pictures (C, bytes) are all one; nearly always the first two say that they are not."""
    return all(np.array_equal(pictures[0], picture) for picture in pictures[1:])


def _each(frames: Chunks, rows: list[int]) -> list[Frames]:
    return [frame for row in rows for frame in frames[row]]
