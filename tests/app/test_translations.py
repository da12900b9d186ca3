"""Uploads: every answer format, and every way a file can be wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.app import media
from tests.app.conftest import KEY, RunningServer

WEBM = media.video("webm_file", frames=30)
TRUNCATED_MP4 = media.video("mp4", "libx264")[:-300]


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url(""), timeout=30) as client:
        yield client


async def upload(http: httpx.AsyncClient, data: bytes, **options: Any) -> httpx.Response:
    return await http.post("/v1/translations", files={"file": ("clip", data)}, data=options)


@pytest.mark.parametrize(
    "data",
    [WEBM, media.video("webm", frames=30), media.video("mp4", "libx264", 30), media.video("fmp4", "libx264", 30)],
    ids=["webm", "live webm", "mp4", "fragmented mp4"],
)
async def test_a_video_file_is_captioned(http: httpx.AsyncClient, data: bytes) -> None:
    answer = await upload(http, data, response_format="verbose_json", endpoint_ms="500", vocabulary="Maria, Tom")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["text"] == " ".join(caption["text"] for caption in said["captions"])
    assert said["captions"]
    assert 1160 <= said["duration_ms"] <= 1280
    assert said["model"] == "random"
    ends = [caption["end_ms"] for caption in said["captions"]]
    assert ends == sorted(ends)
    assert ends[-1] <= said["duration_ms"]


async def test_the_same_file_gives_the_same_captions_and_no_frame_is_dropped(http: httpx.AsyncClient) -> None:
    long = media.video("webm_file", frames=150, size=(64, 48))
    first, second = [(await upload(http, long)).json() for _ in range(2)]
    assert first == second
    assert first["text"]


async def test_answer_formats(http: httpx.AsyncClient) -> None:
    text = await upload(http, WEBM, response_format="text")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    vtt = await upload(http, WEBM, response_format="vtt")
    assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"
    assert vtt.text.startswith("WEBVTT\n\n")
    srt = await upload(http, WEBM, response_format="srt")
    assert srt.text.startswith("1\n00:00:00,")
    plain = await upload(http, WEBM)
    assert plain.headers["content-type"] == "application/json"
    assert plain.json() == {"text": " ".join(text.text.split("\n")).strip()}


BAD_FILES = {
    "not a video": (b"hello " * 1000, 415, "not_a_video"),
    "an image": (media.jpeg_messages(1)[0][14:], 415, "not_a_video"),
    "empty": (b"", 415, "no_frames"),
    "cut mp4": (TRUNCATED_MP4, 415, "truncated"),
    "cut webm": (media.video("webm_file", frames=150, size=(64, 48))[:1500], 415, "truncated"),
    "webm head": (WEBM[:150], 415, "truncated"),
    "audio only": (media.sound(), 415, "no_video_track"),
    "too many pixels": (media.video("webm_file", frames=1, size=(1600, 1200)), 415, "too_many_pixels"),
    "too large": (bytes(3 << 20), 413, "too_large"),
}


@pytest.mark.parametrize("case", BAD_FILES)
async def test_a_bad_file(http: httpx.AsyncClient, case: str) -> None:
    data, status, code = BAD_FILES[case]
    check_problem(await upload(http, data), status, code)


BAD_OPTIONS = {
    "unknown": ({"vocabluary": "x"}, "unknown_option", "'vocabulary'"),
    "format": ({"response_format": "pdf"}, "bad_option", "'vtt'"),
    "range": ({"min_confidence": "2"}, "bad_option", "less than or equal to 1"),
    "language": ({"language_out": "de"}, "language_unknown", "'de'"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
async def test_a_bad_option(http: httpx.AsyncClient, case: str) -> None:
    options, code, said = BAD_OPTIONS[case]
    assert said in check_problem(await upload(http, WEBM, **options), 422, code)["detail"]


async def test_what_is_no_form(http: httpx.AsyncClient) -> None:
    check_problem(await http.post("/v1/translations", json={}), 422, "no_file")
    check_problem(await http.post("/v1/translations", data={"a": "b"}), 422, "no_file")
    check_problem(await http.post("/v1/translations", files={"film": WEBM}), 422, "no_file")
    broken = {"content-type": "multipart/form-data"}
    check_problem(await http.post("/v1/translations", content=b"--", headers=broken), 400, "bad_request")


async def test_too_large_is_noticed_without_a_length(http: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(48):
            yield bytes(64 << 10)
        yield b"\r\n--b--\r\n"

    form = {"content-type": "multipart/form-data; boundary=b"}
    check_problem(await http.post("/v1/translations", content=pieces(), headers=form), 413, "too_large")


async def test_too_long(server: RunningServer, http: httpx.AsyncClient) -> None:
    with server.settings(max_upload_s=0.5):
        check_problem(await upload(http, WEBM), 413, "too_long")


async def test_a_server_too_slow_for_the_video_says_so(server: RunningServer, http: httpx.AsyncClient) -> None:
    with server.settings(upload_timeout_s=0.01):
        problem = check_problem(await upload(http, WEBM), 503, "too_slow")
    assert problem["retryable"] and "0.01 s" in problem["detail"]
    await until_free(server)


async def test_uploads_count_with_the_streams_of_a_key(server: RunningServer, http: httpx.AsyncClient) -> None:
    with server.settings(max_streams_per_key=1):
        async with server.live() as client:
            await client.start("webm")
            answer = await upload(http, WEBM)
            check_problem(answer, 429, "over_quota")
            assert int(answer.headers["retry-after"]) >= 1
            await client.leave()


async def test_no_free_slot(server: RunningServer, http: httpx.AsyncClient) -> None:
    async with server.live() as first, server.live() as second:
        await first.start("webm")
        await second.start("webm")
        answer = await upload(http, WEBM)
        check_problem(answer, 503, "no_slot")
        assert int(answer.headers["retry-after"]) >= 1
        ready = await http.get("/readyz")
        check_problem(ready, 503, "no_slot")
        await first.leave()
        await second.leave()


async def test_keys_guard_uploads(http: httpx.AsyncClient, keyed: None) -> None:
    answer = await upload(http, WEBM)
    check_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    http.headers["Authorization"] = f"Bearer {KEY}"
    assert (await upload(http, WEBM)).status_code == 200


async def test_a_client_that_goes_away_frees_its_slot(server: RunningServer, http: httpx.AsyncClient) -> None:
    long = media.video("webm_file", frames=1500, size=(64, 48))
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/v1/translations", files={"file": long}, timeout=httpx.Timeout(30, read=0.5))
    services = server.app.state.services
    assert services.pool.free_slots < 2
    await until_free(server)


async def until_free(server: RunningServer) -> None:
    async with asyncio.timeout(20):
        while server.app.state.services.pool.free_slots < 2:
            await asyncio.sleep(0.02)


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is a problem document of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.text)
    assert problem["type"] == f"urn:signbind:error:{code}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"].endswith((".", "?"))
    return problem
