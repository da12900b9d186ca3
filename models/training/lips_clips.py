"""Speaking mouths for training: generous grey pictures with phonemes and words in time, of GRID and of the drawn signer.

A clip keeps the mouth at `SIDE` pixels for a box enlarged by `MARGIN`, the scale of the live crop (40 pixels for a box
enlarged by 1.2), so that a look can cut the crop a little off, as a locator does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.canvas import Placement, placement
from models.clock import FRAME_RATE_HZ
from models.locate import BoxSmoother
from models.training.grid import (
    GridClip,
    PhonemeSpan,
    mouth_track,
    phoneme_spans,
    read_frames,
    read_words,
    teacher_tracks,
)
from models.training.labels import ctc_steps
from models.vocabulary import PHONEMES, Vocabulary

CROP_MARGIN = 1.2
MARGIN, SIDE = 1.8, 60
COLOUR_TO_BOX = 1.5  # side of a mouth's box over the lips' width that `mouth_track` finds; measured on GRID
VOCABULARY = Vocabulary(PHONEMES)

Pictures = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Timed = tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class Word:
    """A spoken word, its place in frames, and how many of the clip's phonemes are its own."""

    text: str
    start: float
    end: float
    phonemes: int


@dataclass(frozen=True)
class MouthClip:
    """Grey pictures uint8 (frames, 60, 60) and what the mouth says; a phoneme is (id, start, end) in frames.

    `words` cover all phonemes, in order, where they are known (GRID): such clips may be spliced.
    """

    name: str
    pictures: Pictures
    phonemes: Timed
    words: tuple[Word, ...] = ()

    def __post_init__(self) -> None:
        needed = ctc_steps([phoneme[0] for phoneme in self.phonemes])
        if needed > len(self.pictures):
            raise ValueError(
                f"clip {self.name}: its {len(self.phonemes)} phonemes need {needed} steps, but it has "
                f"{len(self.pictures)} frames: leave it out or correct its alignment"
            )


# --- GRID -----------------------------------------------------------------------------------------------------


def timed(spans: Sequence[PhonemeSpan]) -> Timed:
    """Spans in seconds as (id, start, end) in frames."""
    ids = VOCABULARY.encode([span.text for span in spans])
    return tuple((i, s.start_s * FRAME_RATE_HZ, s.end_s * FRAME_RATE_HZ) for i, s in zip(ids, spans, strict=True))


def mouth_pictures(frames: Pictures, boxes: Boxes, margin: float, side: int) -> Pictures:
    """Cut each frame's box, enlarged by `margin`, to grey (frames, side, side); beyond the edge the last row repeats.

    Cut twice as large first: the live crop averages the pixels it covers, and sampling alone would skip some.
    """
    height, width = frames.shape[1:3]
    large, pictures = 2 * side, np.empty((len(frames), side, side), np.uint8)
    for row, (frame, (x, y, size)) in enumerate(zip(frames, boxes, strict=True)):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        scale = large / (size * height * margin)
        matrix = np.array([[scale, 0, side - scale * x * width], [0, scale, side - scale * y * height]])
        cut = cv2.warpAffine(grey, matrix, (large, large), borderMode=cv2.BORDER_REPLICATE)
        pictures[row] = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA)
    return pictures


def colour_boxes(frames: Pictures) -> Boxes:
    """Boxes (frames, 3) as the teacher has them, but by the lips' colour."""
    return np.asarray(mouth_track(frames) * np.array([1, 1, COLOUR_TO_BOX]), np.float32)


def steadied(boxes: Boxes, place: Placement) -> Boxes | None:
    """Boxes (frames, 3) of a picture, NaN where none is known, as the live path's smoother would hand them on.

    The frames before the first box get that box; None where there is no box at all.
    """
    smoother, steady = BoxSmoother(), np.full_like(boxes, np.nan)
    for row, box in enumerate(boxes):
        seen = None if np.isnan(box[0]) else place.to_canvas((float(box[0]), float(box[1]), float(box[2])))
        kept = smoother({"mouth": seen})["mouth"]
        if kept is not None:
            steady[row] = place.to_picture(kept)
    known = np.flatnonzero(~np.isnan(steady[:, 0]))
    if not len(known):
        return None
    before = np.maximum.accumulate(np.where(np.isnan(steady[:, 0]), -1, np.arange(len(steady))))
    return np.asarray(steady[np.where(before < 0, known[0], before)], np.float32)


def grid_clip(clip: GridClip, boxes: Boxes | None = None) -> MouthClip:
    """One clip of GRID; `boxes` (frames, 3) are a teacher's, else the mouth is found by its colour."""
    frames = read_frames(clip.video)
    steady = None if boxes is None else steadied(boxes[: len(frames)], placement(frames.shape[2], frames.shape[1]))
    pictures = mouth_pictures(frames, colour_boxes(frames) if steady is None else steady, MARGIN, SIDE)
    spoken = read_words(clip.align)
    counts = [len(phoneme_spans([word])) for word in spoken]
    words = [
        Word(word.text, word.start_s * FRAME_RATE_HZ, word.end_s * FRAME_RATE_HZ, count)
        for word, count in zip(spoken, counts, strict=True)
    ]
    return MouthClip(clip.name, pictures, timed(phoneme_spans(spoken)), tuple(words))


def read_grid(clips: Sequence[GridClip], teacher: Path, workers: int = 8) -> list[MouthClip]:
    """`grid_clip` of all, in threads: OpenCV works without the interpreter's lock. `teacher` is teacher_labels' file;
    where there is none, mouths are found by colour."""
    tracks = teacher_tracks(teacher)
    boxes = [tracks[clip.name].mouth if clip.name in tracks else None for clip in clips]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(grid_clip, clips, boxes))


# --- the drawn signer -----------------------------------------------------------------------------------------


def drawn_clip(path: Path) -> MouthClip:
    """One drawn clip: `mouths` uint8 (frames, 60, 60), and in the JSON `text` "phonemes" [phoneme, start, end] in ms."""
    with np.load(path) as stored:
        pictures, text = stored["mouths"], json.loads(str(stored["text"]))
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (SIDE, SIDE):
        raise ValueError(
            f"{path}: mouths are uint8 (frames, {SIDE}, {SIDE}), but got {pictures.dtype} {pictures.shape}: draw anew"
        )
    per_ms = FRAME_RATE_HZ / 1000
    spans = [(VOCABULARY.encode([text])[0], start * per_ms, end * per_ms) for text, start, end in text["phonemes"]]
    return MouthClip(path.stem, pictures, tuple(spans))


def drawn_clips(paths: Iterable[Path]) -> list[MouthClip]:
    """`drawn_clip` of all those that say something."""
    return [clip for clip in map(drawn_clip, paths) if clip.phonemes]


@dataclass
class DrawnFolder:
    """A folder into which clips are being drawn; every look gives those that are new."""

    folder: Path
    known: set[str] = field(default_factory=set)

    def new(self) -> list[MouthClip]:
        """Clips that have come since; names that start with a dot are still being written."""
        paths = sorted(self.folder.glob("*.npz"), key=lambda path: path.name) if self.folder.is_dir() else []
        fresh = [path for path in paths if path.name not in self.known and not path.name.startswith(".")]
        self.known |= {path.name for path in fresh}
        return drawn_clips(fresh)


def crops_between(pictures: Pictures) -> Pictures:
    """The live crop (frames, 40, 40) out of generous pictures, when the box lies as it was cached."""
    edge = round(SIDE * (1 - CROP_MARGIN / MARGIN) / 2)
    return np.ascontiguousarray(pictures[:, edge : SIDE - edge, edge : SIDE - edge])
