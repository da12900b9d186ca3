"""Any picture onto the fixed canvas, whole and undistorted, and boxes on the canvas back onto the picture."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.clock import HEIGHT, WIDTH

SMALL_WIDTH, SMALL_HEIGHT = 160, 120  # the canvas as the locator sees it
Pixels = NDArray[np.uint8]
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
    """The largest place on the canvas for a picture, in its middle."""
    scale = min(WIDTH / width, HEIGHT / height)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (WIDTH - inner_width) // 2, (HEIGHT - inner_height) // 2
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
    inner_width, inner_height = round(width * place.scale_x), round(height * place.scale_y)
    shrinks = place.scale_x < 1
    resized = cv2.resize(
        frame, (inner_width, inner_height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    canvas[place.top : place.top + inner_height, place.left : place.left + inner_width] = resized
    return canvas, place


def shrink(frame: Pixels, into: Pixels | None = None) -> Pixels:
    """A canvas (480, 640, 3) -> (120, 160, 3), each pixel the mean of those it covers; written `into` an array if given."""
    if frame.shape[:2] == (4 * SMALL_HEIGHT, 4 * SMALL_WIDTH):  # halving twice is four times as fast
        frame = np.asarray(cv2.resize(frame, (2 * SMALL_WIDTH, 2 * SMALL_HEIGHT), interpolation=cv2.INTER_AREA))
    small = cv2.resize(frame, (SMALL_WIDTH, SMALL_HEIGHT), dst=into, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
