"""Video files to canvas frames on the frame clock, for recipes and evaluation (the service decodes in `app/ingest`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from models.canvas import letterbox
from models.clock import FRAME_RATE_HZ

Picture = NDArray[np.uint8]
SLACK_S = 1e-3  # a frame this little before its tick still stands at it


def frames(path: Path) -> Iterator[Picture]:
    """Every frame as uint8 RGB, as it is in the file; raises ValueError when the file holds no video."""
    for _, frame in _timed(path):
        yield frame


def canvas_frames(path: Path) -> Iterator[Picture]:
    """`frames` letterboxed to the canvas, on the clock."""
    for frame in on_clock(_timed(path)):
        yield letterbox(frame)[0]


def on_clock(timed: Iterable[tuple[float, Picture]]) -> Iterator[Picture]:
    """Frames with times from 0 in seconds -> one a step: at every tick stands the nearest frame before it."""
    tick, last = 0, None
    for time_s, frame in timed:
        while last is not None and tick / FRAME_RATE_HZ < time_s - SLACK_S:
            yield last
            tick += 1
        last = frame
    if last is not None:
        yield last


def _timed(path: Path) -> Iterator[tuple[float, Picture]]:
    """Seconds since the stream's start, and the frame."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"expected a video in {path}, but it has no video stream: give another file")
            stream = container.streams.video[0]
            begun_s = float((stream.start_time or 0) * (stream.time_base or 0))
            for frame in container.decode(stream):
                yield float(frame.time or 0.0) - begun_s, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except av.FFmpegError as error:
        raise ValueError(
            f"expected a video in {path}, but it cannot be decoded ({error}): give another file"
        ) from error
