"""Rendered clips to cached features: the frozen eyes see every clip once, with the locator's own boxes.

The boxes come from the locator that will be used live, smoothed as live, so its errors are part of what the experts
learn. Where it looks for a hand that is elsewhere, the crop is cut from what was really there.
"""

from __future__ import annotations

import functools
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models import crops
from models.checkpoint import load
from models.clock import FRAME_RATE_HZ, HEIGHT, WIDTH
from models.features import HandEncoder
from models.layout import HAND, MANUAL, MOUTH
from models.lips import MouthEncoder
from models.locate import Boxes, BoxSmoother, Locator
from models.training import clip_cache
from models.training.clip_cache import HAND_MARGIN, MOUTH_MARGIN, Box, Cached, Picture
from models.training.feature_clips import FeatureClip, save
from models.training.feature_sets import FEATURES

CLIPS = Path("runs/clips")
HELD_OUT_CLIPS = Path("runs/clips_held_out")
CLIPS_A_FILE = 200
FIRST_HELD_OUT_SEED = 1_500_000
"""Validation signers: apart from training (below a million) and from `signbind evaluate synthetic` (from a million)."""


class Eyes:
    """Locator and encoders of a checkpoint, for pictures from the clip cache."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self.locator = load(Locator, folder, "locate")
        self.hand = load(HandEncoder, folder, "hand_encoder")
        self.mouth = load(MouthEncoder, folder, "mouth_encoder")

    @torch.inference_mode()
    def see(self, clip: Cached) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (T, 216) and (T, 96) of one clip."""
        thumbs = [clip_cache.decode(data) for data in clip.thumbs]
        found = self.locator.find_small(np.stack([thumb for thumb in thumbs if thumb is not None]))
        smoother = BoxSmoother()
        boxes = [smoother(frame) for frame in found]
        manual, mouth = np.zeros((len(clip), MANUAL), np.float32), np.zeros((len(clip), MOUTH), np.float32)
        previous: Boxes | None = None
        hands: list[tuple[int, int, Picture]] = []
        mouths: list[tuple[int, Picture]] = []
        for step, row in enumerate(boxes):
            manual[step, 2 * HAND :] = crops.geometry(row, previous)
            previous = row
            for side, part in enumerate(("right_hand", "left_hand")):
                if (box := row.get(part)) is not None:
                    hands.append((step, side, hand_crop(clip, step, box, left=side == 1)))
            if (box := row.get("mouth")) is not None:
                mouths.append((step, mouth_crop(clip, step, box)))
        self._encode(hands, mouths, manual, mouth)
        return manual, mouth

    def _encode(
        self, hands: list[tuple[int, int, Picture]], mouths: list[tuple[int, Picture]],
        manual: NDArray[np.float32], mouth: NDArray[np.float32],
    ) -> None:  # fmt: skip
        for start in range(0, len(hands), 64):
            part = hands[start : start + 64]
            vectors = self.hand(torch.from_numpy(np.stack([piece[2] for piece in part]))).numpy()
            for (step, side, _), vector in zip(part, vectors, strict=True):
                manual[step, side * HAND : (side + 1) * HAND] = vector
        if mouths:
            vectors = self.mouth(torch.from_numpy(np.stack([piece[1] for piece in mouths]))).numpy()
            for (step, _), vector in zip(mouths, vectors, strict=True):
                mouth[step] = vector


def hand_crop(clip: Cached, step: int, box: Box, *, left: bool) -> Picture:
    """The live crop of `box`, cut from whichever kept picture covers it best: a hand's own, else the small frame."""
    margins = [(clip.boxes[step, side], clip.hands[side][step]) for side in range(2)]
    near = [
        (abs(kept[0] - box[0]) * WIDTH + abs(kept[1] - box[1]) * HEIGHT, kept, data) for kept, data in margins if data
    ]
    best = min(near, key=lambda item: item[0], default=None)
    if best is not None and best[0] < best[1][2] * HEIGHT * 0.75:
        picture = clip_cache.decode(best[2])
        assert picture is not None
        return _from_kept(picture, best[1], HAND_MARGIN, box, crops.HAND_ENLARGE, crops.HAND_SIDE, left)
    thumb = clip_cache.decode(clip.thumbs[step])
    assert thumb is not None
    return _from_small(thumb, box, crops.HAND_ENLARGE, crops.HAND_SIDE, left)


