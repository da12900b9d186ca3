"""The frames of a sample on the clock and the canvas, whether it is a video, a part of one, or a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from models.canvas import letterbox
from models.training.corpora.sample import CorpusError, Sample
from models.video import SLACK_S, Picture, on_clock

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png")


def clip_frames(sample: Sample, most: int | None = None) -> list[Picture]:
    """Canvas frames (480, 640, 3) RGB, one a step, at most `most`; CorpusError for a clip that cannot be seen."""
    timed = _pictures(sample) if sample.frame_rate_hz else _video(sample)
    frames: list[Picture] = []
    for frame in on_clock(timed):
        frames.append(letterbox(frame)[0])
        if len(frames) == most:
            break
    if not frames:
        raise CorpusError(f"{sample.name}: no frame of {sample.clip} lies in its times; mend them or leave it out")
    return frames


def _video(sample: Sample) -> Iterator[tuple[float, Picture]]:
    try:
        with av.open(str(sample.clip)) as container:
            if not container.streams.video:
                raise CorpusError(f"{sample.name}: {sample.clip} has no video stream; fetch it anew")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # clips are read side by side, one thread each
            base = float(stream.time_base or 0)
            origin = (stream.start_time or 0) * base
            if sample.start_s > 0:
                container.seek(int((origin + sample.start_s) / base), stream=stream, backward=True)
            for frame in container.decode(stream):
                at = float(frame.time or 0.0) - origin - sample.start_s
                if sample.end_s is not None and at >= sample.end_s - sample.start_s - SLACK_S:
                    break
                if at >= -SLACK_S:
                    yield max(0.0, at), np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except av.FFmpegError as error:
        raise CorpusError(f"{sample.name}: {sample.clip} cannot be decoded ({error}); fetch it anew") from error


def _pictures(sample: Sample) -> Iterator[tuple[float, Picture]]:
    assert sample.frame_rate_hz, sample
    for number, path in enumerate(picture_files(sample.clip)):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise CorpusError(f"{sample.name}: {path} is no picture; unpack it anew")
        yield number / sample.frame_rate_hz, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def picture_files(folder: Path) -> list[Path]:
    """The numbered pictures of a folder, in order."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS)
