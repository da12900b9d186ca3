"""Squares of an I420 canvas as small pictures, in one pass without the interpreter.

Three libraries' calls for every plane of every hand took a sixth of the worker's time, and each call had to win the interpreter's
lock back from the other threads. Compiled, a frame's crops are one call that holds no lock.

A plane is resampled as `cv2.resize` does it: by the mean of what an output pixel covers where it shrinks (INTER_AREA), between
the two nearest pixels where it grows (INTER_LINEAR); outside of the plane its edge repeats. U and V are taken where the
square lies on them, to a quarter of their pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from models.kept import kept

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_ROUNDING = np.float32(0.5)


def _bytes_at(typing: Any, address: Any) -> Any:
    """A number as the address of bytes: how numba types it and what it writes."""
    pointer: Any = types.CPointer

    def written(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return pointer(types.uint8)(address), written


_pixels_at: Any = intrinsic(_bytes_at)


@kept
def cut_all(addresses: NDArray[np.int64], shape: tuple[int, int], hands: Any, mouths: Any, looks: Any) -> int:
    """Hands and mouths of many canvases (each of `shape`, contiguous), which lie at `addresses`, in one call.

    `hands` are (numbers of the canvases (N,), squares (N, 3), mirrored (N,), into (N, size, size, 3)), `mouths` the same
    without `mirrored`; `looks` is (`to_rgb`, `darkest`, `contrast`) of `cut_hands` and `cut_mouth`. What is returned says
    nothing, see `_fetched`.
    """
    to_rgb, darkest, contrast = looks
    fetched = 0
    canvases, squares, mirrored, into = hands
    for number in range(len(canvases)):
        canvas = carray(_pixels_at(addresses[canvases[number]]), shape)
        fetched += cut_hands(
            canvas, squares[number : number + 1], mirrored[number : number + 1], to_rgb, into[number : number + 1]
        )
    lips, of_lips, grey = mouths
    for number in range(len(lips)):
        canvas = carray(_pixels_at(addresses[lips[number]]), shape)
        left, top, side = of_lips[number]
        fetched += cut_mouth(canvas, (left, top, side), darkest, contrast, grey[number])
    return fetched


@kept
def cut_hands(
    canvas: Pixels, squares: NDArray[np.int64], mirrored: NDArray[np.bool_], to_rgb: Floats, into: Pixels
) -> int:
    """Squares (N, 3) of an I420 canvas, each left, top, side in whole pixels of Y, -> RGB `into` (N, size, size, 3) by the
    matrix `to_rgb` (3, 4). What is returned says nothing, see `_fetched`."""
    size, height, width = into.shape[1], canvas.shape[0] // 3 * 2, canvas.shape[1]
    chroma = canvas[height:].reshape(2, height // 2, width // 2)
    planes = np.empty((3, size, size), np.float32)
    y, u, v = planes[0], planes[1], planes[2]
    fetched = 0
    for number in range(len(squares)):
        left, top, side = squares[number]
        fetched += _fetched(canvas[:height], left, top, side) + _fetched(chroma[0], left // 2, top // 2, side // 2)
        fetched += _fetched(chroma[1], left // 2, top // 2, side // 2)
        _resample(canvas[:height], np.float32(left), np.float32(top), np.float32(side), y)
        half = np.float32(side) / 2
        _resample(chroma[0], np.float32(left) / 2, np.float32(top) / 2, half, u)
        _resample(chroma[1], np.float32(left) / 2, np.float32(top) / 2, half, v)
        _colour(y, u, v, mirrored[number], to_rgb, into[number])
    return fetched


@kept
def cut_mouth(canvas: Pixels, square: tuple[int, int, int], darkest: float, contrast: float, into: Pixels) -> int:
    """One square of Y as grey in full range, what the RGB picture's 0.299 R + 0.587 G + 0.114 B is, `into` (size, size);
    `darkest` is black's Y, `contrast` what a level of Y is worth. What is returned says nothing, see `_fetched`."""
    size, height = into.shape[0], canvas.shape[0] // 3 * 2
    y = np.empty((size, size), np.float32)
    left, top, side = square
    fetched: int = _fetched(canvas[:height], left, top, side)
    _resample(canvas[:height], np.float32(left), np.float32(top), np.float32(side), y)
    for row in range(size):
        for column in range(size):
            value = (y[column, row] - np.float32(darkest)) * np.float32(contrast) + _ROUNDING
            into[row, column] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
    return fetched


@kept
def _colour(y: Floats, u: Floats, v: Floats, mirrored: bool, to_rgb: Floats, into: Pixels) -> None:
    """Planes, column by column, -> RGB row by row."""
    size = len(y)
    planes = np.empty((3, size, size), np.uint8)
    for channel in range(3):
        of_y, of_u, of_v, plus = to_rgb[channel]
        for column in range(size):
            own_y, own_u, own_v, goal = y[column], u[column], v[column], planes[channel, column]
            for row in range(size):
                value = of_y * own_y[row] + of_u * own_u[row] + of_v * own_v[row] + plus + _ROUNDING
                goal[row] = np.uint8(np.int32(min(max(value, np.float32(0)), np.float32(255))))
    for column in range(size):
        at = size - 1 - column if mirrored else column
        for row in range(size):
            for channel in range(3):
                into[row, at, channel] = planes[channel, column, row]


