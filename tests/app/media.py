"""Small real videos, made by libav in the test."""

from __future__ import annotations

import io
import struct
from functools import cache

import av
import cv2
import numpy as np
from numpy.typing import NDArray

MUXERS = {
    "webm": ("webm", {"live": "1", "cluster_size_limit": "1"}),
    "webm_file": ("webm", {}),
    "fmp4": ("mp4", {"movflags": "frag_every_frame+empty_moov+default_base_moof"}),
    "mp4": ("mp4", {}),
}
ENCODERS = {
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "1"},
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
}


def picture(index: int, width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """A moving bright square on grey."""
    image = np.full((height, width, 3), 90, np.uint8)
    at = (index * 7) % max(1, width - 30)
    image[height // 3 : height // 3 + 30, at : at + 30] = (220, 180, 60)
    return image


@cache
def video(
    kind: str = "webm", codec: str = "libvpx", frames: int = 25, size: tuple[int, int] = (160, 120), rate: int = 25
) -> bytes:
    """A whole video file or stream."""
    name, options = MUXERS[kind]
    target = io.BytesIO()
    with av.open(target, "w", format=name, options=options) as out:
        stream = out.add_stream(codec, rate=rate, options=ENCODERS[codec])
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")))
        out.mux(stream.encode(None))
    return target.getvalue()


@cache
def sound() -> bytes:
    """A WebM with an audio track only."""
    target = io.BytesIO()
    with av.open(target, "w", format="webm") as out:
        stream = out.add_stream("libopus", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960 * 2), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 48_000
        for _ in range(20):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target.getvalue()


@cache
def packets(codec: str = "libvpx", frames: int = 25, size: tuple[int, int] = (160, 120)) -> tuple[bytes, ...]:
    """Messages of a `packets` stream."""
    with av.open(io.BytesIO(video("webm_file", codec, frames, size)) if codec == "libvpx" else io.BytesIO()) as source:
        return tuple(
            packet_message(index, int((packet.pts or 0) * 1000), packet.is_keyframe, bytes(packet))
            for index, packet in enumerate(packet for packet in source.demux(video=0) if packet.size)
        )


def packet_message(sequence: int, pts_us: int, is_key: bool, payload: bytes) -> bytes:
    return struct.pack(">BIqB", 1, sequence, pts_us, int(is_key)) + payload


def jpeg_messages(frames: int = 25, size: tuple[int, int] = (160, 120)) -> list[bytes]:
    return [
        packet_message(index, index * 40_000, True, cv2.imencode(".jpg", picture(index, *size))[1].tobytes())
        for index in range(frames)
    ]


def slices(data: bytes, size: int = 700) -> list[bytes]:
    """A byte stream cut anywhere."""
    return [data[at : at + size] for at in range(0, len(data), size)]
