"""What outlives a worker: of every slot the last features and numbers, in memory that the server owns.

A worker writes a chunk's features and numbers here before it says that the chunk is done. So whatever the server has heard of
is here, and a worker that dies while writing spoils only what nobody has heard of.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.frames import anonymous_file
from models.clock import CHUNK_FRAMES, CHUNK_MS
from models.layout import NUMBERS, STEP

KEPT_NUMBERS = 8
"""More than the chunks and finalizes a stream may have unanswered at a time, so that the last answered one's stay."""
IDLE_CHUNKS = 64
"""Of a long rest, these are replayed to the router: it sees fewer."""
CHUNK_BYTES = CHUNK_FRAMES * STEP * 4
HEAD = 2


def chunks_kept(max_segment_ms: int) -> int:
    """Chunks of a slot to keep, so that the longest segment and its pre-roll can be replayed."""
    return -(-max_segment_ms // CHUNK_MS) + 1 + IDLE_CHUNKS


@dataclass(frozen=True)
class Kept:
    """Of one stream: numbers (NUMBERS,) float64, features (chunks, CHUNK_FRAMES, STEP) float32 with the newest last."""

    numbers: NDArray[np.float64]
    features: NDArray[np.float32]


class Recalls:
    """All slots of one worker, behind a file descriptor without a name."""

    def __init__(self, descriptor: int, slots: int, chunks: int) -> None:
        self.descriptor, self.chunks = descriptor, chunks
        self._memory = mmap.mmap(descriptor, _bytes(slots, chunks))
        floats: NDArray[np.float32] = np.frombuffer(self._memory, np.float32, slots * chunks * CHUNK_BYTES // 4)
        self._features = floats.reshape(slots, chunks, CHUNK_FRAMES, STEP)
        doubles: NDArray[np.float64] = np.frombuffer(self._memory, np.float64, offset=slots * chunks * CHUNK_BYTES)
        self._numbers = doubles.reshape(slots, KEPT_NUMBERS, HEAD + NUMBERS)

    @classmethod
    def create(cls, slots: int, chunks: int) -> Recalls:
        """New memory; the machine gives it when it is first written."""
        descriptor = anonymous_file("signbind-recalls")
        try:
            os.ftruncate(descriptor, _bytes(slots, chunks))
            return cls(descriptor, slots, chunks)
        except OSError as error:
            os.close(descriptor)
            raise MemoryError(
                f"no {_bytes(slots, chunks) >> 20} MiB of shared memory for features: set fewer SIGNBIND_SLOTS"
            ) from error

    def note_features(self, slot: int, chunk: int, features: NDArray[np.float32]) -> None:
        """Features (CHUNK_FRAMES, STEP) of the stream's chunk number `chunk`, counted from 0."""
        self._features[slot, chunk % self.chunks] = features

    def note(self, slot: int, stream: int, answered: int, numbers: NDArray[np.float64]) -> None:
        """The numbers after the stream's first `answered` chunks and finalizes."""
        self._numbers[slot, answered % KEPT_NUMBERS] = (stream, answered, *numbers)

    def read(self, slot: int, stream: int, answered: int) -> Kept | None:
        """What was noted then; None where it is not there."""
        row = self._numbers[slot, answered % KEPT_NUMBERS].copy()
        if (row[0], row[1]) != (stream, answered):
            return None
        numbers = row[HEAD:]
        newest = int(numbers[0]) // CHUNK_FRAMES
        first = max(0, newest - self.chunks + KEPT_NUMBERS)  # a chunk not answered may lie where the oldest were
        return Kept(numbers, self._features[slot, [chunk % self.chunks for chunk in range(first, newest)]])

    def close(self) -> None:
        """Unmap and close here; other processes keep theirs."""
        del self._features, self._numbers
        self._memory.close()
        os.close(self.descriptor)


def _bytes(slots: int, chunks: int) -> int:
    return slots * (chunks * CHUNK_BYTES + KEPT_NUMBERS * (HEAD + NUMBERS) * 8)
