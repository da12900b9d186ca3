"""Every way a live stream can go wrong: each has its documented error and close code, and the server goes on."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from websockets.exceptions import InvalidStatus

from tests.app import media
from tests.app.conftest import KEY, RunningServer

NOISE = bytes(range(256)) * 40
WEBM = media.video("webm")

BAD_STARTS = {
    "no JSON": ("{", "bad_json", 4400, "text that is no JSON"),
    "no object": ("[1]", "bad_json", 4400, "a JSON list"),
    "no type": ("{}", "unknown_type", 4400, "got none; known are session.start"),
    "a type like another": ('{"type": "session.end"}', "unknown_type", 4400, "keepalive, finalize, close."),
    "unknown type": ('{"type": "sesion.start"}', "unknown_type", 4400, "did you mean 'session.start'?"),
    "unknown option": ('{"type": "session.start", "media": "webm", "vocabluary": []}', "unknown_option", 4400, "'vocabulary'"),
    "an option like none": ('{"type": "session.start", "media": "webm", "zzz": 1}', "unknown_option", 4400, "known are "),
    "no media": ('{"type": "session.start"}', "option_missing", 4400, "'media': add it, one of webm, fmp4"),
    "bad media": ('{"type": "session.start", "media": "avi"}', "bad_option", 4400, "'webm', 'fmp4'"),
    "out of range": ('{"type": "session.start", "media": "webm", "endpoint_ms": 1}', "bad_option", 4400, "200"),
    "no codec": ('{"type": "session.start", "media": "packets"}', "option_missing", 4400, "'codec': add it, one of vp8, vp9"),
    "language": ('{"type": "session.start", "media": "webm", "language_out": "de"}', "language_unknown", 4400, "'de'"),
    "adapter": ('{"type": "session.start", "media": "webm", "adapter": "mine"}', "adapter_unknown", 4400, "'mine'"),
    "resume": ('{"type": "session.start", "media": "webm", "resume_token": "x"}', "resume_unknown", 4400, "without it"),
    "not the start": ('{"type": "keepalive"}', "media_before_start", 4400, "session.start"),
    "binary first": (b"\x1a\x45\xdf\xa3", "media_before_start", 4400, "4 bytes of media"),
    "too big": (b"x" * (100 << 10), "message_too_big", 1009, "65536"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_STARTS)
async def test_a_bad_first_message(server: RunningServer, case: str) -> None:
    message, code, close_code, said = BAD_STARTS[case]
    async with server.live() as client:
        await client.connection.send(message)
        error = await client.until("error")
        assert error["code"] == code
        assert said in error["message"]
        assert error["retryable"] is False
        assert await client.until_closed() == close_code
    assert client.events[-1]["type"] == "error"


BAD_MEDIA = {
    "not a video": ("webm", {}, [NOISE], "not_a_video"),
    "an mp4 that is none": ("fmp4", {}, [NOISE], "not_a_video"),
    "an mp4 as webm": ("webm", {}, [media.video("mp4", "libx264")], "not_a_video"),
    "truncated": ("webm", {}, [WEBM[:150]], "truncated"),
    "audio only": ("webm", {}, [media.sound()], "no_video_track"),
    "no frames": ("jpeg", {}, [media.packet_message(0, 0, True, b"\xff\xd8 no picture")], "no_frames"),
    "8K": ("jpeg", {}, [media.jpeg_messages(1, (7680, 4320))[0][: 32 << 10]], "too_many_pixels"),
    "8K webm": ("webm", {}, [media.video("webm", "libvpx", 1, (1600, 1200))[: 60 << 10]], "too_many_pixels"),
    "wrong codec": ("packets", {"codec": "h264"}, [media.packet_message(0, 0, True, NOISE[:99])] * 60, "media_undecodable"),
    "no packet": ("packets", {"codec": "vp8"}, [b"short"], "bad_packet"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_MEDIA)
async def test_bad_media(server: RunningServer, case: str) -> None:
    kind, options, messages, code = BAD_MEDIA[case]
    async with server.live() as client:
        await client.start(kind, **options)
        await client.send(*messages)
        await client.say("close")
        error = await client.until("error")
        assert error["code"] == code
        assert await client.until_closed() == (4400 if code == "bad_packet" else 4415)
    assert client.events[-1]["type"] == "session.closed"
    assert client.events[-1]["summary"]["reason"] == code


async def test_a_crash_of_the_decoder_costs_its_stream_alone(server: RunningServer) -> None:
    supervisor = server.app.state.services.supervisor
    async with server.live() as other, server.live() as client:
        await other.start("jpeg")
        before = set(supervisor._given)
        await client.start("jpeg")
        (decoder,) = set(supervisor._given) - before
        os.kill(decoder.process.pid, signal.SIGSEGV)
        error = await client.until("error")
        assert error["code"] == "decoder_crashed"
        assert "SIGSEGV" in error["message"]
        assert await client.until_closed() == 4415
        await other.send(*media.jpeg_messages(10))
        await other.leave()
    assert other.events[-1]["summary"]["duration_ms"] == 400


async def test_a_silent_client_is_idle(server: RunningServer) -> None:
    with server.settings(idle_timeout_s=0.5):
        async with server.live() as client:
            await client.start("webm")
            assert server.app.state.services.pool.free_slots == 1
            assert await client.until_closed() == 4408
    assert client.errors == ["idle"]
    async with asyncio.timeout(20):
        while server.app.state.services.pool.free_slots < 2:
            await asyncio.sleep(0.02)


async def test_keepalive_keeps_a_stream_open(server: RunningServer) -> None:
    with server.settings(idle_timeout_s=2.0, status_interval_s=0.3):
        async with server.live() as client:
            await client.start("webm")
            for _ in range(8):
                await client.until("status")
                await client.say("keepalive")
            await client.leave()
    assert client.errors == []


async def test_a_client_that_never_starts_is_let_go(server: RunningServer) -> None:
    with server.settings(start_timeout_s=0.3):
        async with server.live() as client:
            assert await client.until_closed() == 4408
    assert client.errors == ["start_timeout"]


async def test_a_second_start_is_refused(server: RunningServer) -> None:
    async with server.live() as client:
        await client.start("webm")
        await client.say("session.start", media="webm")
        assert await client.until_closed() == 4400
    assert client.errors == ["started_already"]


async def test_too_many_connections(server: RunningServer) -> None:
    with server.settings(max_connections=1):
        async with server.live() as first, server.live() as second:
            assert await second.until_closed() == 1013
            assert second.errors == ["too_many_connections"]
            await first.start("webm")
            await first.leave()


async def test_a_foreign_origin_is_refused_at_the_handshake(server: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with server.live(origin="https://elsewhere.example"):
            pass
    assert refused.value.response.status_code == 403
    with server.settings(allowed_origins=("https://elsewhere.example",)):
        async with server.live(origin="https://elsewhere.example") as client:
            await client.start("webm")
            await client.leave()


async def test_the_own_origin_is_welcome(server: RunningServer) -> None:
    async with server.live(origin=f"http://{server.address}") as client:
        await client.start("webm")
        await client.leave()


async def test_keys_guard_the_stream(server: RunningServer, keyed: None) -> None:
    async with server.live() as client:
        assert await client.until_closed() == 4401
    assert client.errors == ["unauthorized"]
    async with server.live(additional_headers={"Authorization": "Bearer wrong-key-0123456789"}) as client:
        assert await client.until_closed() == 4401
    async with server.live(additional_headers={"Authorization": f"Bearer {KEY}"}) as client:
        await client.start("webm")
        await client.leave()


async def test_a_client_token_opens_a_stream_as_a_subprotocol(server: RunningServer, keyed: None) -> None:
    import httpx

    async with httpx.AsyncClient() as http:
        answer = await http.post(
            server.url("/v1/tokens"), headers={"Authorization": f"Bearer {KEY}"}, json={"ttl_s": 60}
        )
    assert answer.status_code == 201
    subprotocol = answer.json()["subprotocol"]
    assert subprotocol.startswith("token.")
    async with server.live(subprotocols=[subprotocol]) as client:
        assert client.connection.subprotocol == subprotocol
        await client.start("webm")
        await client.leave()
    async with server.live(subprotocols=[subprotocol[:-4] + "AAAA"]) as client:
        assert await client.until_closed() == 4401


async def test_a_key_may_run_so_many_streams(server: RunningServer) -> None:
    with server.settings(max_streams_per_key=1):
        async with server.live() as first, server.live() as second:
            await first.start("webm")
            await second.say("session.start", media="webm")
            assert await second.until_closed() == 4429
            assert second.events[-1]["code"] == "over_quota"
            await first.leave()


async def test_a_client_that_breaks_off_leaves_nothing_behind(server: RunningServer) -> None:
    async with server.live() as client:
        await client.start("webm")
        client.connection.transport.abort()
    services = server.app.state.services
    async with asyncio.timeout(20):
        while services.pool.free_slots < 2 or services.supervisor._given:
            await asyncio.sleep(0.02)
