"""Workers killed under live streams: each caption once, none lost, every one as in a stream that nothing happened to."""

from __future__ import annotations

import asyncio
import contextlib
import math
import multiprocessing.forkserver
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from app.engine.streams import MOST_DEATHS
from app.engine.workers import Worker
from tests.app import media
from tests.app.conftest import START_TIMEOUT_S, RunningServer, running_server
from tests.app.live_client import LiveClient

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 120)
FRAME_S, SLOW_FRAME_S = 0.04, 0.25
MOST_BEHIND_MS = 10_000
"""While its worker is away; of pictures as small as these, several times as much may wait."""
MOST_LATE_MS = 600
"""With its worker: a live stream loses frames when it is late by 1280 ms."""
TIMES = ("seq", "session_id", "server_ts_ms", "latency_ms", "rev")


@pytest.fixture(scope="module")
def twins() -> Iterator[RunningServer]:
    """Two workers of one slot each: one is left in peace, so that its stream shows what the other's should be."""
    with running_server(slots=1, workers=2, idle_timeout_s=60.0, catch_up_s=120.0) as running:
        yield running


@asynccontextmanager
async def streams_of(server: RunningServer) -> AsyncIterator[tuple[LiveClient, LiveClient, Worker]]:
    """A stream in peace, one that will be troubled, and the latter's worker."""
    pool = server.app.state.services.pool
    async with asyncio.timeout(START_TIMEOUT_S):
        while pool.free_slots < 2:
            await asyncio.sleep(0.05)
    async with server.live() as calm, server.live() as troubled:
        await calm.start("jpeg")
        (worker,) = (worker for worker in pool.workers if not worker.streams)
        await troubled.start("jpeg")
        assert worker.streams, "the least loaded worker takes the second stream"
        yield calm, troubled, worker


async def send_live(
    client: LiveClient, frames: Iterator[bytes], until: asyncio.Event, most_behind_ms: float = math.inf
) -> None:
    """A camera: a frame every 40 ms, whatever the server does; slower while the server is behind by more than
    `most_behind_ms`: what a machine that is too busy for two streams loses is not what is tested."""
    loop, due_s = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    for frame in frames:
        if until.is_set():
            break
        await client.send(frame)
        due_s = max(due_s, loop.time() - FRAME_S) + (FRAME_S if lag_ms(client) <= most_behind_ms else SLOW_FRAME_S)
        await asyncio.sleep(max(0.0, due_s - loop.time()))


def lag_ms(client: LiveClient) -> float:
    """As the server said last."""
    return next((event["lag_ms"] for event in reversed(client.events) if event["type"] == "status"), 0.0)


async def read_all(client: LiveClient) -> int | None:
    """To the end, however long the stream is; the close code."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await client.next_event()
    return client.connection.close_code


async def kill_at_random(worker: Worker, client: LiveClient, times: int, rng: random.Random) -> None:
    """SIGKILL, again and again, at any moment of a life: while it goes back over the past, within a chunk, between two."""
    for _ in range(times):
        await until_ready(worker)
        await until_not_far_behind(client)
        await asyncio.sleep(rng.uniform(0.0, 0.9))
        await until_some_progress(worker)
        assert worker.streams, "the stream ended before its time"
        await kill(worker)
    await until_ready(worker)


async def until_some_progress(worker: Worker) -> None:
    """After two workers that had not the time for one chunk, the third may have it: else the stream is rightly given up."""
    async with asyncio.timeout(60):
        while any(len(stream.deaths) >= MOST_DEATHS - 1 for stream in worker.streams.values()):
            await asyncio.sleep(0.01)
    assert not any(stream.lost for stream in worker.streams.values())


async def until_not_far_behind(client: LiveClient) -> None:
    """On a busy machine a restart takes seconds, and a life of a second does little: killed all the time, the stream would
    never come to the end of what waits."""
    async with asyncio.timeout(120):
        while lag_ms(client) > MOST_BEHIND_MS / 2:
            await asyncio.sleep(0.05)


async def kill(worker: Worker) -> None:
    """And waits until the server has noticed."""
    killed = worker.process
    assert killed is not None
    os.kill(killed.process.pid or 0, signal.SIGKILL)
    async with asyncio.timeout(10):
        while worker.process is killed:
            await asyncio.sleep(0.01)


def forkserver() -> psutil.Process:
    return psutil.Process(multiprocessing.forkserver._forkserver._forkserver_pid)


@contextlib.contextmanager
def no_new_workers() -> Iterator[None]:
    """The process that workers are forked from is stopped."""
    forkserver().suspend()
    try:
        yield
    finally:
        forkserver().resume()


async def until_ready(worker: Worker) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while not worker.is_ready:
            await asyncio.sleep(0.01)


def jpegs(seed: int) -> Iterator[bytes]:
    """Pictures without end, each another one."""
    rng = random.Random(seed)
    images = media.jpeg_messages(50)
    for index in count():
        payload = images[rng.randrange(len(images))][14:]
        yield media.packet_message(index, index * 40_000, True, payload)


def sending_to(calm: LiveClient, troubled: LiveClient, over: asyncio.Event, seed: int) -> list[asyncio.Task[None]]:
    """The same frames to both."""
    allowed = ((calm, MOST_LATE_MS), (troubled, MOST_BEHIND_MS))
    return [asyncio.create_task(send_live(client, jpegs(seed), over, most_ms)) for client, most_ms in allowed]


def told(client: LiveClient, *kinds: str) -> list[dict[str, Any]]:
    """What was said of segments, without what depends on the time of day."""
    wanted = [event for event in client.events if event["type"] in kinds]
    finals = [event for event in wanted if event["type"] != "caption" or event["is_final"]]
    return [{name: value for name, value in event.items() if name not in TIMES} for event in finals]


async def compare(server: RunningServer, kills: int, seed: int) -> tuple[LiveClient, LiveClient]:
    """Both streams get the same frames at the same times; one's worker is killed `kills` times."""
    over = asyncio.Event()
    async with streams_of(server) as (calm, troubled, worker):
        sending = sending_to(calm, troubled, over, seed)
        reading = [asyncio.create_task(read_all(client)) for client in (calm, troubled)]
        try:
            await kill_at_random(worker, troubled, kills, random.Random(seed))
        finally:
            over.set()
            print(*(client.events[-3:] for client in (calm, troubled)), sep="\n")  # shown where the test fails
        await asyncio.gather(*sending)
        for client in (calm, troubled):
            await client.say("close")
        async with asyncio.timeout(60):
            assert await asyncio.gather(*reading) == [1000, 1000]
    return calm, troubled


