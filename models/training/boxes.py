"""Real frames with the boxes of hands, face and mouth: MediaPipe's labels, GRID's mouths, hands laid onto pictures."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.canvas import placement
from models.clock import WIDTH
from models.locate import PARTS
from models.training.grid import FaceTrack, grid_clips, mouth_track, read_frames, teacher_tracks
from models.training.loop import RUNS
from models.training.splits import is_held_out_video

TEACHER = RUNS / "teacher" / "grid_mouths.npz"  # written by teacher_labels
POOL_WIDTH, POOL_HEIGHT = 256, 192  # of the frames kept for training: somewhat finer than what the locator sees
Pixels = NDArray[np.uint8]
Box = tuple[float, float, float]
Boxes = dict[str, Box]


@dataclass(frozen=True)
class Pool:
    """Frames of one kind: `frames` (N, height, width, 3) of the canvas' shape, `boxes` (N, 4, 3) in the order of
    `PARTS`, NaN where absent; `trust` (4,): how much a part's absence tells, 0 where it is never labelled."""

    frames: Pixels
    boxes: NDArray[np.float32]
    trust: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames)


def labelled_frames(clip: Path, every: int = 1) -> Iterator[tuple[Pixels, Boxes]]:
    """Every n-th RGB frame of `clip` with its labels from the `.boxes.jsonl` beside it (a part is absent when not seen)."""
    labels = clip.with_suffix(".boxes.jsonl")
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


def on_canvas(frame: Pixels, boxes: Boxes, width: int = POOL_WIDTH, height: int = POOL_HEIGHT) -> tuple[Pixels, Boxes]:
    """The frame letterboxed on a small canvas, and its boxes there."""
    place = placement(frame.shape[1], frame.shape[0])
    scale = width / WIDTH
    inner = (round(place.width * place.scale_x * scale), round(place.height * place.scale_y * scale))
    small = cv2.resize(frame, inner, interpolation=cv2.INTER_AREA if inner[0] < frame.shape[1] else cv2.INTER_LINEAR)
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = round(place.left * scale), round(place.top * scale)
    canvas[top : top + inner[1], left : left + inner[0]] = small
    return canvas, {part: place.to_canvas(box) for part, box in boxes.items()}


def as_rows(boxes: Boxes) -> NDArray[np.float32]:
    """(4, 3) in the order of PARTS; NaN where absent or where the centre is out of the picture."""
    rows = np.full((len(PARTS), 3), np.nan, np.float32)
    for number, part in enumerate(PARTS):
        box = boxes.get(part)
        if box is not None and 0 < box[0] < 1 and 0 < box[1] < 1:
            rows[number] = box
    return rows


def how2sign_pool(data: Path, every: int = 4) -> Pool:
    """Continuous signing at a distance, without the held-out videos."""
    clips = [c for c in sorted((data / "how2sign_clips").glob("*.mp4")) if not is_held_out_video(c.name)]
    return _pool(clips, every, trust=(0.4, 0.4, 1.0, 1.0))


def webcam_pool(data: Path, every: int = 6) -> Pool:
    """One signer spelling close to a webcam."""
    return _pool(sorted((data / "webcam_letters").glob("*.mp4")), every, trust=(0.4, 0.4, 1.0, 1.0))


def _pool(clips: list[Path], every: int, trust: tuple[float, float, float, float]) -> Pool:
    if not clips:
        raise ValueError(
            "labelled clips (NAME.mp4 with NAME.boxes.jsonl) are expected, found none: give the data folder"
        )
    pairs = [on_canvas(*pair) for clip in clips for pair in labelled_frames(clip, every)]
    frames = np.stack([frame for frame, _ in pairs])
    return Pool(frames, np.stack([as_rows(boxes) for _, boxes in pairs]), np.array(trust, np.float32))


def grid_pool(data: Path, clips: int = 240, a_clip: int = 3, teacher: Path = TEACHER) -> Pool:
    """Speaking faces that fill the picture, of training clips alone: mouths and faces as the teacher labelled them, or
    where it did not, mouths alone, by lip colour and motion. No hand is ever in these pictures."""
    names = grid_clips(data / "grid_lips", held_out=False)
    tracks = teacher_tracks(teacher)
    known = [clip for clip in names if clip.name in tracks] if tracks else names
    pairs = []
    for clip in known[:: max(1, len(known) // clips)][:clips]:
        frames = read_frames(clip.video)
        track = tracks[clip.name] if tracks else _by_colour(frames)
        for number in np.linspace(5, len(frames) - 6, a_clip).astype(int):
            pairs.append(on_canvas(frames[number], _face_boxes(track, number)))
    trust = (0.4, 0.4, 1.0, 1.0) if tracks else (0.0, 0.0, 0.0, 1.0)
    rows = np.stack([as_rows(boxes) for _, boxes in pairs])
    return Pool(np.stack([frame for frame, _ in pairs]), rows, np.array(trust, np.float32))


def _by_colour(frames: Pixels) -> FaceTrack:
    mouth = mouth_track(frames)
    return FaceTrack(mouth, np.full_like(mouth, np.nan))


def _face_boxes(track: FaceTrack, frame: int) -> Boxes:
    """One frame's boxes; without those that are not seen."""
    rows = {"mouth": track.mouth[frame].tolist(), "face": track.face[frame].tolist()}
    return {part: (x, y, side) for part, (x, y, side) in rows.items() if not np.isnan(x)}