def mouth_crop(clip: Cached, step: int, box: Box) -> Picture:
    """The live mouth crop of `box`, grey."""
    kept, data = clip.boxes[step, 3], clip.mouths[step]
    if data and abs(kept[0] - box[0]) * WIDTH + abs(kept[1] - box[1]) * HEIGHT < kept[2] * HEIGHT:
        picture = clip_cache.decode(data, grey=True)
        assert picture is not None
        return _from_kept(picture, kept, MOUTH_MARGIN, box, crops.MOUTH_ENLARGE, crops.MOUTH_SIDE, False)
    thumb = clip_cache.decode(clip.thumbs[step])
    assert thumb is not None
    grey = np.asarray(cv2.cvtColor(thumb, cv2.COLOR_RGB2GRAY), np.uint8)
    return _from_small(grey, box, crops.MOUTH_ENLARGE, crops.MOUTH_SIDE, False)


def _from_kept(
    picture: Picture, kept: NDArray[np.float32], margin: float, box: Box, enlarge: float, out: int, left: bool
) -> Picture:
    x, y, side = clip_cache.window((float(kept[0]), float(kept[1]), float(kept[2])), margin)
    scale = picture.shape[0] / side
    centre = ((box[0] * WIDTH - x + side / 2) * scale, (box[1] * HEIGHT - y + side / 2) * scale)
    cutout = clip_cache.cut(picture, centre, box[2] * HEIGHT * enlarge * scale, out)
    return np.ascontiguousarray(cutout[:, ::-1]) if left else cutout


def _from_small(thumb: Picture, box: Box, enlarge: float, out: int, left: bool) -> Picture:
    scale = thumb.shape[0] / HEIGHT
    centre = (box[0] * WIDTH * scale, box[1] * HEIGHT * scale)
    cutout = clip_cache.cut(thumb, centre, box[2] * HEIGHT * enlarge * scale, out)
    return np.ascontiguousarray(cutout[:, ::-1]) if left else cutout


def feature_clip(eyes: Eyes, clip: Cached) -> FeatureClip:
    """One clip as the experts will see it."""
    manual, mouth = eyes.see(clip)
    joint = [(s[1], s[0]) for s in clip.glosses] + [(s[1], "#" + s[0]) for s in clip.letters]
    tokens = tuple(text for _, text in sorted(joint, key=lambda item: item[0]))
    symbols = tuple(clip_cache.frame_symbols(clip))
    phonemes = tuple(s[0] for s in sorted(clip.phonemes, key=lambda s: s[1]))
    return FeatureClip(manual, mouth, clip.routes, symbols, tokens, phonemes, clip.english)


@functools.lru_cache(maxsize=1)
def _eyes(folder: Path) -> Eyes:
    return Eyes(folder)


def _encode_file(folder: Path, paths: list[Path], target: Path) -> int:
    eyes = _eyes(folder)
    clips = [feature_clip(eyes, clip_cache.load(path)) for path in paths]
    save(clips, target)
    return sum(map(len, clips))


def train(
    data: Path, out: Path, *, minutes: float = 30, seed: int = 0, clips: int = 2000, held_out: int = 120,
    workers: int = 2, target: Path = FEATURES,
) -> dict[str, float]:  # fmt: skip
    """Draws what is missing of `clips` training and `held_out` validation clips and encodes them all; resumes."""
    del data, minutes
    first = seed * 100_000
    clip_cache.draw(HELD_OUT_CLIPS, range(FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + held_out), held_out=True,
                    workers=workers)  # fmt: skip
    clip_cache.draw(CLIPS, range(first, first + clips), workers=workers)
    frames = encode(out, target, workers=workers)
    return {"frames": float(frames), "hours": frames / FRAME_RATE_HZ / 3600}


def encode(checkpoint: Path, target: Path = FEATURES, *, workers: int = 2) -> int:
    """Encodes every cached clip that has no features yet; files hold `CLIPS_A_FILE` clips."""
    paths = sorted(CLIPS.glob("[0-9]*.npz"), key=lambda path: int(path.stem))
    jobs = [(paths[i : i + CLIPS_A_FILE], target / f"synthetic{i // CLIPS_A_FILE:03d}.pt")
            for i in range(0, len(paths), CLIPS_A_FILE)]  # fmt: skip
    jobs.append((sorted(HELD_OUT_CLIPS.glob("[0-9]*.npz")), target / "held_out.pt"))
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(_encode_file, checkpoint, group, file) for group, file in jobs if not file.exists()]
        return sum(future.result() for future in futures)
