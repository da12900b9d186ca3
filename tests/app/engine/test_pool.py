"""Who gets a stream, who is refused, and who is given up: workers without their processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.engine.messages import Finalized, Interrupted, Lost, Recovered, Stepped, ToWorker
from app.engine.pool import Pool
from app.engine.streams import DEATHS_S, MOST_DEATHS, EngineStream
from app.errors import ServiceError
from app.ingest.frame_buffer import ring_capacity
from app.metrics import Metrics
from app.settings import load_settings
from models.hypothesis import StreamOptions

OPTIONS = StreamOptions()


@asynccontextmanager
async def pool_of(**changes: Any) -> AsyncIterator[Pool]:
    """All of its workers count as ready; none has a process, so what is sent is heard by nobody."""
    settings = load_settings({}, **{"checkpoint": "random:0", "torch_threads": 1, "live_backlog_ms": 320, **changes})
    pool = Pool(settings, Metrics(), ring_capacity(settings.live_backlog_ms))
    for worker in pool.workers:
        worker.model = {"id": "random"}
    try:
        yield pool
    finally:
        await pool.aclose()


def opened_on(pool: Pool) -> tuple[int, EngineStream]:
    before = [len(worker.streams) for worker in pool.workers]
    stream = pool.open(OPTIONS, 1.0)
    (index,) = (at for at, worker in enumerate(pool.workers) if len(worker.streams) > before[at])
    return index, stream


async def test_devices_take_turns() -> None:
    async with pool_of(devices="cuda:0,cuda:1", workers=2, slots=2) as pool:
        assert [worker.place.device for worker in pool.workers] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
        assert [opened_on(pool)[0] for _ in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]
        with pytest.raises(ServiceError, match="All 8 streams"):
            pool.open(OPTIONS, 1.0)


async def test_of_equally_free_workers_the_quicker_one_is_taken() -> None:
    async with pool_of(devices="cuda:0,cuda:1", slots=4) as pool:
        assert [opened_on(pool)[0] for _ in range(2)] == [0, 1]
        pool.workers[0].note_queue_wait(900)
        assert opened_on(pool)[0] == 1
        assert opened_on(pool)[0] == 0, "but first comes the share of free slots"


async def test_a_worker_that_is_behind_gets_no_stream() -> None:
    async with pool_of(devices="cuda:0,cuda:1", slots=4, max_queue_wait_ms=100) as pool:
        assert [opened_on(pool)[0] for _ in range(2)] == [0, 1]
        pool.workers[1].note_queue_wait(10_000)
        assert [opened_on(pool)[0] for _ in range(2)] == [0, 0]
        pool.workers[0].note_queue_wait(10_000)
        with pytest.raises(ServiceError) as refused:
            pool.open(OPTIONS, 1.0)
        assert refused.value.code == "overloaded"
        assert refused.value.retry_after_ms == 5_000


async def test_a_worker_that_is_away_gets_no_stream() -> None:
    async with pool_of(devices="cuda:0,cuda:1", slots=2) as pool:
        pool.workers[0].model = None
        assert [opened_on(pool)[0] for _ in range(2)] == [1, 1]
        pool.workers[1].model = None
        with pytest.raises(ServiceError) as refused:
            pool.open(OPTIONS, 1.0)
        assert refused.value.code == "not_ready"


async def test_an_interrupted_stream_asks_again_for_what_was_not_answered() -> None:
    async with pool_of(slots=2) as pool:
        (worker,) = pool.workers
        stream = pool.open(OPTIONS, 1.0)
        sent: list[ToWorker] = []
        worker.send = sent.append  # type: ignore[method-assign]
        stream.submit(tuple(range(8)))
        stream.submit(tuple(range(8, 16)))
        stream.finalize()
        stream.set_vocabulary(("Maria",))
        asked = [message for message in sent if type(message).__name__ in ("Chunk", "Finalize")]
        worker._on_message(Stepped(stream.number, tuple(range(8)), (), True, 0.0))
        stream.note_sentence("My name is Maria.")
        worker._interrupt_streams()
        sent.clear()
        worker._reopen_streams()
        reopened, *again = sent
        assert again == asked[1:]
        assert reopened == stream.reopened()
        assert stream.reopened().answered == 1
        assert stream.reopened().context == ("My name is Maria.",)
        assert stream.reopened().options.vocabulary == ("Maria",)
        kinds = [type(stream.messages.get_nowait()) for _ in range(stream.messages.qsize())]
        assert kinds == [Stepped, Interrupted, Recovered]


async def test_a_stream_over_which_workers_die_is_given_up_alone() -> None:
    async with pool_of(slots=3) as pool:
        (worker,) = pool.workers
        poison, innocent, idle = (pool.open(OPTIONS, 1.0) for _ in range(3))
        for stream in (poison, innocent):
            stream.submit(tuple(range(8)))
        for _ in range(MOST_DEATHS):
            poison.deaths = [died_s - DEATHS_S for died_s in poison.deaths]  # as if it had taken its time
            worker._reopen_streams()
            for _ in range(len(innocent.unanswered)):
                worker._on_message(Finalized(innocent.number, ()))
            innocent.submit(tuple(range(8)))
            worker._interrupt_streams()
        assert [stream.lost for stream in (poison, innocent, idle)] == [True, False, False]
        last = [poison.messages.get_nowait() for _ in range(poison.messages.qsize())][-1]
        assert last == Lost(poison.number)
        await poison.aclose()
        assert worker.table.free == 1


async def test_quick_deaths_alone_do_not_give_a_stream_up() -> None:
    async with pool_of(slots=1) as pool:
        stream = pool.open(OPTIONS, 1.0)
        assert all(stream.outlives(now_s) for now_s in (0.0, DEATHS_S)), "nothing was asked"
        stream.submit(tuple(range(8)))
        assert all(stream.outlives(now_s) for now_s in (0.0, 1.0, 2.0, DEATHS_S - 0.1))
        assert not stream.outlives(DEATHS_S)
        stream.hear(Stepped(stream.number, tuple(range(8)), (), True, 0.0))
        stream.submit(tuple(range(8)))
        assert stream.outlives(DEATHS_S + 1.0)
