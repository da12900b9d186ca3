"""`signbind synth`: an English sentence to a video of the synthetic signer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import av
from av.video.stream import VideoStream

from models.clock import FRAME_RATE_HZ, HEIGHT, WIDTH
from models.synthetic import corpus

CODECS = {".mp4": ("libx264", {"crf": "21", "preset": "veryfast"}), ".webm": ("libvpx", {"crf": "14", "b": "1500k"})}


def synth(text: str, out: Path, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> None:
    """Writes `out` (.mp4 or .webm); `progress` hears (frames done, frames in all)."""
    if out.suffix.lower() not in CODECS:
        raise ValueError(f"clips are written as .mp4 or .webm, got {out.name}: change its ending")
    if not text.strip():
        raise ValueError("expected a sentence to sign, got none: write one")
    held_out = seed >= corpus.FIRST_HELD_OUT_SEED
    clip = corpus.clip(seed, text, held_out=held_out)
    total = len(clip.script.routes)
    codec, options = CODECS[out.suffix.lower()]
    with av.open(str(out), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=FRAME_RATE_HZ, options=options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for done, (frame, _) in enumerate(clip.frames(), 1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            if progress is not None:
                progress(done, total)
        container.mux(stream.encode())
