"""Letterboxing keeps the whole picture undistorted, and boxes find their way back."""

import cv2
import numpy as np
import pytest

from models.canvas import letterbox, rgb_of, shrink
from models.clock import HEIGHT, WIDTH


@pytest.mark.parametrize("size", [(1280, 720), (480, 640), (320, 240), (1080, 1920), (641, 479), (7, 300)])
def test_the_picture_lies_whole_in_the_middle(size: tuple[int, int]) -> None:
    width, height = size
    canvas, place = letterbox(np.full((height, width, 3), 200, np.uint8))
    assert canvas.shape == (HEIGHT, WIDTH, 3)
    rows, columns = np.nonzero(canvas[..., 0])
    assert (columns.min(), rows.min()) == (place.left, place.top)
    inner_width, inner_height = columns.max() - columns.min() + 1, rows.max() - rows.min() + 1
    assert inner_width == WIDTH or inner_height == HEIGHT
    scale = min(WIDTH / width, HEIGHT / height)
    assert (inner_width, inner_height) == pytest.approx((width * scale, height * scale), abs=1)
    assert abs((WIDTH - inner_width) - 2 * place.left) <= 2
    assert all(side % 2 == 0 for side in (inner_width, inner_height, place.left, place.top))


@pytest.mark.parametrize("size", [(1280, 720), (480, 640), (640, 480), (333, 777)])
def test_boxes_go_there_and_back(size: tuple[int, int]) -> None:
    _, place = letterbox(np.zeros((size[1], size[0], 3), np.uint8))
    box = (0.3, 0.7, 0.2)
    assert place.to_picture(place.to_canvas(box)) == pytest.approx(box)


def test_a_box_stays_on_what_it_marks() -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[300:400, 900:1000] = 255
    canvas, place = letterbox(frame)
    x, y, side = place.to_canvas((950 / 1280, 350 / 720, 100 / 720))
    rows, columns = np.nonzero(canvas[..., 0] > 127)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((x * WIDTH, y * HEIGHT), abs=0.6)
    assert np.ptp(rows) + 1 == pytest.approx(side * HEIGHT, abs=1)


def test_a_frame_of_the_right_size_is_not_copied() -> None:
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert letterbox(frame)[0] is frame


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_rgb_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected an RGB frame"):
        letterbox(frame)


def i420(softness: int, spread: int) -> np.ndarray:
    """A canvas of random patches (of `softness` pixels) within what RGB can show."""
    rng = np.random.default_rng(softness)

    def plane(width: int, height: int, middle: int) -> np.ndarray:
        patches = rng.integers(middle - spread, middle + spread, (height // softness, width // softness), np.uint8)
        return cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR)

    parts = plane(WIDTH, HEIGHT, 126), plane(WIDTH // 2, HEIGHT // 2, 128), plane(WIDTH // 2, HEIGHT // 2, 128)
    return np.concatenate([part.ravel() for part in parts]).reshape(HEIGHT * 3 // 2, WIDTH)


@pytest.mark.parametrize("softness", [1, 4, 40])
def test_the_small_picture_of_the_planes_is_that_of_their_rgb(softness: int) -> None:
    """A mean is linear and so is the matrix: what differs is rounding, of U and V twice as much."""
    canvas = i420(softness, spread=30)
    error = shrink(canvas).astype(int) - shrink(cv2.cvtColor(canvas, cv2.COLOR_YUV2RGB_I420))
    assert np.abs(error).max() <= 3 and abs(error.mean()) < 0.5


def test_the_small_picture_is_written_where_one_wants_it() -> None:
    canvas, into = i420(4, 30), np.zeros((120, 160, 3), np.uint8)
    assert shrink(canvas, into=into) is into
    np.testing.assert_array_equal(into, shrink(canvas))


def test_the_matrix_is_bt_601_in_limited_range() -> None:
    """ITU-R BT.601-7: the bars of black, white and the primaries."""
    bars = {(16, 128, 128): (0, 0, 0), (235, 128, 128): (255, 255, 255), (81, 90, 240): (255, 0, 0),
            (145, 54, 34): (0, 255, 0), (41, 240, 110): (0, 0, 255)}  # fmt: skip
    y, u, v = np.array(list(bars), np.uint8).T.reshape(3, 1, -1)
    np.testing.assert_allclose(rgb_of((y, u, v))[0], list(bars.values()), atol=2)
