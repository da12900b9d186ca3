"""Real frames with the boxes of hands, face and mouth that MediaPipe put on them."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

PARTS = ("left_hand", "right_hand", "face", "mouth")
Pixels = NDArray[np.uint8]
Boxes = dict[str, tuple[float, float, float]]


def labelled_frames(clip: Path, every: int = 1) -> Iterator[tuple[Pixels, Boxes]]:
    """Every n-th RGB frame of `clip` with its labels from the `.boxes.jsonl` beside it (a part is absent when not seen)."""
    labels = clip.parent / f"{clip.name.removesuffix(clip.suffix)}.boxes.jsonl"
    if not labels.is_file():
        raise ValueError(f"{clip.name} is expected to have its boxes in {labels.name} beside it: label or remove it")
    video = cv2.VideoCapture(str(clip))
    try:
        for number, line in enumerate(labels.read_text().splitlines()):
            if not video.grab():
                break
            if number % every == 0:
                frame = video.retrieve()[1]
                yield np.ascontiguousarray(frame[:, :, ::-1], np.uint8), read_boxes(line)
    finally:
        video.release()


def read_boxes(line: str) -> Boxes:
    """One line of a boxes.jsonl -> its parts' (centre_x / width, centre_y / height, side / height)."""
    found = json.loads(line)
    return {part: (float(x), float(y), float(side)) for part in PARTS if part in found for x, y, side in [found[part]]}
