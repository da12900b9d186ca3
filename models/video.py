"""Video files to canvas frames on the frame clock, for recipes and evaluation (the service decodes in `app/ingest`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from models.canvas import letterbox
from models.clock import FRAME_RATE_HZ


def frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Every frame as uint8 RGB, as it is in the file; raises ValueError when the file holds no video."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"expected a video in {path}, but it has no video stream: give another file")
            for frame in container.decode(video=0):
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except av.FFmpegError as error:
        raise ValueError(
            f"expected a video in {path}, but it cannot be decoded ({error}): give another file"
        ) from error


def canvas_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Frames letterboxed to the canvas and resampled to the clock: the nearest earlier frame stands at every tick."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        tick, last = 0, None
        for frame in container.decode(stream):
            time_s = float(frame.time or 0.0) - float((stream.start_time or 0) * (stream.time_base or 0))
            while last is not None and tick / FRAME_RATE_HZ < time_s - 1e-3:
                yield last
                tick += 1
            last = _on_canvas(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
        if last is not None:
            yield last


def _on_canvas(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    placed = letterbox(frame)
    return placed[0] if isinstance(placed, tuple) else placed
