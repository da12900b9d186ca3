"""Crops and geometry: the right pixels, at the picture's edge too, and channels that mean what they say."""

import cv2
import numpy as np
import pytest

from models import crops
from models.layout import GEOMETRY

FACE = (0.5, 0.4, 0.2)


def _frame() -> np.ndarray:
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[200:280, 300:380, 0] = 200
    return frame


def test_crop_is_the_enlarged_square_of_the_box() -> None:
    box = (340 / 640, 240 / 480, 80 / 480)
    tight = crops.crop(_frame(), box, 64, 1.0)
    assert (tight[:, :, 0] == 200).all()
    wide = crops.crop(_frame(), box, 64, 2.0)
    assert 0.2 < (wide[:, :, 0] > 100).mean() < 0.3


def test_left_hands_are_mirrored() -> None:
    frame = _frame()
    frame[200:280, 300:340] = 90
    box = (340 / 640, 240 / 480, 80 / 480)
    right, left = crops.hand(frame, box, left=False), crops.hand(frame, box, left=True)
    assert np.array_equal(left, right[:, ::-1])
    assert left.flags.c_contiguous
    assert right.shape == (64, 64, 3)


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.3), (1.0, 1.0, 0.3), (1.2, -0.3, 0.2), (0.5, 0.5, 3.0), (0.5, 0.5, 0.0)])
def test_crops_reach_beyond_the_picture(box: tuple[float, float, float]) -> None:
    assert crops.crop(_frame(), box, 64, 1.25).shape == (64, 64, 3)
    assert crops.mouth(_frame(), box).shape == (40, 40)


def _both_forms() -> tuple[np.ndarray, np.ndarray]:
    """A soft picture as an I420 canvas, and that as RGB."""
    patches = np.random.default_rng(3).integers(60, 200, (12, 16, 3), np.uint8)
    soft = cv2.resize(patches, (640, 480), interpolation=cv2.INTER_CUBIC)
    canvas = cv2.cvtColor(soft, cv2.COLOR_RGB2YUV_I420)
    return canvas, cv2.cvtColor(canvas, cv2.COLOR_YUV2RGB_I420)


@pytest.mark.parametrize(
    "box",
    [(0.5, 0.5, 0.25), (0.503, 0.501, 0.2521), (0.31, 0.72, 0.08), (0.3, 0.4, 0.47), (0.0, 0.0, 0.3), (1.2, -0.3, 0.2),
     (0.98, 0.97, 0.21), (0.5, 0.5, 3.0), (0.5, 0.5, 0.0)],
)  # fmt: skip
def test_crops_of_either_form_are_the_same_but_for_rounding(box: tuple[float, float, float]) -> None:
    canvas, rgb = _both_forms()
    for left in (False, True):
        error = np.abs(crops.hand(canvas, box, left=left).astype(int) - crops.hand(rgb, box, left=left))
        assert error.mean() < 1.1 and error.max() <= 4
    error = np.abs(crops.mouth(canvas, box).astype(int) - crops.mouth(rgb, box))
    assert error.max() <= 1


def test_geometry_of_nothing_is_zero() -> None:
    channels = crops.geometry({}, None)
    assert channels.shape == (GEOMETRY,)
    assert channels.dtype == np.float32
    assert not channels.any()


def test_geometry_is_measured_from_the_face_in_face_sides() -> None:
    right = (0.5 - 0.15, 0.5, 0.2)  # 0.15 of the width is 0.2 of the height: one face side
    channels = crops.geometry({"face": FACE, "right_hand": right, "mouth": (0.5, 0.45, 0.08)}, None)
    assert channels[:6] == pytest.approx([1, -1, 0.5, 0, 0, 0], abs=1e-6)
    assert not channels[6:15].any()
    assert channels[15:18] == pytest.approx([-1, 0.25, np.hypot(1, 0.25)], abs=1e-6)
    assert channels[21:] == pytest.approx([1, 1, 0.2])


def test_movement_needs_the_step_before() -> None:
    before = {"face": FACE, "left_hand": (0.65, 0.5, 0.2)}
    now = {"face": FACE, "left_hand": (0.65, 0.54, 0.2)}
    assert crops.geometry(now, before)[10:12] == pytest.approx([0, 0.2], abs=1e-6)
    assert crops.geometry(now, {"face": FACE})[10:12] == pytest.approx([0, 0])


def test_mirrored_boxes_give_the_mirrored_channels() -> None:
    boxes = {"face": FACE, "right_hand": (0.3, 0.6, 0.2), "left_hand": (0.6, 0.5, 0.15), "mouth": (0.5, 0.46, 0.07)}
    mirrored = {
        {"right_hand": "left_hand", "left_hand": "right_hand"}.get(name, name): (1 - box[0], *box[1:])
        for name, box in boxes.items()
    }
    one, other = crops.geometry(boxes, None), crops.geometry(mirrored, None)
    sign = np.array([1, -1, 1, 1, -1, 1])
    assert other[:6] == pytest.approx(one[6:12] * sign, abs=1e-6)
    assert other[12:15] == pytest.approx(one[12:15] * [1, -1, 1], abs=1e-6)
    assert other[15:18] == pytest.approx(one[18:21] * [-1, 1, 1], abs=1e-6)


def test_many_crops_in_one_call_are_those_of_each_alone() -> None:
    """Of canvases in either form, wherever they lie."""
    i420, rgb = _both_forms()
    for first in (i420, rgb):
        canvases = [first, np.ascontiguousarray(first[::-1])]
        boxes = [(0.5, 0.5, 0.25), (0.0, 0.1, 0.3), (0.31, 0.72, 0.08), (1.2, -0.3, 0.2)]
        numbers, sides = np.arange(8) % 2, np.arange(8) >= 4
        hands = crops.Found(numbers, np.array(boxes * 2), sides)
        mouths = crops.Found(numbers[:4], np.array(boxes), np.zeros(4, np.bool_))
        cut_hands, cut_mouths = crops.cut(canvases, hands, mouths)
        for place, number, box, left in zip(cut_hands, numbers, boxes * 2, sides, strict=True):
            assert np.array_equal(place, crops.hand(canvases[number], box, left=left))
        for place, number, box in zip(cut_mouths, numbers[:4], boxes, strict=True):
            assert np.array_equal(place, crops.mouth(canvases[number], box))
