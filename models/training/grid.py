"""GRID: real mouths that speak known words. Clips, word times, phoneme targets, and where the mouth is in the picture.

A clip is `NAME.mp4` (25 fps) with `NAME.align` beside it: lines of `start end word`, times in 1/25000 s.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.pronunciation import pronounce

HELD_OUT_CLIPS = 90
TICKS_PER_S = 25_000
FRAME_RATE_HZ = 25
SILENCES = frozenset({"sil", "sp"})
LETTER_PHONEMES = {"a": ("EY",)}  # GRID's "a" is the letter; every other word reads as it does anywhere

Frames = NDArray[np.uint8]
Floats = NDArray[np.float32]


class PhonemeSpan(NamedTuple):
    """One phoneme with its place in the clip, in seconds."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class GridClip:
    """A clip's video and its alignment."""

    video: Path
    align: Path

    @property
    def name(self) -> str:
        return self.video.stem


def grid_clips(folder: Path, held_out: bool) -> list[GridClip]:
    """Clips of `folder` by name: the last 90 when held out, the others when not. A clip needs both its files."""
    videos = sorted(folder.glob("*.mp4")) if folder.is_dir() else []
    clips = [GridClip(video, video.with_suffix(".align")) for video in videos if video.with_suffix(".align").is_file()]
    if not clips:
        raise ValueError(f"expected GRID clips (*.mp4 with *.align) in {folder}, found none; fetch speaker s1 of GRID")
    cut = max(0, len(clips) - HELD_OUT_CLIPS)
    return clips[cut:] if held_out else clips[:cut]


def read_frames(path: Path) -> Frames:
    """All frames of a video, RGB, uint8 (frames, height, width, 3)."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    try:
        read, frame = capture.read()
        while read:
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            read, frame = capture.read()
    finally:
        capture.release()
    if not frames:
        raise ValueError(f"expected a video with frames, {path} has none that can be read; re-encode it as H.264 mp4")
    return np.stack(frames).astype(np.uint8, copy=False)


def read_words(path: Path) -> list[PhonemeSpan]:
    """The words of an align file with their times, silences dropped."""
    spans = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or not (fields[0].isdigit() and fields[1].isdigit()):
            raise ValueError(f"expected 'start end word' in {path} line {number}, got {line!r}; times are in 1/25000 s")
        if fields[2] not in SILENCES:
            spans.append(PhonemeSpan(fields[2], int(fields[0]) / TICKS_PER_S, int(fields[1]) / TICKS_PER_S))
    return spans


def phoneme_spans(words: list[PhonemeSpan]) -> list[PhonemeSpan]:
    """Each word's phonemes, spread evenly over the word's time."""
    spans = []
    for word in words:
        phonemes = LETTER_PHONEMES.get(word.text) or pronounce(word.text)
        step_s = (word.end_s - word.start_s) / len(phonemes)
        spans += [
            PhonemeSpan(phoneme, word.start_s + k * step_s, word.start_s + (k + 1) * step_s)
            for k, phoneme in enumerate(phonemes)
        ]
    return spans


def read_phonemes(clip: GridClip) -> list[PhonemeSpan]:
    """The phonemes that the clip's speaker says, with their times."""
    return phoneme_spans(read_words(clip.align))


# --- where the mouth is ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FaceTrack:
    """Boxes of a clip's `mouth` and `face`, float32 (frames, 3) as in `mouth_track`, NaN where not seen."""

    mouth: Floats
    face: Floats


def teacher_tracks(file: Path) -> dict[str, FaceTrack]:
    """The tracks that `teacher_labels` wrote, by the clips' names; none where there is no such file."""
    if not file.is_file():
        return {}
    with np.load(file) as kept:
        return {name: FaceTrack(kept[name], kept[f"{name}.face"]) for name in kept.files if not name.endswith(".face")}


