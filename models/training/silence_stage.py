"""Features of scenes in which nobody signs, for router and sign expert to learn rest from: drawn, seen as live, kept in
runs/features.

A second kind is made of the drawn clips' own features: at some step the picture freezes (a bad connection, a photograph);
half a second later the truth is rest.
"""

from __future__ import annotations

import functools
import hashlib
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.backends import Backend
from models.checkpoint import has, load, weights_file
from models.clock import FRAME_RATE_HZ
from models.closer import CLOSER, Closer
from models.features import HandEncoder
from models.layout import HAND
from models.lips import MouthEncoder
from models.locate import Locator
from models.reading import chunks
from models.sight import Sight
from models.synthetic.scenes import SCENES
from models.training import feature_sets
from models.training.feature_clips import FeatureClip, FeatureStore, Targets
from models.training.loop import RUNS
from models.vocabulary import REST

FEATURES = feature_sets.FEATURES / "silent.pt"
PARTS = RUNS / "silent"
EYES = ("locate", "hand_encoder", "mouth_encoder")
SCENE_FRAMES = 8 * FRAME_RATE_HZ
MORE = {"gesturing": 4, "touching": 4}
"""How many times as many scenes of a kind: hands that move without signing are all different."""
MOVEMENT = [2 * HAND + channel for channel in (4, 5, 10, 11)]
"""Manual channels that tell how hands moved since the step before."""
STILL_FROM = FRAME_RATE_HZ // 2
FROM_START = 0.4
JITTER = 0.003  # face sides a step: what boxes of a still picture move by, through the camera's noise


def train(
    data: Path, out: Path, *, minutes: float = 30, seed: int = 0, scenes: int = 14, workers: int = 1,
    target: Path = FEATURES,
) -> dict[str, float]:  # fmt: skip
    """Draws what is missing of `scenes` scenes of every kind, of some `MORE`, seen by the eyes of `out`, in so many processes."""
    del data, minutes
    first = seed * 100_000
    wanted = [(kind, first + number) for kind in SCENES for number in range(scenes * MORE.get(kind, 1))]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(drawn, out, kind, number) for kind, number in wanted]
        paths = [job.result() for job in jobs]
    store = FeatureStore.of([read(path) for path in paths], Targets.of(feature_sets.glosses_of(out / "glosses.txt")))
    store.save(target)
    return {"scenes": float(len(store)), "frames": float(len(store.manual))}


def drawn(checkpoint: Path, kind: str, number: int) -> Path:
    """Where a scene's features lie, drawn now if they do not; eyes that were trained again see it anew."""
    path = PARTS / _digest(checkpoint) / f"{kind}_{number}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = [frame.copy() for frame in islice(SCENES[kind](number), SCENE_FRAMES)]
        keep(path, *seen(_eyes(checkpoint), frames))
    return path


@functools.lru_cache(maxsize=1)
def _digest(checkpoint: Path) -> str:
    """Of the eyes' weights."""
    parts = [*EYES, CLOSER] if has(checkpoint, CLOSER) else EYES
    weights = b"".join(weights_file(checkpoint, name).read_bytes() for name in parts)
    return hashlib.sha256(weights).hexdigest()[:12]


@functools.lru_cache(maxsize=1)
def _eyes(checkpoint: Path) -> Sight:
    torch.set_num_threads(1)
    parts = (
        load(Locator, checkpoint, EYES[0]),
        load(HandEncoder, checkpoint, EYES[1]),
        load(MouthEncoder, checkpoint, EYES[2]),
    )
    closer = load(Closer, checkpoint, CLOSER) if has(checkpoint, CLOSER) else None
    return Sight(*parts, slots=1, backend=Backend(), closer=closer)


@torch.inference_mode()
def seen(sight: Sight, frames: list[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Manual (T, 216) and mouth (T, 96) of a scene, by the eyes as they are live."""
    sight.reset(0)
    parts = [sight.encode({0: list(chunk)}, np.ones(1, bool)) for chunk, _ in chunks(iter(frames))]
    return np.concatenate([p.manual[0].numpy() for p in parts]), np.concatenate([p.mouth[0].numpy() for p in parts])


def keep(path: Path, manual: NDArray[np.float32], mouth: NDArray[np.float32]) -> None:
    beside = path.with_name(f".{path.name}")
    np.savez(beside, manual=manual, mouth=mouth)
    beside.rename(path)


def read(path: Path) -> FeatureClip:
    """A kept scene: rest at every step."""
    with np.load(path) as held:
        steps = len(held["manual"])
        return FeatureClip(held["manual"], held["mouth"], np.full(steps, REST, np.int8), ("",) * steps, (), ())


def frozen(manual: Tensor, routes: Tensor, lengths: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """A `share` of a batch (B, T, 216) freezes at a step of its own: nothing moves from there on, and its routes (B, T) are
    rest half a second later. Two fifths of those show the frozen step from the start: all of it is rest, for a segment that
    ends over a frozen picture leaves the router without memory, and it must not begin again."""
    rows, steps = routes.shape
    device = routes.device
    at = (torch.rand(rows, device=device) * lengths).long()[:, None]
    freezes = (torch.rand(rows, device=device) < share)[:, None]
    from_start = (torch.rand(rows, device=device) < FROM_START)[:, None] & freezes
    step = torch.arange(steps, device=device)[None]
    shown = torch.where(from_start, at, torch.where(freezes, step.minimum(at), step))
    held = manual.gather(1, shown[..., None].expand_as(manual))
    still = from_start | (freezes & (step > at))
    movement = torch.zeros(manual.shape[-1], dtype=torch.bool, device=device)
    movement[MOVEMENT] = True
    jitter = JITTER * torch.randn_like(held)
    held = torch.where(still[..., None] & movement, jitter * (held != 0), held)
    rest = from_start | (still & (step >= at + STILL_FROM))
    return held, torch.where(rest & (routes >= 0), REST, routes)
