"""Frames in shared memory: written once, seen by everyone who holds the descriptor, the small picture beside."""

import json
import os
import socket
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from app.frames import FrameRing
from app.ingest.child import FrameWriter, Lines
from app.ingest.decode import Picture, Reading
from models.canvas import shrink
from models.clock import STEP_MS


@pytest.fixture
def ring() -> Iterator[FrameRing]:
    ring = FrameRing.create(3)
    yield ring
    ring.close()


def test_what_one_writes_the_other_reads(ring: FrameRing) -> None:
    other = FrameRing(os.dup(ring.descriptor), 3)
    canvas = np.random.default_rng(0).integers(0, 256, (720, 640), np.uint8)
    ring.put(2, partial(np.copyto, src=canvas))
    np.testing.assert_array_equal(other.frames[2], canvas)
    np.testing.assert_array_equal(other.small[2], shrink(canvas))
    assert not other.frames[:2].any() and not other.small[:2].any()
    other.close()


def filled(canvas: NDArray[np.uint8], value: int) -> None:
    canvas[...] = value


def test_the_last_picture_stands_until_the_next_though_its_place_was_given_back(ring: FrameRing) -> None:
    """Ticks 0 and 3 have pictures; of three positions two are used, in turns."""
    here, there = socket.socketpair()
    here.send(bytes((1, 0)))  # two that are free again: ticks 2 and 3 are written over ticks 1 and 0
    pictures = [Picture(tick * STEP_MS, partial(filled, value=60 + tick)) for tick in (0, 3)]
    lines = Lines(there)
    written = FrameWriter(there, lines, ring, (0, 1)).write(Reading(iter(pictures)), None)
    lines.flush()
    said = [json.loads(line) for line in here.recv(4096).splitlines()]
    assert written == 4
    assert [(line["tick"], line["frame"]) for line in said] == [(0, 0), (1, 1), (2, 1), (3, 0)]
    assert (ring.frames[1] == 60).all() and (ring.frames[0] == 63).all() and not ring.frames[2].any()
    assert all(line["decode_ms"] >= 0 for line in said)
    here.close()
    there.close()