def mouth_track(frames: Frames, smooth_frames: int = 9) -> Floats:
    """Mouth boxes `(centre_x/width, centre_y/height, side/height)`, float32 (frames, 3), of a close, frontal, speaking face
    (frames, height, width, 3).

    Lips are redder than skin (log R/G) and move; the strongest place of both near the face's axis is the mouth.
    Each frame's lip pixels around it give that frame's centre, smoothed over time; the side is one for the clip.
    """
    height, width = frames.shape[1:3]
    redness = np.stack([_redness(frame) for frame in frames])
    skin = _skin(np.median(frames[::5], axis=0))
    lips = np.clip(redness - np.median(redness[:, skin]), 0, 0.3) * cv2.erode(skin.astype(np.uint8), np.ones((3, 3)))
    seed_x, seed_y = _seed(frames, lips.mean(axis=0), skin)
    half = round(0.20 * height)
    top, left = max(0, seed_y - round(0.7 * half)), max(0, seed_x - half)
    window = lips[:, top : seed_y + half, left : seed_x + half]
    mask = np.where(window > 0.45 * np.percentile(window, 97), window, 0)
    centre = _centres(mask) + (left + 0.5, top + 0.5)
    centre = _smooth(centre / (width, height), smooth_frames)
    side = np.full((len(frames), 1), _lip_width(mask) / height)
    return np.concatenate([centre, side], axis=1).astype(np.float32)


def _redness(frame: Frames) -> Floats:
    """log(R/G), a little blurred: free of the light's brightness, (height, width)."""
    small = frame.astype(np.float32) + 8.0
    return cv2.GaussianBlur(np.log(small[..., 0] / small[..., 1]), (0, 0), frame.shape[0] / 60).astype(np.float32)


def _skin(picture: NDArray[np.floating]) -> NDArray[np.bool_]:
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    skin = (red > 1.15 * blue) & (red > green) & (red > 70)
    if skin.mean() < 0.02:
        raise ValueError("expected a close face in the clip, found almost no skin; give a frontal, lit face")
    return np.asarray(skin)


def _seed(frames: Frames, lips: Floats, skin: NDArray[np.bool_]) -> tuple[int, int]:
    """The pixel (x, y) where lip colour and motion agree best, near the face's vertical axis."""
    height, width = skin.shape
    green = frames[..., 1].astype(np.float32)
    motion = cv2.GaussianBlur(np.abs(green[2:] - green[:-2]).mean(axis=0), (0, 0), height / 25)
    columns = skin[height // 5 : height * 4 // 5].sum(axis=0).astype(np.float32)
    axis = (columns * np.arange(width)).sum() / max(1.0, columns.sum())
    near_axis = np.exp(-0.5 * ((np.arange(width) - axis) / (0.10 * width)) ** 2)
    lip_blob = cv2.GaussianBlur(lips.astype(np.float32), (0, 0), sigmaX=height * 0.09, sigmaY=height * 0.035)
    y, x = np.unravel_index(int((lip_blob * motion * near_axis).argmax()), skin.shape)
    return int(x), int(y)


def _centres(mask: NDArray[np.floating]) -> NDArray[np.floating]:
    """Mean place (x, y) of the lip colour on every frame; between neighbours where lips are rolled in and show none."""
    weight = mask.sum(axis=(1, 2))
    frames = np.arange(len(mask))
    shown = weight > 0.3 * np.median(weight)
    places = []
    for axis in (2, 1):
        profile = mask.sum(axis=3 - axis)
        place = (profile * np.arange(profile.shape[1])).sum(axis=1) / (weight + 1e-6)
        places.append(np.interp(frames, frames[shown], place[shown]))
    return np.stack(places, axis=1)


def _lip_width(mask: NDArray[np.floating]) -> float:
    """Width of the mouth in pixels: the columns that hold 96 % of the lip colour, the median over frames."""
    share = np.cumsum(mask.sum(axis=1), axis=1)
    share /= share[:, -1:] + 1e-6
    widths = (share < 0.98).sum(axis=1) - (share < 0.02).sum(axis=1)
    return float(1.15 * np.median(widths))


def _smooth(track: NDArray[np.floating], frames: int) -> NDArray[np.floating]:
    """Median then mean over `frames` neighbours, the ends repeated; (time, 2)."""
    half = frames // 2
    padded = np.pad(track, ((half, half), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, frames, axis=0)
    padded = np.pad(np.median(windows, axis=-1), ((half, half), (0, 0)), mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, frames, axis=0).mean(axis=-1))
