"""A video file or a camera -> pieces of one continuous webm or fragmented mp4 stream, each with its media time.

What a live camera's muxer would send, made from a file: every piece ends with a whole frame, so whoever paces the
pieces by `at_ms` shows the server the file as if it were being filmed now. Frames are passed on as they are encoded
(vp8, vp9, av1 as webm; h264 and hevc as fmp4); anything else is encoded to h264 on the way.

Everything here blocks, so the caller runs it in a thread of its own (one thread: a codec belongs to one).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

Media = Literal["webm", "fmp4"]

COPIED_INTO: dict[str, Media] = {"vp8": "webm", "vp9": "webm", "av1": "webm", "h264": "fmp4", "hevc": "fmp4"}
"""Codec -> the stream it travels in unchanged."""

MUXER_OPTIONS: dict[Media, tuple[str, dict[str, str]]] = {
    "webm": ("webm", {"live": "1", "cluster_size_limit": "1", "flush_packets": "1"}),
    "fmp4": (
        "mp4",
        {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"},
    ),
}
ENCODER_OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "g": "50"}
CAMERA_RATE_HZ = 25
TIME_BASE = Fraction(1, 90_000)


@dataclass(frozen=True)
class Piece:
    """Bytes of the stream; `at_ms` is the media time of the newest frame in them."""

    at_ms: int
    data: bytes


class MediaError(ValueError):
    """The source can't be read as video; its text says what was expected and how to mend it."""


class Tap:
    """The file that the muxer writes to: it keeps only what has not been taken yet, and can't be rewound."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def media_of(path: Path) -> Media:
    """The stream that a file will be sent as; MediaError where it holds no video."""
    with open_video(path) as container:
        return COPIED_INTO.get(container.streams.video[0].codec_context.name, "fmp4")


def open_video(path: Path) -> Any:
    """An open container with at least one video stream."""
    if not path.is_file():
        raise MediaError(f"{path}: no such file; name a video file, or `camera`.")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(f"{path} is not a video that can be read; expected webm, mp4, mkv, mov or avi.") from error
    if not container.streams.video:
        container.close()
        raise MediaError(f"{path} holds no video stream; name a file with a picture of the signer.")
    return container


def file_pieces(path: Path, *, repeat_for_ms: int = 0) -> Iterator[Piece]:
    """The file's frames once, or again and again until `repeat_for_ms` of media time are out."""
    with open_video(path) as container:
        codec = container.streams.video[0].codec_context.name
    if codec in COPIED_INTO:
        yield from copied_pieces(path, COPIED_INTO[codec], repeat_for_ms)
    else:
        yield from encoded_pieces(decoded_frames(path, repeat_for_ms))


def copied_pieces(path: Path, media: Media, repeat_for_ms: int) -> Iterator[Piece]:
    tap = Tap()
    name, options = MUXER_OPTIONS[media]
    at_ms = start_ms = 0
    empty = True
    with av.open(tap, "w", format=name, options=options) as out:
        stream: Any = None
        while True:
            with open_video(path) as container:
                if stream is None:
                    stream = out.add_stream_from_template(container.streams.video[0])
                for packet in container.demux(container.streams.video[0]):
                    if packet.dts is None or packet.time_base is None:
                        continue
                    frame_ms, empty = place(packet, start_ms), False
                    packet.stream = stream
                    out.mux(packet)
                    yield from taken(tap, at_ms)
                    at_ms = max(at_ms, frame_ms)
            if empty:
                raise MediaError(f"{path} holds no frames that can be sent; it may be cut short: record it again.")
            start_ms = at_ms + round(1000 / CAMERA_RATE_HZ)
            if start_ms >= repeat_for_ms:
                break
    yield from taken(tap, at_ms)


def place(packet: Any, start_ms: int) -> int:
    """Move a packet by `start_ms`; returns its media time."""
    offset = round(Fraction(start_ms, 1000) / packet.time_base)
    packet.dts += offset
    packet.pts = packet.dts if packet.pts is None else packet.pts + offset
    return int(packet.pts * packet.time_base * 1000)


def taken(tap: Tap, at_ms: int) -> Iterator[Piece]:
    data = tap.take()
    if data:
        yield Piece(max(0, at_ms), data)


def decoded_frames(path: Path, repeat_for_ms: int) -> Iterator[tuple[int, Any]]:
    """(media time in ms, decoded frame), the file again and again until `repeat_for_ms`."""
    at_ms = start_ms = 0
    empty = True
    while True:
        with open_video(path) as container:
            for frame in container.decode(video=0):
                empty = False
                at_ms = start_ms + round(1000 * (frame.time or 0.0))
                yield at_ms, frame
        if empty:
            raise MediaError(f"{path} holds no frames that can be decoded; it may be cut short: record it again.")
        start_ms = at_ms + round(1000 / CAMERA_RATE_HZ)
        if start_ms >= repeat_for_ms:
            return


def camera_pieces(index: int = 0) -> Iterator[Piece]:
    """What the camera sees, until the caller stops."""
    yield from encoded_pieces(camera_frames(index))


def camera_frames(index: int) -> Iterator[tuple[int, Any]]:
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what fails is said once, by us
    capture = cv2.VideoCapture(index)
    try:
        if not capture.isOpened():
            raise MediaError(f"Camera {index} can't be opened; close what uses it, or name another: camera:1.")
        began_s = time.monotonic()
        while True:
            there, picture = capture.read()
            if not there:
                raise MediaError(f"Camera {index} stopped sending pictures; plug it in again.")
            yield (
                round(1000 * (time.monotonic() - began_s)),
                av.VideoFrame.from_ndarray(np.asarray(picture, np.uint8), format="bgr24"),
            )
    finally:
        capture.release()


def encoded_pieces(frames: Iterator[tuple[int, Any]]) -> Iterator[Piece]:
    """Frames -> h264 in fragmented mp4, frame by frame."""
    tap = Tap()
    name, options = MUXER_OPTIONS["fmp4"]
    last_ms = -1
    with av.open(tap, "w", format=name, options=options) as out:
        stream: Any = None
        for at_ms, frame in frames:
            if at_ms <= last_ms:
                continue
            if stream is None:
                stream = out.add_stream("libx264", rate=CAMERA_RATE_HZ, options=ENCODER_OPTIONS)
                stream.width, stream.height, stream.pix_fmt = even(frame.width), even(frame.height), "yuv420p"
                stream.codec_context.time_base = TIME_BASE
            picture = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
            picture.pts, picture.time_base = round(at_ms * TIME_BASE.denominator / 1000), TIME_BASE
            picture.pict_type = av.video.frame.PictureType.NONE
            out.mux(stream.encode(picture))
            yield from taken(tap, max(0, last_ms))
            last_ms = at_ms
        if stream is not None:
            out.mux(stream.encode(None))
    yield from taken(tap, max(0, last_ms))


def even(size: int) -> int:
    return max(2, size - size % 2)
