"""Video files on the clock; what holds no video is said in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from models.video import canvas_frames, frames

READERS = pytest.mark.parametrize("read", [frames, canvas_frames])


def write_video(path: Path, rate: int, count: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for shade in range(count):
            picture = np.full((72, 96, 3), 10 * shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_every_step_of_the_clock_shows_the_newest_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "slow.mp4", 12, 13)  # a second and a frame
    seen = list(canvas_frames(tmp_path / "slow.mp4"))
    assert {frame.shape for frame in seen} == {(480, 640, 3)}
    shades = [round(int(frame[240, 320, 0]) / 10) for frame in seen]
    assert shades == [*(tick * 12 // 25 for tick in range(25)), 12]
    assert len(list(frames(tmp_path / "slow.mp4"))) == 13


@READERS
def test_what_is_no_video_is_said(tmp_path: Path, read: Callable[[Path], object]) -> None:
    write_sound(tmp_path / "sound.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    for name, said in (("sound.mp4", "no video stream"), ("text.mp4", "cannot be decoded")):
        with pytest.raises(ValueError, match=said):
            list(read(tmp_path / name))  # type: ignore[call-overload]
