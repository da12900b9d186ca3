"""Letterboxing keeps the whole picture undistorted, and boxes find their way back."""

import numpy as np
import pytest

from models.canvas import letterbox
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
    assert inner_width / inner_height == pytest.approx(width / height, rel=0.05)
    assert abs((WIDTH - inner_width) - 2 * place.left) <= 1


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
