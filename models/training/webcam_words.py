"""Words of single letters recorded at a webcam: frames of each letter in a row, for `evaluate fingerspelling`.

The signer of `webcam_letters` is never trained on for letters, so the words are of an unseen signer. J and Z are drawn in the
air: a whole one is taken, every second frame, since the signer takes one and a third seconds over each; other letters are
consecutive frames from the middle of their recording.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from models.clock import FRAME_RATE_HZ
from models.video import frames

WORDS = tuple(
    """MARIA JAZZ QUICK BROWN FOX LAZY DOG VIXEN WALTZ NYMPH BERLIN TOKYO HAZEL JOSEPH VICTOR WENDY OXFORD KYLE BUDGET
    PIXEL GRAVITY SPHINX ZEBRA MOUNT CLARK FRIDAY""".split()
)

DRAWN = {"J": ((33, 64), (85, 116), (138, 168)), "Z": ((14, 51), (62, 97), (109, 145))}
"""First and last frame of whole letters in the recordings of what is drawn in the air, by the hand's path."""
DRAWN_EVERY = 2


def write(
    data: Path, out: Path, *, words: tuple[str, ...] | list[str] = WORDS, frames_a_letter: int = 6, seed: int = 0
) -> None:
    """Writes out/WORD.mp4 for every word from data/webcam_letters/LETTER.mp4."""
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    kept: dict[str, list[NDArray[np.uint8]]] = {}
    for word in words:
        for letter in word:
            if letter not in kept:
                kept[letter] = list(frames(data / "webcam_letters" / f"{letter}.mp4"))
        _write_word([_stretch(kept[letter], letter, frames_a_letter, rng) for letter in word], out / f"{word}.mp4")


def _stretch(
    recorded: list[NDArray[np.uint8]], letter: str, count: int, rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    if letter in DRAWN:
        first, last = DRAWN[letter][int(rng.integers(len(DRAWN[letter])))]
        return recorded[first : last + 1 : DRAWN_EVERY]
    start = int(rng.integers(len(recorded) // 4, max(len(recorded) // 4 + 1, 3 * len(recorded) // 4 - count)))
    return recorded[start : start + count]


def _write_word(pieces: list[list[NDArray[np.uint8]]], path: Path) -> None:
    height, width = pieces[0][0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE_HZ, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for piece in pieces:
            for picture in piece:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
