"""Arrivals of a stream's bytes: the newest one behind a frame, and no memory of what is behind the decoder."""

from __future__ import annotations

from app.ingest.arrivals import Arrivals


def test_a_frame_came_with_the_last_of_its_bytes() -> None:
    arrivals = Arrivals()
    for number in range(1, 5):
        arrivals.note(100 * number, float(number))
    assert [arrivals.of(consumed) for consumed in (50, 100, 101, 400)] == [1.0, 1.0, 2.0, 4.0]
    assert arrivals.of(401) is None


def test_a_stream_without_frames_is_not_remembered() -> None:
    arrivals = Arrivals()
    for number in range(10_000):
        arrivals.note(number + 1, float(number))
        arrivals.forget(number + 1)
    assert len(arrivals) == 1
