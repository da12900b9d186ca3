"""Live streams over a real socket: every kind of media, the order of events, the close."""

from __future__ import annotations

import asyncio

import pytest

from tests.app import media
from tests.app.conftest import RunningServer

STREAMS = {
    "webm": ({}, media.slices(media.video("webm"))),
    "fmp4": ({}, media.slices(media.video("fmp4", "libx264"))),
    "packets": ({"codec": "vp8"}, list(media.packets())),
    "jpeg": ({}, media.jpeg_messages()),
}


@pytest.mark.parametrize("kind", STREAMS)
async def test_every_kind_of_media_becomes_captions(server: RunningServer, kind: str) -> None:
    options, messages = STREAMS[kind]
    async with server.live() as client:
        ready = await client.start(kind, **options)
        assert ready["limits"]["max_message_bytes"] == 64 << 10
        await client.send(*messages)
        await client.say("close")
        assert await client.until_closed() == 1000
    finals = [event for event in client.of("caption") if event["is_final"]]
    assert len(finals) >= 1
    assert client.events[-1]["type"] == "session.closed"
    assert client.events[-1]["summary"]["duration_ms"] == 1000
    assert client.events[-1]["summary"]["captions"] == len(finals)
    assert client.events[-1]["summary"]["frames_dropped"] == 0


async def test_a_segment_has_drafts_then_one_final_that_never_changes(server: RunningServer) -> None:
    async with server.live() as client:
        await client.start("webm")
        await client.send(*STREAMS["webm"][1])
        await client.say("close")
        await client.until_closed()
    captions: dict[int, list[dict]] = {}
    for event in client.of("caption"):
        captions.setdefault(event["segment_id"], []).append(event)
    for revisions in captions.values():
        assert [event["rev"] for event in revisions] == list(range(1, len(revisions) + 1))
        assert [event["is_final"] for event in revisions] == [False] * (len(revisions) - 1) + [True]
    assert [event["segment_id"] for event in client.of("signing.started")] == list(captions)
    assert len(client.of("signing.ended")) == len(captions)


async def test_times_of_a_caption_are_media_times_and_its_latency_is_measured(server: RunningServer) -> None:
    async with server.live() as client:
        await client.start("webm", interim=False)
        await client.send(*STREAMS["webm"][1])
        await client.say("close")
        await client.until_closed()
    captions = client.of("caption")
    assert all(caption["is_final"] for caption in captions)
    for caption in captions:
        assert 0 <= caption["start_ms"] < caption["end_ms"] <= 1000
        assert all(caption["start_ms"] <= word["start_ms"] <= word["end_ms"] for word in caption["words"])
        assert caption["end_ms"] <= caption["newest_ms"] <= 1000
        latency = caption["latency_ms"]
        assert set(latency) == {"decode", "queue", "experts", "fusion", "llm", "total"}
        assert latency["experts"] > 0
        assert latency["total"] >= latency["decode"]
        assert caption["stable_prefix_len"] == len(caption["text"])


async def test_finalize_ends_the_segment_and_the_stream_goes_on(server: RunningServer) -> None:
    async with server.live() as client:
        await client.start("packets", codec="vp8")
        await client.send(*media.packets()[:13])
        await client.until("signing.started")
        await client.say("finalize")
        first = await client.until("caption", is_final=True)
        assert first["end_ms"] <= 13 * 40
        await client.send(*media.packets()[13:])
        await client.say("close")
        assert await client.until_closed() == 1000
    finals = [event for event in client.of("caption") if event["is_final"]]
    assert [event["segment_id"] for event in finals] == sorted({event["segment_id"] for event in finals})
    assert finals[-1]["end_ms"] <= 1000
    assert finals[-1]["start_ms"] >= 13 * 40


async def test_status_comes_by_itself(server: RunningServer) -> None:
    async with server.live() as client:
        await client.start("jpeg")
        await client.send(*media.jpeg_messages(16))
        status = await client.until("status")
        while status["fps_effective"] == 0:
            status = await client.until("status")
        assert status["frames_dropped"] == 0
        assert set(status) >= {"lag_ms", "fps_effective", "frames_dropped", "signer_visible"}
        await client.leave()


async def test_an_update_changes_what_comes_after(server: RunningServer) -> None:
    async with server.live() as client:
        await client.start("jpeg", interim=False)
        await client.say("session.update", min_confidence=1.0, vocabulary=["Maria"])
        await client.send(*media.jpeg_messages(16))
        await client.say("close")
        await client.until_closed()
    finals = client.of("caption")
    assert finals
    assert all(final["text"] == "[unclear]" and final["withheld"] and not final["words"] for final in finals)


async def test_a_stream_without_media_closes_in_peace(server: RunningServer) -> None:
    async with server.live() as client:
        await client.start("webm")
        await client.say("close")
        assert await client.until_closed() == 1000
    assert client.events[-1]["summary"] == {
        "reason": "closed by the client", "duration_ms": 0, "captions": 0, "words": 0, "frames_dropped": 0,
    }  # fmt: skip


async def test_two_streams_at_once_do_not_touch(server: RunningServer) -> None:
    async def one() -> list[str]:
        async with server.live() as client:
            await client.start("webm", interim=False)
            await client.send(*STREAMS["webm"][1])
            await client.say("close")
            assert await client.until_closed() == 1000
        return [event["text"] for event in client.of("caption")]

    first, second = await asyncio.gather(one(), one())
    assert first == second != []


async def test_a_late_stream_loses_its_own_oldest_frames(server: RunningServer) -> None:
    burst = media.jpeg_messages(200, (64, 48))
    async with server.live() as client:
        await client.start("jpeg")
        await client.send(*burst)
        await client.say("close")
        assert await client.until_closed() == 1000
    summary = client.events[-1]["summary"]
    assert summary["frames_dropped"] > 0
    assert summary["duration_ms"] == 8000
    assert client.of("status")[-1]["frames_dropped"] <= summary["frames_dropped"]
    ends = [event["end_ms"] for event in client.of("caption") if event["is_final"]]
    assert ends == sorted(ends)
    assert ends[-1] <= 8000


async def test_no_free_slot_is_refused_at_once(server: RunningServer) -> None:
    async with server.live() as first, server.live() as second, server.live() as third:
        await asyncio.gather(first.start(), second.start())
        await third.say("session.start", media="webm")
        error = await third.until("error")
        assert (error["code"], error["retryable"]) == ("no_slot", True)
        assert error["retry_after_ms"] > 0
        assert await third.until_closed() == 1013
        await asyncio.gather(first.leave(), second.leave())


async def test_the_longest_time_ends_a_stream_with_notice(server: RunningServer) -> None:
    with server.settings(max_stream_s=1.2, go_away_lead_s=0.6):
        async with server.live() as client:
            await client.start("jpeg")
            await client.send(*media.jpeg_messages(8))
            notice = await client.until("go_away")
            assert notice["time_left_ms"] == 600
            assert await client.until_closed() == 1000
    assert client.events[-1]["summary"]["reason"] == "the longest time of a stream is over"
    assert any(event["is_final"] for event in client.of("caption"))
