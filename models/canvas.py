"""Any picture onto the fixed canvas, whole and undistorted, and boxes on the canvas back onto the picture.

A canvas is uint8, in one of two forms. RGB (480, 640, 3) is what recipes and evaluation read. I420 (720, 640) is what
decoders give and live streams keep, in half the bytes: the planes Y (480, 640), U and V (240, 320) one after another, in
the limited range and with the matrix of BT.601.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.clock import HEIGHT, WIDTH

SMALL_WIDTH, SMALL_HEIGHT = 160, 120  # the canvas as the locator sees it
I420_ROWS = HEIGHT * 3 // 2
BLACK = (16, 128, 128)  # Y, U, V
RANGE_Y, RANGE_UV = 219 / 255, 224 / 255  # of full range
KR, KB = 0.299, 0.114  # what red and blue weigh in BT.601's Y
Pixels = NDArray[np.uint8]
Planes = tuple[Pixels, Pixels, Pixels]
Box = tuple[float, float, float]  # centre_x / width, centre_y / height, side / height


@dataclass(frozen=True)
class Placement:
    """Where a picture of `width` x `height` lies on the canvas: upper left corner and scale, in canvas pixels."""

    width: int
    height: int
    left: int
    top: int
    scale_x: float
    scale_y: float

    @property
    def inner(self) -> tuple[int, int]:
        """The picture's width and height on the canvas."""
        return round(self.width * self.scale_x), round(self.height * self.scale_y)

    def to_picture(self, box: Box) -> Box:
        """A box on the canvas, as a box of the picture."""
        x, y, side = box
        return (
            (x * WIDTH - self.left) / self.scale_x / self.width,
            (y * HEIGHT - self.top) / self.scale_y / self.height,
            side * HEIGHT / self.scale_y / self.height,
        )

    def to_canvas(self, box: Box) -> Box:
        """A box of the picture, as a box on the canvas."""
        x, y, side = box
        return (
            (x * self.width * self.scale_x + self.left) / WIDTH,
            (y * self.height * self.scale_y + self.top) / HEIGHT,
            side * self.height * self.scale_y / HEIGHT,
        )


def placement(width: int, height: int) -> Placement:
    """The largest place on the canvas for a picture, in its middle; all even, since U and V have half the pixels."""
    scale = min(WIDTH / width, HEIGHT / height)
    inner_width, inner_height = 2 * max(1, round(width * scale / 2)), 2 * max(1, round(height * scale / 2))
    left, top = (WIDTH - inner_width) // 4 * 2, (HEIGHT - inner_height) // 4 * 2
    return Placement(width, height, left, top, inner_width / width, inner_height / height)


def letterbox(frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Placement]:
    """Lay an RGB frame (height, width, 3) on a black canvas (480, 640, 3); a frame of that size is returned itself."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise ValueError(
            f"expected an RGB frame, uint8 (height, width, 3), but got {frame.dtype} {frame.shape}: convert it first"
        )
    height, width = frame.shape[:2]
    place = placement(width, height)
    if (width, height) == (WIDTH, HEIGHT):
        return frame, place
    inner_width, inner_height = place.inner
    shrinks = place.scale_x < 1
    resized = cv2.resize(
        frame, (inner_width, inner_height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    canvas[place.top : place.top + inner_height, place.left : place.left + inner_width] = resized
    return canvas, place


def planes(canvas: Pixels) -> Planes:
    """Y, U and V of an I420 canvas, where they lie."""
    chroma = canvas[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    return canvas[:HEIGHT], chroma[0], chroma[1]


def rgb_of(same_size: Planes) -> Pixels:
    """Y, U and V of one size as RGB, by the matrix of BT.601 (ITU-R BT.601-7, 2.5)."""
    return np.asarray(cv2.transform(cv2.merge(same_size), TO_RGB), np.uint8)


def _to_rgb() -> NDArray[np.float32]:
    """(3, 4): Y, U, V and 1 -> R, G, B."""
    green = 1 - KR - KB
    red_v, blue_u = 2 * (1 - KR) / RANGE_UV, 2 * (1 - KB) / RANGE_UV
    mixed = np.array([[1 / RANGE_Y, 0, red_v], [1 / RANGE_Y, -KB / green * blue_u, -KR / green * red_v],
                      [1 / RANGE_Y, blue_u, 0]])  # fmt: skip
    return np.column_stack((mixed, -mixed @ BLACK)).astype(np.float32)


TO_RGB = _to_rgb()
"""Y, U, V and 1 -> R, G, B: (3, 4)."""


def shrink(canvas: Pixels, into: Pixels | None = None) -> Pixels:
    """A canvas, RGB or I420, -> RGB (120, 160, 3), each pixel the mean of those it covers; `into` an array if given."""
    if canvas.ndim == 3:
        small = _small(canvas)
    else:
        y, u, v = planes(canvas)
        small = rgb_of((_small(y), _small(u), _small(v)))
    if into is None:
        return small
    into[...] = small
    return into


def _small(pixels: Pixels) -> Pixels:
    if pixels.shape[:2] == (4 * SMALL_HEIGHT, 4 * SMALL_WIDTH):  # halving twice is four times as fast
        pixels = np.asarray(cv2.resize(pixels, (2 * SMALL_WIDTH, 2 * SMALL_HEIGHT), interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.resize(pixels, (SMALL_WIDTH, SMALL_HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
