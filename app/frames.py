"""Pictures in memory that processes share: one ring of canvas frames for every slot of the engine.

A ring has no name and no file: it is handed on as a file descriptor and is gone with the last process that maps it, so
nothing is left behind by a crash, and the size of /dev/shm does not matter. Who may write which position is agreed on
elsewhere (`ingest.frame_buffer`).
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.canvas import I420_ROWS, SMALL_HEIGHT, SMALL_WIDTH, shrink
from models.clock import WIDTH

FRAME_BYTES = I420_ROWS * WIDTH + SMALL_HEIGHT * SMALL_WIDTH * 3
Frame = NDArray[np.uint8]


class FrameRing:
    """`frames` (capacity, 720, 640), I420 as in `models/canvas.py`, and the same shrunk for the locator, `small` (capacity,
    120, 160, 3), RGB: uint8, shared by every process that holds the descriptor."""

    def __init__(self, descriptor: int, capacity: int) -> None:
        self.descriptor, self.capacity = descriptor, capacity
        self._memory = mmap.mmap(descriptor, capacity * FRAME_BYTES)
        flat: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8)
        full = capacity * I420_ROWS * WIDTH
        self.frames: Frame = flat[:full].reshape(capacity, I420_ROWS, WIDTH)
        self.small: Frame = flat[full:].reshape(capacity, SMALL_HEIGHT, SMALL_WIDTH, 3)

    def put(self, position: int, draw: Callable[[Frame], None]) -> None:
        """Has a picture drawn on the canvas at `position`, where whoever reads it reads it."""
        draw(self.frames[position])
        shrink(self.frames[position], into=self.small[position])

    @classmethod
    def create(cls, capacity: int) -> FrameRing:
        """A new ring; MemoryError where the machine cannot hold it."""
        descriptor = anonymous_file("signbind-frames")
        try:
            os.ftruncate(descriptor, capacity * FRAME_BYTES)
            return cls(descriptor, capacity)
        except OSError as error:
            os.close(descriptor)
            raise MemoryError(
                f"There are no {capacity * FRAME_BYTES >> 20} MiB of memory for a stream's frames: set fewer SIGNBIND_SLOTS."
            ) from error

    def close(self) -> None:
        """Unmap and close here; other processes keep theirs."""
        del self.frames, self.small
        self._memory.close()
        os.close(self.descriptor)


def anonymous_file(label: str) -> int:
    """A descriptor of memory to share, without a name in any folder; `label` is for those who look at processes."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(label, os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
