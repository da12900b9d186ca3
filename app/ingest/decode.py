"""Media -> pictures: containers, single packets and JPEG images, by libav; runs in the decoder's own process.

Each function yields `Picture`s as soon as they can be decoded and raises `ServiceError` for what it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import av
import cv2
import numpy as np
from av.codec.context import CodecContext, Flags
from av.container import InputContainer
from av.packet import Packet as AvPacket

from app.errors import ServiceError, failure
from app.frames import Frame
from app.ingest.planes import PlaneWriter
from app.ingest.sources import MediaSocket, WholeMoov
from app.protocol import parse_packet

FILE_FORMATS = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,mpegts,mpeg,flv,ogg,asf"
"""Formats a file may have; none that names other files or addresses."""
LIVE_FORMATS = {"webm": "matroska", "fmp4": "mp4"}
DECODERS = {"vp8": "vp8", "vp9": "vp9", "h264": "h264", "av1": "libdav1d"}
MAX_BAD_IN_A_ROW = 50
HARD_LIMIT_FACTOR = 4
"""libav itself refuses pictures this much over the limit; up to there, the error can name their size."""


@dataclass(frozen=True)
class Picture:
    """One decoded picture; `draw` puts it on an I420 canvas when it is needed."""

    time_ms: float
    draw: Callable[[Frame], None]


@dataclass
class Reading:
    """A source of pictures under way; `origin_ms` is known once the first picture is out."""

    pictures: Iterator[Picture]
    origin_ms: float | None = None


def live_container(source: MediaSocket, media: str, max_pixels: int) -> Reading:
    """The one continuous stream of a `webm` or `fmp4` session."""
    file = WholeMoov(source) if media == "fmp4" else source
    reading = Reading(iter(()))

    def pictures() -> Iterator[Picture]:
        options = {"fpsprobesize": "0", "analyzeduration": "100000"}
        how = {"format": LIVE_FORMATS[media], "options": options}
        with _opened(file, source, how, f"a {media} stream") as container:
            yield from _container_pictures(container, max_pixels)

    reading.pictures = pictures()
    return reading


def file_container(file: BinaryIO, max_pixels: int) -> Reading:
    """A whole file, which can be sought in; `truncated` where it ends before what its head says."""
    reading = Reading(iter(()))

    def pictures() -> Iterator[Picture]:
        options = {"format_whitelist": FILE_FORMATS}
        with _opened(file, file, {"options": options}, "a video file (WebM, MP4, MKV, MOV, AVI)") as container:
            if container.start_time is not None:
                reading.origin_ms = container.start_time / 1000
            last_ms = 0.0
            for picture in _container_pictures(container, max_pixels):
                last_ms = picture.time_ms
                yield picture
            _refuse_truncated(container, last_ms)

    reading.pictures = pictures()
    return reading


def packets(source: MediaSocket, codec: str, max_pixels: int) -> Reading:
    """Single encoded frames with their header; after a gap in the sequence, from the next key frame on."""

    def pictures() -> Iterator[Picture]:
        decoder: Any = CodecContext.create(DECODERS[codec], "r")
        _settle(decoder, max_pixels)
        expected, bad, writer = -1, 0, PlaneWriter()
        while (message := source.read_message()) is not None:
            packet = parse_packet(message)
            if packet.sequence != expected and not packet.is_key:
                bad = _one_more_bad(bad, f"{codec} packets", "no key frame")
                continue
            expected = (packet.sequence + 1) % (1 << 32)
            encoded = AvPacket(packet.payload)
            encoded.pts = packet.pts_us
            try:
                frames = decoder.decode(encoded)
                bad = 0 if frames else bad
            except av.FFmpegError as error:
                bad, expected = _one_more_bad(bad, f"{codec} packets", _reason(error)), -1
                continue
            for frame in frames:
                yield _picture(frame, (frame.pts or 0) / 1000, max_pixels, writer)

    return Reading(pictures())


def jpegs(source: MediaSocket, max_pixels: int) -> Reading:
    """One image a message; an image that cannot be read is left out, many in a row are an error."""

    def pictures() -> Iterator[Picture]:
        bad, writer = 0, PlaneWriter()
        while (message := source.read_message()) is not None:
            packet = parse_packet(message)
            size = jpeg_size(packet.payload)
            image = None
            if size is not None:
                _check_size(*size, max_pixels)
                image = cv2.imdecode(np.frombuffer(packet.payload, np.uint8), cv2.IMREAD_COLOR_RGB)
            if image is None:
                bad = _one_more_bad(bad, "JPEG images", "no JPEG")
                continue
            bad = 0
            frame = av.VideoFrame.from_numpy_buffer(np.asarray(image, np.uint8), "rgb24")
            yield Picture(packet.pts_us / 1000, partial(writer.draw, frame))

    return Reading(pictures())


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG's head names, read without decoding it; None when it is none."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


class _opened:
    """An open container; its failures to open, as errors of ours."""

    def __init__(self, file: Any, source: MediaSocket | BinaryIO, how: dict[str, Any], expected: str) -> None:
        self._file, self._source, self._how, self._expected = file, source, how, expected
        self._container: InputContainer | None = None

    def __enter__(self) -> InputContainer:
        try:
            self._container = av.open(self._file, **self._how)
        except (av.FFmpegError, UnicodeDecodeError) as error:
            raise self._unopened(error) from error
        return self._container

    def __exit__(self, *_: object) -> None:
        if self._container is not None:
            self._container.close()

    def _unopened(self, error: Exception) -> ServiceError:
        head = self._head()
        if not head:
            return failure("no_frames")
        is_container = head[4:8] == b"ftyp" or head.startswith(b"\x1a\x45\xdf\xa3")
        named = self._how.get("format") or ("mp4" if head[4:8] == b"ftyp" else "matroska")
        if is_container and (head[4:8] == b"ftyp") == (named == "mp4"):
            return failure("truncated", got="its data ends before the first picture")
        return failure("not_a_video", expected=self._expected)

    def _head(self) -> bytes:
        if isinstance(self._source, MediaSocket):
            return self._source.first_bytes
        self._source.seek(0)
        return self._source.read(16)


def _container_pictures(container: InputContainer, max_pixels: int) -> Iterator[Picture]:
    if not container.streams.video:
        kinds = sorted({str(stream.type) for stream in container.streams})
        raise failure("no_video_track", got=" and ".join(kinds) or "nothing")
    stream = container.streams.video[0]
    context = stream.codec_context
    _check_size(context.width, context.height, max_pixels)
    _settle(context, max_pixels)
    bad, time_ms, writer = 0, 0.0, PlaneWriter()
    for packet in _demuxed(container, stream):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            bad = _one_more_bad(bad, "video", _reason(error))
            continue
        for frame in frames:
            bad = 0
            time_ms = time_ms + 1000 / 25 if frame.time is None else frame.time * 1000
            yield _picture(frame, time_ms, max_pixels, writer)


def _demuxed(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The stream's packets; `truncated` where the container is damaged half-way."""
    try:
        yield from container.demux(stream)
    except av.EOFError:
        return
    except av.FFmpegError as error:
        raise failure("truncated", got=f"its data is damaged ({_reason(error)})") from error


