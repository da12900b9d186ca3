"""A worker that stays away longer than a stream's bytes may wait: the client is heard all the time, and loses only the excess."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator

import pytest

from app.frames import FrameRing
from app.ingest import decoder as decoders
from app.ingest.decoder import Decoded
from app.ingest.frame_buffer import ring_capacity
from app.ingest.sources import framed
from tests.app import media
from tests.app.conftest import START_TIMEOUT_S, RunningServer, running_server, small_settings
from tests.app.test_failover import kill, no_new_workers, read_all, send_live, until_ready

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 120)
HELD_BYTES = 300_000


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(slots=1, catch_up_s=60.0) as running:
        yield running


def large_jpegs() -> Iterator[bytes]:
    """Pictures without end, each of some 35 kB, and so 0.9 MB a second, and yet quick to decode on a busy machine."""
    images = [message[14:] for message in media.jpeg_messages(10)]
    filler = random.Random(0).randbytes(30_000)
    for index in itertools.count():
        payload = images[index % len(images)] + filler  # what comes after a picture's end is no part of it
        yield media.packet_message(index, index * 40_000, True, payload)


async def test_who_waits_for_the_decoder_when_the_worker_dies_goes_on_at_once() -> None:
    """The ring is full, the decoder must wait, and so must who feeds it; then it may not any more, whatever the decoder does."""
    settings = small_settings()
    capacity = ring_capacity(settings.live_backlog_ms)
    ring, decoder = FrameRing.create(capacity), decoders.Decoder(settings)
    try:
        await decoder.ready()
        await decoder.begin("jpeg", None, ring)
        frames = [framed(message) for message in itertools.islice(large_jpegs(), 2 * capacity)]

        async def feed_all() -> None:
            for frame in frames:
                await decoder.feed(frame)

        feeding = asyncio.create_task(feed_all())
        async for event in decoder.events():
            if isinstance(event, Decoded) and event.tick == capacity - 1:
                break
        await asyncio.wait({feeding}, timeout=0.5)
        assert not feeding.done(), "nothing is free in the ring"
        decoder.hold(True)
        await asyncio.wait_for(feeding, 5.0)
        assert decoder.fed == sum(map(len, frames)) and decoder.has_room()
    finally:
        await decoder.aclose()
        ring.close()


async def test_a_client_is_not_dropped_while_its_worker_stays_away(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pings come behind its video: who stopped reading would not answer them, and it would give up."""
    monkeypatch.setattr(decoders, "HELD_BYTES", HELD_BYTES)
    (worker,) = server.app.state.services.pool.workers
    await until_ready(worker)
    over = asyncio.Event()
    async with server.live(ping_interval=0.5, ping_timeout=3.0) as client:
        await client.start("jpeg")
        sending = asyncio.create_task(send_live(client, large_jpegs(), over))
        reading = asyncio.create_task(read_all(client))
        await asyncio.sleep(1.0)
        with no_new_workers():
            await kill(worker)
            await asyncio.wait({sending, reading}, timeout=8.0, return_when=asyncio.FIRST_COMPLETED)
            assert not reading.done(), f"the connection ended with {client.connection.close_code}"
            assert not worker.is_ready
        await until_ready(worker)
        heard = len(client.of("caption"))
        await asyncio.sleep(1.0)
        over.set()
        await sending
        await client.say("close")
        async with asyncio.timeout(60):
            assert await reading == 1000
    assert client.errors == []
    statuses = [status["frames_dropped"] for status in client.of("status")]
    summary = client.events[-1]["summary"]
    translated = summary["duration_ms"] // 40 - summary["frames_dropped"]
    waited = ring_capacity(server.app.state.settings.live_backlog_ms) + HELD_BYTES // 40_000
    assert summary["frames_dropped"] > 0 and translated >= waited, "what may wait is kept, and only the rest is lost"
    assert statuses == sorted(statuses) and statuses[-1] > 0, "and the client is told"
    assert len(client.of("caption")) > heard, "then it goes on"
