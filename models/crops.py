"""From boxes to what the encoders see: square crops of hands and mouth, and the geometry channels of one step.

Boxes are `(centre_x / width, centre_y / height, side / height)` of the canvas; keys are the signer's own sides. A canvas
may come in either form of `models/canvas.py`; crops are the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.canvas import BLACK, RANGE_Y, TO_RGB
from models.clock import HEIGHT, WIDTH
from models.cutting import cut_all, cut_hands, cut_mouth
from models.following import Box, measure, rows_of
from models.layout import GEOMETRY

HAND_SIDE, HAND_ENLARGE = 64, 1.25
MOUTH_SIDE, MOUTH_ENLARGE = 40, 1.2
HANDS = ("right_hand", "left_hand")

Pixels = NDArray[np.uint8]


class Found(NamedTuple):
    """Hands or mouths: the numbers of their canvases (N,), their boxes (N, 3), whether they are left hands (N,)."""

    canvas: NDArray[np.intp]
    boxes: NDArray[np.float64]
    left: NDArray[np.bool_]

    def some(self, rows: NDArray[np.intp]) -> Found:
        """Those of these rows."""
        return Found(self.canvas[rows], self.boxes[rows], self.left[rows])


def crop(pixels: Pixels, box: Box, size: int, enlarge: float) -> Pixels:
    """The square of `box` enlarged, of an RGB or grey picture, resampled to (size, size[, 3]); outside of the picture its
    edge repeats."""
    height, width = pixels.shape[:2]
    left, top, side = _square(box, width, height, enlarge)
    x0, x1 = _inside(left, left + side, width)
    y0, y1 = _inside(top, top + side, height)
    piece = pixels[y0:y1, x0:x1]
    if piece.shape[:2] != (side, side):
        around = (max(0, y0 - top), max(0, top + side - y1), max(0, x0 - left), max(0, left + side - x1))
        padded = cv2.copyMakeBorder(piece, *around, cv2.BORDER_REPLICATE)
        piece = np.asarray(padded[:side, :side], np.uint8)
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(piece, (size, size), interpolation=way), np.uint8)


def _square(box: Box, width: int, height: int, enlarge: float) -> tuple[int, int, int]:
    """Left, top and side in whole pixels."""
    side = max(2, round(box[2] * height * enlarge))
    return round(box[0] * width - side / 2), round(box[1] * height - side / 2), side


def _inside(start: int, stop: int, limit: int) -> tuple[int, int]:
    """The part of start..stop within 0..limit, at least one pixel."""
    first = min(max(start, 0), limit - 1)
    return first, max(first + 1, min(stop, limit))


def hand(canvas: Pixels, box: Box, *, left: bool) -> Pixels:
    """(64, 64, 3) RGB; left hands are mirrored, so that every hand looks like a right one."""
    into = np.empty((1, HAND_SIDE, HAND_SIDE, 3), np.uint8)
    hands(canvas, [(box, left)], into)
    return np.asarray(into[0])


def hands(canvas: Pixels, found: Sequence[tuple[Box, bool]], into: Pixels) -> None:
    """`hand` of each box and whether it is a left one, `into` (N, S, S, 3), S pixels a side."""
    if canvas.ndim == 3:
        for place, (box, left) in zip(into, found, strict=True):
            cut = crop(canvas, box, into.shape[1], HAND_ENLARGE)
            place[:] = cut[:, ::-1] if left else cut
    else:
        squares = np.array([_square(box, WIDTH, HEIGHT, HAND_ENLARGE) for box, _ in found], np.int64)
        cut_hands(canvas, squares.reshape(-1, 3), np.array([left for _, left in found], np.bool_), TO_RGB, into)


def cut(canvases: Sequence[Pixels], hands_found: Found, mouths_found: Found) -> tuple[Pixels, Pixels]:
    """`hand` (N, 64, 64, 3) and `mouth` (N, 40, 40) of what was found; one call for all of it, where the canvases are I420."""
    hands_cut = np.empty((len(hands_found.canvas), HAND_SIDE, HAND_SIDE, 3), np.uint8)
    mouths_cut = np.empty((len(mouths_found.canvas), MOUTH_SIDE, MOUTH_SIDE), np.uint8)
    if canvases[0].ndim == 3:
        for place, number, box, left in zip(hands_cut, *hands_found, strict=True):
            hands(canvases[number], [(tuple(box), left)], place[None])
        for place, number, box, _ in zip(mouths_cut, *mouths_found, strict=True):
            mouth(canvases[number], tuple(box), place)
        return hands_cut, mouths_cut
    assert all(canvas.shape == canvases[0].shape and canvas.flags.c_contiguous for canvas in canvases), "no canvases"
    cut_all(
        np.array([canvas.__array_interface__["data"][0] for canvas in canvases], np.int64), canvases[0].shape,
        (hands_found.canvas, _squares(hands_found.boxes, HAND_ENLARGE), hands_found.left, hands_cut),
        (mouths_found.canvas, _squares(mouths_found.boxes, MOUTH_ENLARGE), mouths_cut),
        (TO_RGB, float(BLACK[0]), 1 / RANGE_Y),
    )  # fmt: skip
    return hands_cut, mouths_cut


def cut_finer(canvases: Sequence[Pixels], found: Found, side: int) -> Pixels:
    """What `hand` cuts, with `side` pixels a side: (N, side, side, 3)."""
    pieces = np.empty((len(found.canvas), side, side, 3), np.uint8)
    for number in np.unique(found.canvas):
        own = np.flatnonzero(found.canvas == number)
        into = np.empty((len(own), side, side, 3), np.uint8)
        hands(canvases[number], [(tuple(found.boxes[at]), bool(found.left[at])) for at in own], into)
        pieces[own] = into
    return pieces


def warm_up(canvas: Pixels) -> None:
    """Compiles `cut`, or loads what was compiled before."""
    found = Found(np.zeros(1, np.intp), np.array([(0.5, 0.5, 0.2)]), np.zeros(1, np.bool_))
    cut([canvas], found, found)


def _squares(boxes: NDArray[np.float64], enlarge: float) -> NDArray[np.int64]:
    """Their squares (N, 3), each as `_square` does it."""
    sides = np.maximum(2, np.rint(boxes[:, 2] * HEIGHT * enlarge))
    lefts, tops = np.rint(boxes[:, 0] * WIDTH - sides / 2), np.rint(boxes[:, 1] * HEIGHT - sides / 2)
    return np.stack((lefts, tops, sides), 1).astype(np.int64)


def mouth(canvas: Pixels, box: Box, into: Pixels | None = None) -> Pixels:
    """(40, 40) grey; `into` an array if given."""
    into = np.empty((MOUTH_SIDE, MOUTH_SIDE), np.uint8) if into is None else into
    if canvas.ndim == 3:
        into[:] = cv2.cvtColor(crop(canvas, box, MOUTH_SIDE, MOUTH_ENLARGE), cv2.COLOR_RGB2GRAY)
    else:
        cut_mouth(canvas, _square(box, WIDTH, HEIGHT, MOUTH_ENLARGE), BLACK[0], 1 / RANGE_Y, into)
    return into


def geometry(boxes: Mapping[str, Box | None], previous: Mapping[str, Box | None] | None) -> NDArray[np.float32]:
    """Channels (24,) of one step, lengths in face sides, x rightwards in the picture, y downwards:

    0-5 right hand seen, x and y from the face's centre, log side, dx and dy since the step before; 6-11 left hand;
    12-14 right minus left hand x, y, length; 15-17 right hand minus mouth, 18-20 left hand minus mouth;
    21 face seen, 22 mouth seen, 23 face side / picture height. What is not seen is 0.
    """
    channels = np.zeros(GEOMETRY, np.float32)
    measure(rows_of(boxes), rows_of(previous or {}), channels)
    return channels
