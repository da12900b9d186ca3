"""`signbind live` against a real server, and what it sends of a file."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
from pathlib import Path

import av
import pytest

from app.cli import main
from app.client import LiveError, LiveRequest, begin, connected, received
from app.client_media import MediaError, camera_pieces, encoded_pieces, file_pieces, media_of
from app.ingest.decode import file_container, live_container
from app.ingest.pace import Pacer
from app.ingest.sources import MediaSocket
from tests.app import media
from tests.app.conftest import RunningServer

PIXELS, WAIT_S = 1 << 20, 10.0


@pytest.fixture
def reordered(tmp_path: Path) -> Path:
    """An MP4 as encoders make it for files: with B-frames, which are not sent in the order in which they are shown."""
    path = tmp_path / "reordered.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(
            "libx264", rate=25, options={"preset": "veryfast", "x264-params": "bframes=3:b-adapt=0"}
        )
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(40):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(media.picture(index), format="rgb24")))
        out.mux(stream.encode(None))
    with av.open(str(path)) as container:
        shown = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert shown != sorted(shown), "the encoder made no B-frames"
    return path


def ticks_of_file(path: Path) -> list[int | None]:
    with path.open("rb") as file:
        reading = file_container(file, PIXELS)
        pictures = list(reading.pictures)
    pacer = Pacer(reading.origin_ms)
    return [pacer.place(picture.time_ms).tick for picture in pictures]


def ticks_of_stream(data: bytes, kind: str) -> list[int | None]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=lambda: (theirs.sendall(data), theirs.shutdown(socket.SHUT_WR)))
        sender.start()
        pictures = list(live_container(MediaSocket(ours, lambda _: None), kind, PIXELS).pictures)
        sender.join()
    pacer = Pacer()
    return [pacer.place(picture.time_ms).tick for picture in pictures]


def test_a_file_sent_live_is_seen_as_it_is_when_uploaded(reordered: Path) -> None:
    data = b"".join(piece.data for piece in file_pieces(reordered))
    assert ticks_of_file(reordered) == list(range(40))
    assert ticks_of_stream(data, media_of(reordered)) == list(range(40))


def test_pieces_come_in_the_order_of_their_time(reordered: Path) -> None:
    times = [piece.at_ms for piece in file_pieces(reordered)]
    assert times == sorted(times)
    assert times[-1] == 39 * 40


def test_a_file_is_repeated_until_it_is_long_enough(reordered: Path) -> None:
    data = b"".join(piece.data for piece in file_pieces(reordered, repeat_for_ms=4_000))
    assert ticks_of_stream(data, "fmp4") == list(range(120))


def test_a_clip_of_one_frame_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "one.webm"
    path.write_bytes(media.video("webm_file", frames=1))
    assert ticks_of_stream(b"".join(piece.data for piece in file_pieces(path)), "webm") == [0]


def test_encoded_frames_come_one_a_piece() -> None:
    frames = ((index * 40, av.VideoFrame.from_ndarray(media.picture(index), format="rgb24")) for index in range(10))
    pieces = list(encoded_pieces(frames))
    assert [piece.at_ms for piece in pieces][-9:] == [40 * index for index in range(1, 10)]
    with av.open(io.BytesIO(b"".join(piece.data for piece in pieces))) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10


def test_a_camera_that_is_not_there_is_said() -> None:
    with pytest.raises(MediaError, match="Camera 77 can't be opened"):
        next(camera_pieces(77))


def test_live_shows_captions_and_prints_events(
    server: RunningServer, reordered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", str(reordered), "--url", server.url(""), "--speed", "max"]) == 0
    assert " %)" in capsys.readouterr().out
    assert main(["live", str(reordered), "--url", server.address, "--format", "ndjson", "--endpoint-ms", "500"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [events[0]["type"], events[-1]["type"]] == ["session.ready", "session.closed"]
    assert events[-1]["summary"]["duration_ms"] == 1600
    assert any(event["type"] == "caption" and event["is_final"] for event in events)


async def test_a_key_that_is_wanted_is_said(
    server: RunningServer, keyed: None, reordered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["live", str(reordered)], ["live", str(reordered), "--api-key", "another"], ["bench", "streams"]):
        assert await asyncio.to_thread(main, [*words, "--url", server.url("")]) == 2
        said = capsys.readouterr().err
        assert "Expected a valid API key" in said and "--api-key" in said and "fault of ours" not in said, said


async def test_a_refusal_is_heard_however_late_the_start_is_sent(server: RunningServer, keyed: None) -> None:
    connection = await connected(LiveRequest(server.url(""), "webm"))
    await asyncio.wait_for(connection.wait_closed(), WAIT_S)
    await begin(connection, {"type": "session.start", "media": "webm"})
    events = received(connection)
    assert (await anext(events))["code"] == "unauthorized"
    with pytest.raises(LiveError, match="unauthorized"):
        await anext(events)


async def test_a_full_server_is_said(
    server: RunningServer, reordered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with server.live() as first, server.live() as second:
        await first.start("webm")
        await second.start("webm")
        assert await asyncio.to_thread(main, ["live", str(reordered), "--url", server.url("")]) == 2
        assert "All 2 streams of this server are in use; try again" in capsys.readouterr().err
        await first.leave()
        await second.leave()


def test_what_the_server_refuses_is_one_sentence(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.webm"
    large.write_bytes(media.video("webm_file", frames=2, size=(1600, 1200)))
    for words, said in (
        (["live", str(large), "--url", server.url("")], "got 1600x1200"),
        (["live", str(large), "--url", server.url("/docs")], "the server's address alone"),
        (["live", str(large), "--url", "http://127.0.0.1:9"], "signbind serve"),
    ):
        assert main(words) == 2
        shown = capsys.readouterr().err
        assert said in shown and len(shown.strip().splitlines()) == 1
