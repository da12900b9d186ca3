"""Decoded pictures -> I420 on the canvas: planes are copied where they fit, else converted by one call of swscale.

What a canvas holds is said in `models/canvas.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from app.frames import Frame
from models.canvas import BLACK, KB, KR, Placement, placement, planes
from models.clock import WIDTH

OTHER_MATRICES = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
"""AVColorSpace -> what red and blue weigh in Y, where that is not as in BT.601: BT.709, SMPTE 240M, BT.2020 (ITU-T H.273,
table 4). Pictures that do not say theirs are taken for BT.601."""


class PlaneWriter:
    """Draws the pictures of one stream; swscale is set up once, which takes longer than to use it."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def draw(self, frame: Any, canvas: Frame) -> None:
        """The libav picture `frame` on an I420 canvas (720, 640): whole, upright, undistorted, each byte written once."""
        turns = round(frame.rotation / 90) % 4
        place = placement(*_turned((frame.width, frame.height), turns))
        fitting = self._fitting(frame, _turned(place.inner, turns))
        parts = _in_601([_pixels(plane) for plane in fitting.planes], frame.colorspace)
        for target, part, black in zip(planes(canvas), parts, BLACK, strict=True):
            _lay(target, np.rot90(part, turns) if turns else part, place, black)

    def _fitting(self, frame: Any, size: tuple[int, int]) -> Any:
        """yuv420p of that size and limited range, its matrix unchanged; the frame itself where that is what it is."""
        matrix = None if frame.colorspace in OTHER_MATRICES else Colorspace.ITU601
        return self._reformatter.reformat(
            frame, *size, format="yuv420p", src_colorspace=matrix, dst_colorspace=matrix, threads=1,
            src_color_range=frame.color_range or ColorRange.MPEG, dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.AREA if size[0] < frame.width else Interpolation.BILINEAR,
        )  # fmt: skip


def _turned(size: tuple[int, int], turns: int) -> tuple[int, int]:
    return (size[1], size[0]) if turns % 2 else size


def _pixels(plane: Any) -> Frame:
    """A plane without the padding at its lines' ends; libav may keep lines from the last to the first."""
    line = plane.line_size
    lines = np.frombuffer(plane, np.uint8).reshape(plane.height, abs(line))[:, : plane.width]
    return lines if line > 0 else lines[::-1]


def _in_601(parts: list[Frame], colourspace: int) -> list[Frame]:
    """Y, U and V as the matrix of BT.601 would have made them, by arithmetic on planes: swscale would go by RGB."""
    if colourspace not in OTHER_MATRICES:
        return parts
    y, u, v = parts
    shift, new_u, new_v = (_mixed(u, v, *weights) for weights in _changes(*OTHER_MATRICES[colourspace]))
    shift = np.asarray(cv2.resize(shift, (y.shape[1], y.shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8)
    return [np.asarray(cv2.addWeighted(y, 1, shift, 1, -128), np.uint8), new_u, new_v]


def _mixed(u: Frame, v: Frame, of_u: float, of_v: float) -> Frame:
    """What U and V, counted from 128, add up to, counted from 128."""
    return np.asarray(cv2.addWeighted(u, of_u, v, of_v, 128 * (1 - of_u - of_v)), np.uint8)


@cache
def _changes(kr: float, kb: float) -> tuple[tuple[float, float], ...]:
    """How much of U and V by those weights goes into Y, U and V of BT.601; of Y, all goes into Y."""
    both = _of_rgb(KR, KB) @ np.linalg.inv(_of_rgb(kr, kb))
    return tuple((float(of_u), float(of_v)) for _, of_u, of_v in both)


def _of_rgb(kr: float, kb: float) -> NDArray[np.float64]:
    """(3, 3): R, G, B -> Y, U, V in limited range (ITU-T H.273, 8.3)."""
    y, red, blue = np.array((kr, 1 - kr - kb, kb)), np.array((1, 0, 0)), np.array((0, 0, 1))
    return np.stack((219 * y, 224 * (blue - y) / (2 - 2 * kb), 224 * (red - y) / (2 - 2 * kr))) / 255


def _lay(target: Frame, part: Frame, place: Placement, black: int) -> None:
    """A plane in its place, black around it."""
    scale = WIDTH // target.shape[1]
    left, top, (height, width) = place.left // scale, place.top // scale, part.shape
    target[:top], target[top + height :] = black, black
    target[top : top + height, :left], target[top : top + height, left + width :] = black, black
    target[top : top + height, left : left + width] = part
