from __future__ import annotations

import numpy as np
import pytest

from models.synthetic.pose import LEFT, RIGHT, Motion


def test_resting_motion_has_the_contracts_shapes() -> None:
    motion = Motion.resting(7)
    assert len(motion) == 7
    assert motion.joints.shape == (7, 2, 5, 4) and motion.joints.dtype == np.float32
    assert motion.position[0, RIGHT, 0] < 0 < motion.position[0, LEFT, 0]


def test_mirroring_twice_gives_the_motion_back() -> None:
    motion = Motion.resting(3)
    motion.position[:, RIGHT] += (0.3, 0.9, 0.2)
    motion.head[:, 0] = 0.2
    once = motion.mirrored()
    assert once.position[0, LEFT, 0] == pytest.approx(-motion.position[0, RIGHT, 0])
    assert once.head[0, 0] == pytest.approx(-0.2)
    np.testing.assert_allclose(once.mirrored().position, motion.position)


def test_at_takes_one_frame_and_refuses_others() -> None:
    motion = Motion.resting(4)
    motion.brows[:] = np.arange(4)
    assert len(motion.at(2)) == 1 and motion.at(2).brows[0] == 2 and motion.at(-1).brows[0] == 3
    with pytest.raises(ValueError, match="outside this motion"):
        motion.at(4)


def test_arrays_of_other_lengths_are_refused() -> None:
    motion = Motion.resting(4)
    with pytest.raises(ValueError, match="brows must have the shape"):
        Motion(
            motion.joints,
            motion.position,
            motion.palm,
            motion.pointing,
            motion.mouth,
            motion.head,
            np.zeros(3, np.float32),
            motion.blink,
        )
