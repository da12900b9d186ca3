"""Rendered clips of the synthetic signer on disk: small pictures of every frame with their truth.

Rendering is the costly part of a recipe, and the eyes change more often than the signer does. So a clip is drawn once
and kept as JPEG pictures: the locator's view (160x120), a generous picture of each hand (box enlarged by `HAND_MARGIN`)
and of the mouth. Boxes found later by any locator are then cut out of these pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.clock import FRAME_RATE_HZ, HEIGHT, WIDTH
from models.synthetic import corpus

PARTS = ("right_hand", "left_hand", "face", "mouth")
THUMB = (160, 120)
HAND_MARGIN, HAND_SIDE = 2.0, 104
MOUTH_MARGIN, MOUTH_SIDE = 1.8, 60
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 88]

Picture = NDArray[np.uint8]
Box = tuple[float, float, float]


@dataclass(frozen=True)
class Cached:
    """One clip: pictures as JPEG bytes a frame and the truth; boxes (T, 4, 3) in `PARTS` order, NaN where absent."""

    thumbs: list[bytes]
    hands: tuple[list[bytes], list[bytes]]
    mouths: list[bytes]
    boxes: NDArray[np.float32]
    routes: NDArray[np.int8]
    glosses: list[tuple[str, int, int]]
    letters: list[tuple[str, int, int]]
    phonemes: list[tuple[str, int, int]]
    english: str
    tokens: list[str]

    def __len__(self) -> int:
        return len(self.routes)


def window(box: Box, margin: float) -> tuple[float, float, float]:
    """Centre x, centre y and side of an enlarged box, in canvas pixels."""
    return box[0] * WIDTH, box[1] * HEIGHT, box[2] * HEIGHT * margin


def cut(picture: Picture, centre: tuple[float, float], side: float, out: int) -> Picture:
    """The square of `side` pixels around `centre`, resampled to `out` x `out`; outside the picture the edge repeats."""
    scale = out / max(side, 1e-3)
    matrix = np.array(
        [[scale, 0, out / 2 - scale * centre[0]], [0, scale, out / 2 - scale * centre[1]]], dtype=np.float32
    )
    if scale < 0.7:
        return _shrunk(picture, centre, side, out)
    cutout = cv2.warpAffine(picture, matrix, (out, out), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cutout, np.uint8)


def _shrunk(picture: Picture, centre: tuple[float, float], side: float, out: int) -> Picture:
    """`cut` for strong reductions: area averages keep thin fingers."""
    half = max(1, round(side / 2))
    x, y = round(centre[0]), round(centre[1])
    height, width = picture.shape[:2]
    x0, x1 = np.clip([x - half, x + half], 0, width)
    y0, y1 = np.clip([y - half, y + half], 0, height)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((out, out, *picture.shape[2:]), np.uint8)
    pads = (y0 - (y - half), (y + half) - y1, x0 - (x - half), (x + half) - x1)
    top, bottom, left, right = (int(pad) for pad in pads)
    square = cv2.copyMakeBorder(picture[y0:y1, x0:x1], top, bottom, left, right, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(square, (out, out), interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(picture: Picture) -> bytes:
    return cv2.imencode(".jpg", picture, JPEG)[1].tobytes()


def _spans(spans: Iterable[object]) -> list[tuple[str, int, int]]:
    return [(str(s.text), round(s.start_ms), round(s.end_ms)) for s in spans]  # type: ignore[attr-defined]


def record(seed: int, *, held_out: bool) -> Cached:
    """Draws one clip and keeps its small pictures."""
    clip = corpus.clip(seed, held_out=held_out)
    thumbs: list[bytes] = []
    hands: tuple[list[bytes], list[bytes]] = ([], [])
    mouths: list[bytes] = []
    boxes: list[list[Box]] = []
    absent = (float("nan"),) * 3
    for frame, found in clip.frames():
        thumbs.append(_jpeg(np.asarray(cv2.resize(frame, THUMB, interpolation=cv2.INTER_AREA), np.uint8)))
        row = [found.get(part) or absent for part in PARTS]
        for side in range(2):
            hands[side].append(_picture(frame, row[side], HAND_MARGIN, HAND_SIDE))
        mouth = _picture(frame, row[3], MOUTH_MARGIN, MOUTH_SIDE, grey=True)
        mouths.append(mouth)
        boxes.append(row)
    script = clip.script
    return Cached(
        thumbs, hands, mouths, np.asarray(boxes, np.float32), np.asarray(script.routes, np.int8),
        _spans(script.glosses), _spans(script.letters), _spans(script.phonemes),
        script.sentence.english, list(script.sentence.tokens),
    )  # fmt: skip


def _picture(frame: Picture, box: Box, margin: float, out: int, *, grey: bool = False) -> bytes:
    if np.isnan(box[0]):
        return b""
    x, y, side = window(box, margin)
    picture = cut(frame, (x, y), side, out)
    return _jpeg(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8) if grey else picture)


def save(clip: Cached, path: Path) -> None:
    """Writes the clip as one npz of concatenated bytes, first beside its place, then renamed."""
    streams = [clip.thumbs, *clip.hands, clip.mouths]
    lengths = np.asarray([[len(piece) for piece in stream] for stream in streams], np.int32)
    data = np.frombuffer(b"".join(b"".join(stream) for stream in streams), np.uint8)
    spans = {"glosses": clip.glosses, "letters": clip.letters, "phonemes": clip.phonemes}
    text = json.dumps({**spans, "english": clip.english, "tokens": clip.tokens})
    beside = path.with_suffix(".part.npz")
    np.savez(beside, lengths=lengths, data=data, boxes=clip.boxes, routes=clip.routes, text=np.array(text))
    beside.rename(path)


def load(path: Path) -> Cached:
    """Reads one clip back."""
    with np.load(path) as stored:
        lengths, data = stored["lengths"], stored["data"].tobytes()
        boxes, routes, text = stored["boxes"], stored["routes"], json.loads(str(stored["text"]))
    ends = np.cumsum(lengths.reshape(-1))
    pieces = [data[end - length : end] for end, length in zip(ends, lengths.reshape(-1), strict=True)]
    steps = lengths.shape[1]
    streams = [pieces[row * steps : (row + 1) * steps] for row in range(4)]
    spans = {key: [(s[0], s[1], s[2]) for s in text[key]] for key in ("glosses", "letters", "phonemes")}
    return Cached(streams[0], (streams[1], streams[2]), streams[3], boxes, routes, spans["glosses"], spans["letters"],
                  spans["phonemes"], text["english"], text["tokens"])  # fmt: skip


def decode(data: bytes, *, grey: bool = False) -> Picture | None:
    """One JPEG picture, or None where nothing was kept."""
    if not data:
        return None
    way = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_UNCHANGED
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), way), np.uint8)


def draw(folder: Path, seeds: range, *, held_out: bool = False, workers: int = 2) -> int:
    """Renders the clips that are not there yet; returns how many frames the folder's new clips hold."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not (folder / f"{seed}.npz").exists()]
    if workers <= 1:
        return sum(_draw_one(folder, seed, held_out) for seed in missing)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_draw_one, folder, seed, held_out) for seed in missing]
        return sum(job.result() for job in jobs)


def _draw_one(folder: Path, seed: int, held_out: bool) -> int:
    cv2.setNumThreads(1)
    clip = record(seed, held_out=held_out)
    save(clip, folder / f"{seed}.npz")
    return len(clip)


def frame_symbols(clip: Cached, *, guard: float = 0.15) -> list[str]:
    """The joint symbol of every step: "NAME", "#M", "" (blank), or "?" near a sign's edge (`guard`): not trained."""
    symbols = [""] * len(clip)
    for prefix, spans in (("", clip.glosses), ("#", clip.letters)):
        for text, start_ms, end_ms in spans:
            start, end = (round(ms * FRAME_RATE_HZ / 1000) for ms in (start_ms, end_ms))
            edge = int((end - start) * guard) if not prefix else 0
            for step in range(max(0, start), min(len(symbols), max(end, start + 1))):
                inside = start + edge <= step < end - edge or end - start <= 2
                symbols[step] = prefix + text if inside else "?"
    return symbols
