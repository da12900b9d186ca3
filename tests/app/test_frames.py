"""Frames in shared memory: written once, seen by everyone who holds the descriptor, the small picture beside."""

import os

import numpy as np

from app.frames import FrameRing
from models.canvas import shrink


def test_what_one_writes_the_other_reads() -> None:
    ring = FrameRing.create(3)
    other = FrameRing(os.dup(ring.descriptor), 3)
    canvas = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    ring.put(2, canvas)
    np.testing.assert_array_equal(other.frames[2], canvas)
    np.testing.assert_array_equal(other.small[2], shrink(canvas))
    assert not other.frames[:2].any() and not other.small[:2].any()
    ring.close()
    np.testing.assert_array_equal(other.frames[2], canvas)
    other.close()