def _settle(context: Any, max_pixels: int) -> None:
    """One thread, no delay, bounded memory."""
    context.thread_count = 1
    context.thread_type = "SLICE"
    context.flags |= Flags.low_delay
    context.options = {"max_pixels": str(max_pixels * HARD_LIMIT_FACTOR)}


def _refuse_truncated(container: InputContainer, last_ms: float) -> None:
    stream = container.streams.video[0]
    if stream.duration is not None and stream.time_base is not None:
        said_ms = float((stream.duration + (stream.start_time or 0)) * stream.time_base) * 1000
    elif container.duration is not None and len(container.streams) == 1:
        said_ms = (container.duration + (container.start_time or 0)) / 1000
    else:
        return
    if last_ms < said_ms - max(1_000, 0.05 * said_ms):
        got = f"its head says {said_ms / 1000:.1f} s, its pictures end at {last_ms / 1000:.1f} s"
        raise failure("truncated", got=got)


def _picture(frame: Any, time_ms: float, max_pixels: int, writer: PlaneWriter) -> Picture:
    _check_size(frame.width, frame.height, max_pixels)
    return Picture(time_ms, partial(writer.draw, frame))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise failure("too_many_pixels", limit=max_pixels, width=width, height=height)


def _one_more_bad(bad: int, what: str, reason: str) -> int:
    if bad + 1 >= MAX_BAD_IN_A_ROW:
        raise failure("media_undecodable", what=what, got=f"{reason}, {bad + 1} times in a row")
    return bad + 1


def _reason(error: av.FFmpegError) -> str:
    return str(error.strerror or type(error).__name__).lower()
