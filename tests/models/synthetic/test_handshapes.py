from __future__ import annotations

import string

import numpy as np
import pytest

from models.synthetic.handshapes import DIGITS, HANDSHAPES, LETTER_VARIANTS, LETTERS, handshape
from models.synthetic.skeleton import arm, hand_points

CONTRACT = (
    "A B C D E F G H I K L M N O R S T U V W X Y 1 3 4 5 6 7 8 9 10 open-B bent-B claw-5 bent-V bent-1 flat-O flat-C "
    "open-8 open-A ILY horns baby-O bent-5 open-N U-thumb L-bent rest"
).split()
FRONT, UP, ORIGIN = np.eye(3, dtype=np.float32)[2], np.eye(3, dtype=np.float32)[1], np.zeros(3, np.float32)


def points_of(name: str, left: bool = False) -> np.ndarray:
    return hand_points(HANDSHAPES[name], ORIGIN, FRONT, UP, left, length=1.0)


def test_every_handshape_of_the_contract_exists() -> None:
    assert [name for name in CONTRACT if name not in HANDSHAPES] == []
    assert all(shape.shape == (5, 4) and np.isfinite(shape).all() for shape in HANDSHAPES.values())


def test_letters_and_digits_are_complete_and_have_unit_directions() -> None:
    assert sorted(LETTERS) == list(string.ascii_uppercase) and sorted(DIGITS) == list(string.digits)
    for pose in [*LETTERS.values(), *DIGITS.values()]:
        assert np.linalg.norm(pose.palm) == pytest.approx(1, abs=1e-5)
        assert np.linalg.norm(pose.pointing) == pytest.approx(1, abs=1e-5)
        assert pose.path.shape[1] == 3 and len(pose.turn) in (0, len(pose.path))
    assert [letter for letter, pose in LETTERS.items() if len(pose.path)] == ["J", "Z"]
    assert all(shape.shape == (5, 4) for shapes in LETTER_VARIANTS.values() for shape in shapes)


def test_an_unknown_handshape_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no handshape 'Ω'"):
        handshape("Ω")


def test_a_right_hand_seen_from_the_front_has_its_thumb_on_the_pictures_right() -> None:
    assert points_of("5")[4, 0] > 0 > points_of("5")[20, 0]
    np.testing.assert_allclose(points_of("5", left=True)[:, 0], -points_of("5")[:, 0], atol=1e-6)


def test_thumbs_are_where_the_letters_need_them() -> None:
    thumb = {name: points_of(name)[4] for name in "ASTNMEDFO"}
    index, middle, ring, little = (points_of("A")[5 + 4 * finger] for finger in range(4))
    assert thumb["A"][0] > index[0] + 0.05  # beside the fist
    assert thumb["S"][0] < index[0] and thumb["S"][2] > 0.25  # across the fingers
    assert middle[0] - 0.05 < thumb["T"][0] < index[0] + 0.06  # between index and middle
    assert ring[0] - 0.03 < thumb["N"][0] < middle[0] + 0.05  # between middle and ring
    assert little[0] - 0.03 < thumb["M"][0] < ring[0] + 0.04  # between ring and little
    for name, finger in (("D", 1), ("F", 0), ("O", 0)):  # the fingertip touches the thumb
        assert np.linalg.norm(thumb[name] - points_of(name)[8 + 4 * finger]) < 0.13


def test_the_arm_keeps_its_lengths_and_its_wrist() -> None:
    shoulder, wrist = np.array([-0.5, 0, 0], np.float32), np.array([-0.4, 0.2, 0.6], np.float32)
    bones = np.linalg.norm(np.diff(arm(shoulder, wrist, left=False), axis=0), axis=1)
    np.testing.assert_allclose(bones, (0.78, 0.70), rtol=1e-3)
    assert arm(shoulder, wrist, left=False)[1, 1] < 0  # the elbow hangs
