"""What outlives a worker: read back as it was noted, by whoever maps the same memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from app.engine.recalls import KEPT_NUMBERS, Recalls, chunks_kept
from models.clock import CHUNK_FRAMES
from models.layout import NUMBERS, STEP

CHUNKS = chunks_kept(1_000)


@pytest.fixture
def recalls() -> Iterator[Recalls]:
    made = Recalls.create(2, CHUNKS)
    yield made
    made.close()


def features(value: float) -> NDArray[np.float32]:
    return np.full((CHUNK_FRAMES, STEP), value, np.float32)


def numbers(chunks: int) -> NDArray[np.float64]:
    made = np.arange(NUMBERS, dtype=np.float64) + 0.1
    made[0] = chunks * CHUNK_FRAMES
    return made


def note(recalls: Recalls, slot: int, stream: int, chunks: int) -> None:
    for chunk in range(chunks):
        recalls.note_features(slot, chunk, features(chunk))
        recalls.note(slot, stream, chunk + 1, numbers(chunk + 1))


def test_another_mapping_reads_what_was_noted(recalls: Recalls) -> None:
    note(recalls, 1, stream=7, chunks=3)
    other = Recalls(os.dup(recalls.descriptor), 2, CHUNKS)
    kept = other.read(1, 7, 3)
    assert kept is not None
    assert np.array_equal(kept.numbers, numbers(3))
    assert np.array_equal(kept.features, np.stack([features(chunk) for chunk in range(3)]))
    other.close()


def test_one_answer_fewer_is_read_too(recalls: Recalls) -> None:
    """The worker had noted a chunk that nobody heard of."""
    note(recalls, 0, stream=7, chunks=5)
    kept = recalls.read(0, 7, 4)
    assert kept is not None
    assert len(kept.features) == 4 and kept.features[-1, 0, 0] == 3


def test_a_long_stream_keeps_its_newest_chunks(recalls: Recalls) -> None:
    chunks = 3 * CHUNKS + 5
    note(recalls, 0, stream=7, chunks=chunks)
    kept = recalls.read(0, 7, chunks - KEPT_NUMBERS + 1)
    assert kept is not None
    newest = chunks - KEPT_NUMBERS
    assert kept.features[:, 0, 0].tolist() == list(range(newest - len(kept.features) + 1, newest + 1))
    assert len(kept.features) * CHUNK_FRAMES * 40 >= 1_000 + 2 * 320


@pytest.mark.parametrize(("slot", "stream", "answered"), [(0, 8, 3), (1, 7, 3), (0, 7, 4), (0, 7, 3 + KEPT_NUMBERS)])
def test_what_is_of_another_stream_or_time_is_not_given(
    recalls: Recalls, slot: int, stream: int, answered: int
) -> None:
    note(recalls, 0, stream=7, chunks=3)
    assert recalls.read(slot, stream, answered) is None
