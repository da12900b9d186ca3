"""Drawn clips to cached features: the frozen encoders see every kept crop once."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.backends import Backend
from models.checkpoint import has, load
from models.clock import CHUNK_FRAMES, FRAME_RATE_HZ
from models.closer import CLOSER, Closer, Whereabouts
from models.features import HandEncoder
from models.layout import HAND, MANUAL, MOUTH
from models.lips import MouthEncoder
from models.synthetic import lexicon
from models.training import feature_sets, seen_clips
from models.training.feature_clips import FeatureClip, FeatureStore, Targets
from models.training.feature_sets import FEATURES
from models.training.loop import best_device, device_of
from models.training.seen_clips import CLIPS, HELD_OUT_CLIPS, SeenClip
from models.vocabulary import Vocabulary

CROPS_AT_ONCE, CLIPS_A_PART = 2048, 60
Floats = NDArray[np.float32]


class Encoders:
    """The eyes behind the locator, frozen."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.hand = load(HandEncoder, folder, "hand_encoder").to(device)
        self.mouth = load(MouthEncoder, folder, "mouth_encoder").to(device)
        self.closer = load(Closer, folder, CLOSER) if has(folder, CLOSER) else None
        self._look = self.closer and self.closer.looking(Backend("auto", device.type))

    def features(self, clip: SeenClip) -> tuple[Floats, Floats]:
        """Manual (T, 216) and mouth (T, 96) of one clip."""
        manual, mouth = np.zeros((len(clip), MANUAL), np.float32), np.zeros((len(clip), MOUTH), np.float32)
        manual[:, 2 * HAND :] = clip.geometry
        for side in range(2):
            own = clip.seen[:, side]
            manual[own, side * HAND : (side + 1) * HAND] = embedded(self.hand, clip.hands[own, side])
        if self.closer is not None:
            self._look_closer(self.closer, clip, manual)
        mouth[clip.seen[:, 2]] = embedded(self.mouth, clip.lips[clip.seen[:, 2]])
        return manual, mouth

    def _look_closer(self, closer: Closer, clip: SeenClip, manual: Floats) -> None:
        """What the closer look says of hands that may be spelling, in place."""
        see = self._look
        assert see is not None
        steps, sides = np.nonzero(clip.seen[:, :2])
        hands = manual[:, : 2 * HAND].reshape(-1, 2, HAND)
        known = hands[steps, sides]
        told = Whereabouts(clip.geometry[steps].astype(np.float32), sides == 1, *divmod(steps, CHUNK_FRAMES))
        closer.look(known, told, lambda rows: see(clip.closely(steps[rows], sides[rows])))
        hands[steps, sides] = known


@torch.inference_mode()
def embedded(encoder: nn.Module, crops: NDArray[np.uint8]) -> Floats:
    """Embeddings (N, width) of crops (N, ...); on a processor in bfloat16, in half the time and within 1 % of fp32's."""
    device = device_of(encoder)
    with torch.autocast("cpu", torch.bfloat16, enabled=device.type == "cpu"):
        return _embedded(encoder, crops, device)


def _embedded(encoder: nn.Module, crops: NDArray[np.uint8], device: torch.device) -> Floats:
    parts = [
        encoder(torch.from_numpy(crops[start : start + CROPS_AT_ONCE]).to(device)).float().cpu().numpy()
        for start in range(0, len(crops), CROPS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, HAND), np.float32)


def feature_clip(encoders: Encoders, clip: SeenClip) -> FeatureClip:
    """One clip as the experts will see it."""
    manual, mouth = encoders.features(clip)
    joint = [(s[1], s[0]) for s in clip.glosses] + [(s[1], "#" + s[0]) for s in clip.letters]
    tokens = tuple(text for _, text in sorted(joint, key=lambda item: item[0]))
    symbols = tuple(seen_clips.frame_symbols(clip))
    phonemes = tuple(s[0] for s in sorted(clip.phonemes, key=lambda s: s[1]))
    return FeatureClip(manual, mouth, clip.routes, symbols, tokens, phonemes, clip.english)


def encode(checkpoint: Path, paths: Sequence[Path], device: torch.device) -> FeatureStore:
    """Features of all clips; files are read ahead by a thread."""
    encoders, targets = _opened(checkpoint, device)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.map(seen_clips.read, paths)
        return FeatureStore.of([feature_clip(encoders, clip) for clip in ahead], targets)


@functools.lru_cache(maxsize=1)
def _opened(checkpoint: Path, device: torch.device) -> tuple[Encoders, Targets]:
    return Encoders(checkpoint, device), Targets.of(feature_sets.glosses_of(checkpoint / "glosses.txt"))


def train(
    data: Path, out: Path, *, minutes: float = 30, seed: int = 0, device: str | None = None, target: Path = FEATURES
) -> dict[str, float]:
    """Encodes all clips that `signbind train clips` has drawn."""
    del data, minutes, seed
    frames = encode_kept(out, best_device(device), target)
    return {"frames": float(frames), "hours": frames / FRAME_RATE_HZ / 3600}


def encode_kept(
    checkpoint: Path, device: torch.device, target: Path = FEATURES, pool: ProcessPoolExecutor | None = None
) -> int:
    """Encodes all clips drawn so far into `target`, by the processes of `pool`; returns how many frames they hold.

    A checkpoint that has no glosses.txt gets the lexicon's.
    """
    frames, glosses = 0, checkpoint / "glosses.txt"
    if not glosses.is_file():
        Vocabulary(lexicon.load().glosses).write(glosses)
    for folder, name in ((HELD_OUT_CLIPS, "held_out"), (CLIPS, "synthetic")):
        paths = seen_clips.kept(folder)
        if not paths:
            raise ValueError(f"expected drawn clips in {folder}, but there are none: run `signbind train clips` first")
        groups = [paths[start : start + CLIPS_A_PART] for start in range(0, len(paths), CLIPS_A_PART)]
        parts = [target / "parts" / f"{name}{number:04d}.pt" for number in range(len(groups))]
        work = [(checkpoint, group, device, part) for group, part in zip(groups, parts, strict=True)]
        for job in [pool.submit(_encode_part, *one) for one in work] if pool is not None else []:
            job.result()
        for one in work if pool is None else []:
            _encode_part(*one)
        store = FeatureStore.joined([FeatureStore.read(part) for part in parts])
        store.save(target / f"{name}.pt")
        shutil.rmtree(target / "parts")
        frames += len(store.manual)
    return frames


def _encode_part(checkpoint: Path, paths: Sequence[Path], device: torch.device, part: Path) -> None:
    """A part goes by way of a file: tensors are not pickled from process to process."""
    encode(checkpoint, paths, device).save(part)
