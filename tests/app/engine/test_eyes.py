"""Eyes: they take what waits by themselves, what was looked at can be collected once it is settled, whoever waits is woken, a
failure is raised."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Set
from multiprocessing.connection import wait

import pytest

from app.engine.eyes import Eyes, Looked
from app.engine.messages import Chunk

WAIT_S = 20


def chunks(*slots: int) -> dict[int, Chunk]:
    return {slot: Chunk(slot, slot, (0,)) for slot in slots}


class Gate:
    """Looks that end when they may, at the batches of `waiting`, one after the other."""

    def __init__(self, *waiting: dict[int, Chunk]) -> None:
        self.opens = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.waiting = list(waiting)
        self.busy: list[Set[int]] = []

    def look(self, own: dict[int, Chunk]) -> Looked:
        self.begun.release()
        assert self.opens.acquire(timeout=WAIT_S)
        return Looked(own, None, 0.0)

    def take(self, busy: Set[int], idle: int) -> dict[int, Chunk]:
        assert idle > 0
        self.busy.append(busy)
        return self.waiting.pop(0) if self.waiting else {}


def gated(count: int, *waiting: dict[int, Chunk]) -> Iterator[tuple[Gate, Eyes]]:
    gate = Gate(*waiting)
    eyes = Eyes(count, gate.look, gate.take)
    yield gate, eyes
    gate.opens.release(10)
    eyes.close()


@pytest.fixture
def two() -> Iterator[tuple[Gate, Eyes]]:
    yield from gated(2, chunks(0, 2), chunks(1))


@pytest.fixture
def one() -> Iterator[tuple[Gate, Eyes]]:
    yield from gated(1, chunks(3), chunks(3), chunks(4))


def slots(looked: list[Looked]) -> list[list[int]]:
    return [list(batch.chunks) for batch in looked]


def test_slots_are_busy_while_they_are_looked_at(two: tuple[Gate, Eyes]) -> None:
    gate, eyes = two
    eyes.start()
    assert gate.busy == [frozenset(), {0, 2}]
    assert eyes.idle == 0 and eyes.slots == {0, 1, 2} and eyes.collect() == []
    gate.opens.release(2)
    for slot in (0, 1):
        eyes.settle(slot)
    assert eyes.is_over and sorted(slots(eyes.collect())) == [[0, 2], [1]]
    assert eyes.idle == 2 and eyes.slots == frozenset() and not eyes.is_over


def test_an_eye_takes_the_next_batch_though_nobody_collects(one: tuple[Gate, Eyes]) -> None:
    """So it never waits for the networks over time, and a slot's chunks come in their order."""
    gate, eyes = one
    eyes.start()
    gate.opens.release(2)
    for _ in range(3):
        assert gate.begun.acquire(timeout=WAIT_S), "an eye waits for something"
    assert eyes.slots == {4} and slots(eyes.collect()) == [[3], [3]]
    gate.opens.release()
    eyes.settle(4)
    assert slots(eyes.collect()) == [[4]]


def test_who_waits_is_woken(one: tuple[Gate, Eyes]) -> None:
    gate, eyes = one
    eyes.start()
    assert wait([eyes.fileno()], timeout=0) == []
    gate.opens.release()
    assert wait([eyes.fileno()], timeout=WAIT_S)
    assert slots(eyes.collect()) == [[3]]


def test_a_look_that_fails_is_raised_where_it_is_collected() -> None:
    gate = Gate(chunks(5), chunks(6))

    def fail(own: dict[int, Chunk]) -> Looked:
        raise ValueError(f"no picture in {sorted(own)}")

    eyes = Eyes(1, fail, gate.take)
    eyes.start()
    assert wait([eyes.fileno()], timeout=WAIT_S)
    with pytest.raises(ValueError, match=r"no picture in \[5\]"):
        eyes.collect()
    assert eyes.idle == 1 and gate.waiting, "after a failure nothing more is taken"
    eyes.close()


def test_closed_eyes_take_nothing_more() -> None:
    eyes = Eyes(2, lambda own: Looked(own, None, 0.0), lambda busy, idle: chunks(len(busy)))
    eyes.start()
    assert wait([eyes.fileno()], timeout=WAIT_S)
    closing = threading.Thread(target=eyes.close, daemon=True)
    closing.start()
    closing.join(WAIT_S)
    assert not closing.is_alive(), "there is always something to look at, so they never end"
