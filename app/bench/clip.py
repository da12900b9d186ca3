"""A video -> encoded frames that every stream of the load shares: encoded once, before any clock runs.

The frames are H.264 pictures at 25 Hz for a `packets` stream, a key frame every second, so that streams may begin at
different places of the clip and go round it for as long as they like; a stream only puts its own header before each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np

from app.client_media import ENCODER_OPTIONS, MediaError, decoded_frames, even
from app.frames import Frame
from app.ingest.pace import Pacer
from app.ingest.planes import PlaneWriter
from app.protocol import KEY, MEDIA_HEADER, VIDEO
from models.canvas import I420_ROWS
from models.clock import FRAME_RATE_HZ, STEP_MS, WIDTH

START = {"type": "session.start", "media": "packets", "codec": "h264"}
LONGEST_CLIP_S = 120
ENCODER = {**ENCODER_OPTIONS, "g": str(FRAME_RATE_HZ), "keyint_min": str(FRAME_RATE_HZ), "sc_threshold": "0"}


@dataclass(frozen=True)
class EncodedFrame:
    payload: bytes
    is_key: bool


@dataclass(frozen=True)
class Clip:
    """One picture a frame, in order of showing; the first is a key frame, so the clip can follow itself."""

    frames: tuple[EncodedFrame, ...]

    @property
    def key_frames(self) -> tuple[int, ...]:
        """Where a stream may begin."""
        return tuple(index for index, frame in enumerate(self.frames) if frame.is_key)

    def message(self, first: int, number: int) -> bytes:
        """The media message of frame `number` (0, 1, ...) of a stream that begins at the clip's frame `first`."""
        frame = self.frames[(first + number) % len(self.frames)]
        header = MEDIA_HEADER.pack(VIDEO, number & 0xFFFFFFFF, number * STEP_MS * 1000, KEY if frame.is_key else 0)
        return header + frame.payload


def encoded_clip(file: Path) -> Clip:
    """The file's first LONGEST_CLIP_S, at 25 Hz; MediaError where it cannot be read."""
    frames = tuple(encoded(islice(at_frame_rate(file), LONGEST_CLIP_S * FRAME_RATE_HZ)))
    if not frames or not frames[0].is_key:
        raise MediaError(f"{file} could not be encoded as a live stream; record it again.")
    return Clip(frames)


def at_frame_rate(file: Path) -> Iterator[Any]:
    """One decoded picture a step, whatever the file's rate."""
    pacer, previous = Pacer(), None
    for at_ms, picture in decoded_frames(file, repeat_for_ms=0):
        place = pacer.place(at_ms)
        if place.tick is None:
            continue
        for _ in range(place.held):
            yield picture if previous is None else previous
        yield picture
        previous = picture


def canvases(file: Path, seconds: float = 10.0) -> list[Frame]:
    """The file's first seconds as the engine gets them, I420 (720, 640) each; MediaError where it cannot be read."""
    writer, drawn = PlaneWriter(), []
    for picture in islice(at_frame_rate(file), round(seconds * FRAME_RATE_HZ)):
        drawn.append(np.empty((I420_ROWS, WIDTH), np.uint8))
        writer.draw(picture, drawn[-1])
    return drawn


def encoded(pictures: Iterator[Any]) -> Iterator[EncodedFrame]:
    coder: Any = None
    for number, picture in enumerate(pictures):
        if coder is None:
            coder = encoder(even(picture.width), even(picture.height))
        picture = picture.reformat(width=coder.width, height=coder.height, format="yuv420p")
        picture.pts, picture.time_base = number, coder.time_base
        picture.pict_type = av.video.frame.PictureType.NONE
        yield from frames_of(coder.encode(picture))
    if coder is not None:
        yield from frames_of(coder.encode(None))


def encoder(width: int, height: int) -> Any:
    coder: Any = av.CodecContext.create("libx264", "w")
    coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
    coder.framerate, coder.options, coder.thread_count = FRAME_RATE_HZ, ENCODER, 1
    coder.time_base = 1 / coder.framerate
    return coder


def frames_of(packets: list[Any]) -> Iterator[EncodedFrame]:
    for packet in packets:
        yield EncodedFrame(bytes(packet), bool(packet.is_keyframe))
