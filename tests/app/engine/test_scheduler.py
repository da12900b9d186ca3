"""What runs next: one chunk a slot, in order, in even shares, nothing of a busy slot."""

from __future__ import annotations

from app.engine.messages import Chunk, Finalize
from app.engine.scheduler import Scheduler

NONE = frozenset[int]()


def scheduler(*slots: int, chunks: int = 2) -> Scheduler:
    """So many chunks wait in each of `slots`."""
    made = Scheduler(8)
    for number in range(chunks):
        for slot in slots:
            made.push(chunk(slot, number))
    return made


def chunk(slot: int, number: int) -> Chunk:
    return Chunk(slot + 100, slot, (number,))


def test_a_batch_takes_one_chunk_a_slot_in_order() -> None:
    made = scheduler(0, 3)
    assert made.chunks(NONE, idle=1, eyes=1) == {0: chunk(0, 0), 3: chunk(3, 0)}
    assert made.chunks(NONE, idle=1, eyes=1) == {0: chunk(0, 1), 3: chunk(3, 1)}
    assert made.chunks(NONE, idle=1, eyes=1) == {} and not made.waits_for(NONE)


def test_busy_slots_give_nothing() -> None:
    made = scheduler(0, 3)
    assert list(made.chunks({0}, idle=1, eyes=1)) == [3]
    assert made.waits_for({0}) and not made.waits_for({0, 3})
    assert not made.waits_for(NONE, looks=False), "chunks alone wait"
    made.clear(3)
    made.push(Finalize(103, 3))
    assert made.waits_for(NONE, looks=False) and not made.waits_for({3}, looks=False)


def test_idle_eyes_get_even_shares() -> None:
    made = scheduler(0, 1, 2, 3, 4, chunks=1)
    first = made.chunks(NONE, idle=2, eyes=2)
    assert list(first) == [0, 1, 2]
    assert list(made.chunks(first.keys(), idle=1, eyes=2)) == [3, 4]


def test_one_idle_eye_does_not_take_the_others_share() -> None:
    made = scheduler(*range(8), chunks=1)
    first = made.chunks({6, 7}, idle=1, eyes=2)
    assert list(first) == [0, 1, 2, 3], "of six that wait and two that are looked at, half"


def test_a_finalize_comes_after_the_chunks_before_it_and_holds_back_those_behind() -> None:
    made, end = scheduler(2, chunks=1), Finalize(102, 2)
    made.push(end)
    made.push(chunk(2, 1))
    assert made.finalizes(NONE) == []
    assert made.chunks(NONE, idle=1, eyes=1) == {2: chunk(2, 0)}
    assert made.chunks(NONE, idle=1, eyes=1) == {}
    assert made.finalizes({2}) == [], "its chunk is still being looked at"
    assert made.finalizes(NONE) == [end]
    assert made.chunks(NONE, idle=1, eyes=1) == {2: chunk(2, 1)}


def test_a_closed_slot_is_forgotten() -> None:
    made = scheduler(0, 1)
    made.clear(0)
    assert list(made.chunks(NONE, idle=1, eyes=1)) == [1]