@kept
def _resample(plane: Pixels, left: float, top: float, side: float, into: Floats) -> None:
    """The square of a plane -> (size, size), column by column: in both passes whole lines are added up."""
    size = len(into)
    first_row, down = _taps(top, side, size)
    first_column, across = _taps(left, side, size)
    start = first_column[0]
    columns = first_column[-1] + across.shape[1] - start
    middle = np.empty((size, columns), np.float32)
    if start >= 0 and start + columns <= plane.shape[1]:
        _weighed_pixels(plane[:, start : start + columns], first_row, down, middle)
    else:
        rows = first_row[-1] + down.shape[1] - first_row[0]
        tile = np.empty((rows, columns), np.float32)
        for row in range(rows):
            _copy_line(plane[min(max(first_row[0] + row, 0), plane.shape[0] - 1)], start, tile[row])
        _weighed(tile, first_row - first_row[0], down, middle)
    _weighed(np.ascontiguousarray(middle.T), first_column - start, across, into)


@kept
def _weighed_pixels(lines: Pixels, first: NDArray[np.int64], weights: Floats, into: Floats) -> None:
    """`_weighed` of pixels as they lie; above and below of them the edge repeats."""
    last = len(lines) - 1
    for out in range(len(into)):
        total, start = into[out], first[out]
        upper, lower = lines[min(max(start, 0), last)], lines[min(max(start + 1, 0), last)]
        for column in range(len(total)):
            total[column] = weights[out, 0] * np.float32(upper[column]) + weights[out, 1] * np.float32(lower[column])
        for tap in range(2, weights.shape[1]):
            weight, line = weights[out, tap], lines[min(max(start + tap, 0), last)]
            for column in range(len(total)):
                total[column] += weight * np.float32(line[column])


@kept
def _fetched(plane: Pixels, left: int, top: int, side: int) -> int:
    """Has the square's lines fetched from memory, all of them at once: the passes over it would wait for one after the other.
    The sum of a pixel of every 64, which must be returned to the interpreter, or the compiler would leave it out."""
    total, width = 0, plane.shape[1]
    first, last = min(max(left, 0), width - 1), min(max(left + side, 0), width - 1)
    for row in range(max(top, 0), min(top + side + 1, len(plane))):
        for column in range(first, last, 64):
            total += plane[row, column]
        total += plane[row, last]
    return total


@kept
def _copy_line(source: Pixels, start: int, into: Floats) -> None:
    """`into` from column `start` on, which may lie outside: there the edge repeats."""
    before = min(max(-start, 0), len(into))
    after = min(max(start + len(into) - len(source), 0), len(into))
    into[:before], into[len(into) - after :] = source[0], source[-1]
    middle = into[before : len(into) - after]
    pixels = source[start + before : start + before + len(middle)]
    for column in range(len(middle)):
        middle[column] = pixels[column]


@kept
def _weighed(lines: Floats, first: NDArray[np.int64], weights: Floats, into: Floats) -> None:
    """Every line of `into` as the weighed sum of lines from its `first` on, two at least."""
    for out in range(len(into)):
        total, start = into[out], first[out]
        upper, lower = lines[start], lines[start + 1]
        for column in range(len(total)):
            total[column] = weights[out, 0] * upper[column] + weights[out, 1] * lower[column]
        for tap in range(2, weights.shape[1]):
            weight, line = weights[out, tap], lines[start + tap]
            for column in range(len(total)):
                total[column] += weight * line[column]


@kept
def _taps(begin: float, length: float, size: int) -> tuple[NDArray[np.int64], Floats]:
    """Of every output pixel the first source pixel (may lie outside) and the weights from there on (size, taps), sum 1."""
    scale = length / size
    taps = int(np.ceil(scale)) + 1 if scale > 1 else 2
    first, weights = np.empty(size, np.int64), np.zeros((size, taps), np.float32)
    for out in range(size):
        if scale > 1:
            start, stop = begin + out * scale, begin + (out + 1) * scale
            first[out] = int(np.floor(start))
            for tap in range(taps):
                pixel = first[out] + tap
                weights[out, tap] = max(0.0, min(stop, pixel + 1.0) - max(start, float(pixel))) / scale
        else:
            lowest, highest = begin, begin + length - 1  # centres of the square's own first and last pixel
            at = min(max(begin + (out + 0.5) * scale - 0.5, lowest), max(lowest, highest))
            first[out] = int(np.floor(at))
            weights[out, 1] = at - first[out]
            weights[out, 0] = 1 - weights[out, 1]
    return first, weights
