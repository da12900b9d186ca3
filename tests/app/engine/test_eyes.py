"""Eyes: what was looked at can be collected once it is settled, whoever waits is woken, a failure is raised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from multiprocessing.connection import wait

import pytest

from app.engine.eyes import Eyes, Looked
from app.engine.messages import Chunk

WAIT_S = 20


def chunks(*slots: int) -> dict[int, Chunk]:
    return {slot: Chunk(slot, slot, (0,)) for slot in slots}


class Gate:
    """Looks that end when they may."""

    def __init__(self) -> None:
        self.opens = threading.Event()

    def look(self, own: dict[int, Chunk]) -> Looked:
        assert self.opens.wait(WAIT_S)
        return Looked(own, None, 0.0)


@pytest.fixture
def gated() -> Iterator[tuple[Gate, Eyes]]:
    gate = Gate()
    eyes = Eyes(2, gate.look)
    yield gate, eyes
    gate.opens.set()
    eyes.close()


def test_slots_are_busy_until_they_are_collected(gated: tuple[Gate, Eyes]) -> None:
    gate, eyes = gated
    eyes.look(chunks(0, 2))
    eyes.look(chunks(1))
    assert eyes.idle == 0 and eyes.slots == {0, 1, 2} and eyes.collect() == []
    gate.opens.set()
    eyes.settle(0)
    eyes.settle(1)
    assert [list(looked.chunks) for looked in eyes.collect()] == [[0, 2], [1]]
    assert eyes.idle == 2 and eyes.slots == frozenset()


def test_who_waits_is_woken(gated: tuple[Gate, Eyes]) -> None:
    gate, eyes = gated
    eyes.look(chunks(0))
    assert wait([eyes.fileno()], timeout=0) == []
    gate.opens.set()
    assert wait([eyes.fileno()], timeout=WAIT_S)
    eyes.settle(0)
    assert len(eyes.collect()) == 1


def test_what_is_settled_is_there_though_its_waking_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A future is done before its callbacks run: between the two a stream may be closed."""
    late, real = threading.Event(), Future.add_done_callback

    def held_back(future: Future[Looked], tell: Callable[[Future[Looked]], None]) -> None:
        real(future, lambda done: (late.wait(WAIT_S), tell(done))[1])

    monkeypatch.setattr(Future, "add_done_callback", held_back)
    gate = Gate()
    eyes = Eyes(1, gate.look)
    eyes.look(chunks(3))
    gate.opens.set()
    eyes.settle(3)
    assert [list(looked.chunks) for looked in eyes.collect()] == [[3]]
    late.set()
    eyes.close()


def test_a_look_that_fails_is_raised_where_it_is_collected() -> None:
    def fail(own: dict[int, Chunk]) -> Looked:
        raise ValueError(f"no picture in {sorted(own)}")

    eyes = Eyes(1, fail)
    eyes.look(chunks(5))
    eyes.settle(5)
    with pytest.raises(ValueError, match=r"no picture in \[5\]"):
        eyes.collect()
    eyes.close()
