"""Finals first, by their deadline; drafts in spare time alone."""

from __future__ import annotations

from dataclasses import replace

from app.engine.refine_queue import MOST_WAITING, RefineQueue, RefineRequest
from models.hypothesis import Hypothesis, Token

NOTHING = Hypothesis((), 0, 0, 0, 1.0, (1.0, 0.0, 0.0), 1.0, 1.0, 1.0)


def request(stream: int, deadline_s: float = 1.0, segment: int = 0, *, is_final: bool = True) -> RefineRequest:
    return RefineRequest(stream, segment, NOTHING, (), "", deadline_s, None, is_final)


def draft(stream: int, *texts: str, at_ms: int = 0) -> RefineRequest:
    tokens = tuple(Token(text, "sign", at_ms, at_ms + 400, 0.9) for text in texts)
    return RefineRequest(stream, 0, replace(NOTHING, tokens=tokens), (), "", 1.0, None, is_final=False)


def streams(begun: dict[int, RefineRequest]) -> list[int]:
    return [one.stream for one in begun.values()]


def test_the_earliest_deadlines_begin_and_the_rest_when_rows_are_free() -> None:
    queue = RefineQueue(2)
    for stream, deadline_s in ((1, 3.0), (2, 1.0), (3, 2.0)):
        assert queue.put(request(stream, deadline_s))
    assert queue.first_deadline_s == 1.0
    begun = queue.take()
    assert streams(begun) == [2, 3]
    assert queue.take() == {}
    del queue.running[next(iter(begun))]
    assert streams(queue.take()) == [1]


def test_a_draft_begins_only_where_no_final_waits_or_runs() -> None:
    queue = RefineQueue(4)
    queue.put(request(1, is_final=False))
    queue.put(request(2))
    [key] = queue.take()
    assert queue.running[key].stream == 2
    assert queue.take() == {}
    del queue.running[key]
    assert streams(queue.take()) == [1]
    assert queue.outdated() == []


def test_a_running_draft_is_outdated_by_a_newer_one_and_by_any_final() -> None:
    queue = RefineQueue(4)
    for stream in (1, 2):
        queue.put(draft(stream, "ME"))
    first, second = queue.take()
    queue.put(draft(1, "ME", at_ms=320))
    assert queue.outdated() == [], "it only moved in time"
    queue.put(draft(1, "ME", "GO"))
    assert queue.outdated() == [first]
    queue.put(request(3))
    assert queue.outdated() == [first, second]


def test_the_same_words_are_written_once_for_a_segment() -> None:
    queue = RefineQueue(4)
    queue.put(draft(1, "ME"))
    queue.running.pop(*queue.take())
    queue.put(draft(1, "ME", at_ms=320))
    assert queue.take() == {}
    queue.put(draft(1, "ME", "GO"))
    assert streams(queue.take()) == [1]


def test_a_segments_final_takes_its_waiting_drafts_place() -> None:
    queue = RefineQueue(4)
    queue.put(request(1, is_final=False))
    queue.put(request(1))
    [key] = queue.take()
    assert queue.running.pop(key).is_final
    assert queue.is_empty


def test_what_is_late_is_named_whether_it_waited_or_ran() -> None:
    queue = RefineQueue(1)
    queue.put(request(1, 1.0))
    [key] = queue.take()
    queue.put(request(2, 2.0))
    queue.put(request(3, 9.0))
    queue.put(request(4, 1.0, is_final=False))
    waited, running = queue.pop_late(5.0)
    assert ([one.stream for one in waited], running) == ([2], [key])
    del queue.running[key]
    assert streams(queue.take()) == [3]
    queue.running.clear()
    assert queue.is_empty, "the late draft is gone"


def test_waiting_is_bounded() -> None:
    queue = RefineQueue(1)
    assert all(queue.put(request(stream)) for stream in range(MOST_WAITING))
    assert not queue.put(request(999))
    assert all(queue.put(request(stream, is_final=False)) for stream in range(MOST_WAITING + 5))
    queue.put(request(5, is_final=False))
    assert len(queue._drafts) == MOST_WAITING
