"""`python -m app.sample`: draws the page's sample anew, the synthetic signer saying a few sentences.

The result, `app/web/sample.webm`, is kept in the repository, so that the page needs nothing but the file: every frame is
a cluster of its own, so that the page can send it frame by frame at its pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from models.clock import FRAME_RATE_HZ, HEIGHT, WIDTH
from models.synthetic import corpus

PATH = Path(__file__).parent / "web" / "sample.webm"
SENTENCES = ("My name is Maria.", "I want to learn.", "Thank you for your help.")
SEED = 1_000_072
"""A signer that training never saw, in a picture with little noise, so that the file stays small."""
MUXER = {"live": "1", "cluster_size_limit": "1"}
ENCODER = {"deadline": "good", "cpu-used": "2", "crf": "42", "b": "0", "row-mt": "1", "lag-in-frames": "0"}


def frames() -> Iterator[NDArray[np.uint8]]:
    """(HEIGHT, WIDTH, 3) RGB, one sentence after the other by the same signer."""
    for sentence in SENTENCES:
        for frame, _ in corpus.clip(SEED, sentence, held_out=True).frames():
            yield frame


def draw(path: Path) -> None:
    with av.open(str(path), "w", format="webm", options=MUXER) as out:
        stream = out.add_stream("libvpx-vp9", rate=FRAME_RATE_HZ, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames():
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


if __name__ == "__main__":
    draw(PATH)