def assert_alike(calm: LiveClient, troubled: LiveClient) -> int:
    """The same was said to both, each once and in order; how many final captions."""
    assert calm.errors == troubled.errors == []
    summaries = [client.events[-1]["summary"] for client in (calm, troubled)]
    assert [summary["frames_dropped"] for summary in summaries] == [0, 0]
    both_saw_ms = min(summary["duration_ms"] for summary in summaries)
    for kind in ("caption", "signing.started", "signing.ended"):
        pair = [told(client, kind) for client in (calm, troubled)]
        # the two cameras may stop some frames apart, so their last segments differ
        mine, theirs = ([one for one in said if end_of(one) < both_saw_ms - 1_500] for said in pair)
        assert mine == theirs
    segments = [event["segment_id"] for event in told(troubled, "caption")]
    assert segments == list(range(len(segments))), "a final caption is missing, came twice, or out of order"
    return len(segments)


def end_of(event: dict[str, Any]) -> int:
    return int(event.get("end_ms", event.get("at_ms", 0)))


async def test_three_kills_change_no_caption(twins: RunningServer) -> None:
    assert assert_alike(*await compare(twins, 3, seed=1)) >= 3


async def test_nothing_is_lost_while_no_worker_comes_for_seconds(twins: RunningServer) -> None:
    """Far longer than decoded video may wait: what comes queues up as bytes, and is caught up with."""
    over = asyncio.Event()
    async with streams_of(twins) as (calm, troubled, worker):
        sending = sending_to(calm, troubled, over, seed=3)
        reading = [asyncio.create_task(read_all(client)) for client in (calm, troubled)]
        await asyncio.sleep(1.0)
        with no_new_workers():
            await kill(worker)
            await asyncio.sleep(5.0)
            assert not worker.is_ready
        await until_ready(worker)
        await asyncio.sleep(2.0)
        over.set()
        await asyncio.gather(*sending)
        for client in (calm, troubled):
            await client.say("close")
        assert await asyncio.wait_for(asyncio.gather(*reading), 60) == [1000, 1000]
    assert max(status["lag_ms"] for status in troubled.of("status")) > 4_000
    assert_alike(calm, troubled)


async def test_a_stream_whose_worker_does_not_come_back_is_told(twins: RunningServer) -> None:
    async with streams_of(twins) as (calm, troubled, worker):
        patient = worker._settings
        worker._settings = patient.model_copy(update={"worker_recovery_timeout_s": 0.5})
        await troubled.send(*media.jpeg_messages(16))
        await troubled.until("signing.started")
        with no_new_workers():
            await kill(worker)
            assert await troubled.until_closed() == 1012
            await calm.send(*media.jpeg_messages(16))
            await calm.leave()
        worker._settings = patient
        await until_ready(worker)
    assert troubled.errors == ["worker_lost"]
    assert troubled.of("error")[0]["retryable"] is True
    assert any(event["is_final"] for event in calm.of("caption"))


async def test_a_stream_that_closes_while_its_worker_is_away_frees_its_slot(twins: RunningServer) -> None:
    async with streams_of(twins) as (_, troubled, worker):
        with no_new_workers():
            await kill(worker)
            troubled.connection.transport.abort()
            async with asyncio.timeout(20):
                while worker.streams:
                    await asyncio.sleep(0.02)
            assert worker.table.free == 1
        await until_ready(worker)


async def test_workers_are_forked_from_a_process_with_one_thread(twins: RunningServer) -> None:
    """Threads do not survive a fork, and what they held stays held."""
    assert forkserver().num_threads() == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_fifty_kills_change_no_caption(twins: RunningServer) -> None:
    assert assert_alike(*await compare(twins, 50, seed=2)) >= 30
