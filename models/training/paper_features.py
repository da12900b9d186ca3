"""What the trained eyes see, kept in files, so that router and fusion learn without looking at a frame again.

A clip's file holds half-precision features (T, 3 * dim) of the sign expert's eyes, (T, 3 * dim) of the fingerspelling
expert's where those differ, (T, dim) of the lips', and which hands were seen: about 11 KB a step at the paper's sizes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.checkpoint import load
from models.hearing import EXPERTS
from models.training.corpora.sample import Split
from models.training.expert_loss import padding_mask
from models.training.loop import device_of
from models.training.paper_clips import Batches, SeenClip, ahead
from models.training.paper_experts import MEASURED
from models.training.paper_plan import Plan
from models.training.paper_targets import Lesson
from models.training.paper_vision import Vision

LOG_EVERY_S = 20.0
LEAST_CLIPS = 32  # beside the unseen ones: however short a run is, fusion has something to learn from


@dataclass(frozen=True)
class FeatureBatch:
    """Padded features (clips, steps, ...) as the experts take them, routes (clips, steps), fusion's CTC targets."""

    sign: Tensor
    fingerspelling: Tensor
    lips: Tensor
    routes: Tensor
    lengths: Tensor
    targets: list[list[int]]

    @property
    def features(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.sign, self.fingerspelling, self.lips

    @property
    def mask(self) -> Tensor:
        return padding_mask(self.lengths.to(self.sign.device), self.sign.shape[1])


class Eyes:
    """The three experts' eyes, frozen."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        visions = {name: load(Vision, folder, f"{name}_vision").requires_grad_(False).to(device) for name in EXPERTS}
        shared = not visions["sign"].learns and not visions["fingerspelling"].learns
        self.visions = {name: vision for name, vision in visions.items() if not (shared and name == "fingerspelling")}

    @torch.no_grad()
    def see(self, clip: SeenClip) -> dict[str, Tensor]:
        """Features of every expert's eyes (T, ...); "fingerspelling" is absent where it sees with the sign expert's."""
        device = device_of(self.visions["sign"])
        parts = [part.to(device) for part in (clip.frames, clip.boxes, clip.seen)]
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return {name: vision(*parts).float().cpu() for name, vision in self.visions.items()}


@dataclass(frozen=True)
class FeatureFiles:
    """One .npz a lesson."""

    folder: Path

    def path(self, lesson: Lesson) -> Path:
        return self.folder / f"{lesson.key}.npz"

    def kept(self, lessons: Sequence[Lesson]) -> list[Lesson]:
        return [lesson for lesson in lessons if self.path(lesson).is_file()]

    def write(self, clip: SeenClip, features: dict[str, Tensor]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(clip.lesson)
        beside = path.with_name(f".{path.name}")
        half = {name: part.half().numpy() for name, part in features.items()}
        np.savez(beside, hands=clip.hands, **half)  # type: ignore[arg-type]  # numpy's types know no ** of arrays
        beside.replace(path)

    def read(self, lesson: Lesson) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features for sign, fingerspelling and lips, and the routes (T,)."""
        with np.load(self.path(lesson)) as held:
            sign, lips = (torch.from_numpy(held[name]).float() for name in ("sign", "lips"))
            spelling = torch.from_numpy(held["fingerspelling"]).float() if "fingerspelling" in held else sign
            return sign, spelling, lips, torch.from_numpy(lesson.routes(held["hands"])).long()


def batch_of(rows: Sequence[tuple[Tensor, ...]], targets: list[list[int]], ignored: int) -> FeatureBatch:
    """Padded to the longest; padding has no route."""
    sign, spelling, lips = (pad_sequence([row[part] for row in rows], batch_first=True) for part in range(3))
    routes = pad_sequence([row[3] for row in rows], batch_first=True, padding_value=ignored)
    return FeatureBatch(sign, spelling, lips, routes, torch.tensor([len(row[0]) for row in rows]), targets)


def encode(plan: Plan, spent_s: float) -> tuple[float, dict[str, float]]:
    """Encodes clips that have no file yet, unseen ones first, until the stage's time is over, `spent_s` of it before.

    Gives the time spent now, and how many clips there are.
    """
    files, eyes = FeatureFiles(plan.runs / "features"), Eyes(plan.out, plan.ranks.device)
    lessons = [*_mixed(plan, "val")[:MEASURED], *_mixed(plan, "train")]
    wanted = [lesson for lesson in plan.ranks.share(lessons) if not files.path(lesson).is_file()]
    batches = Batches(plan.reader, lambda lesson: [], plan.sizes.steps, plan.readers, plan.ranks.say)
    begun = said = time.monotonic()
    for number, clip in enumerate(batches.once(wanted), start=1):
        files.write(clip, eyes.see(clip))
        now = time.monotonic()
        if now - said > LOG_EVERY_S:
            said = now
            plan.log("features", f"features: {clip.lesson.key}", (spent_s + now - begun) / 60)
        if number >= LEAST_CLIPS + MEASURED and spent_s + now - begun > 60 * plan.minutes_of("features"):
            break
    plan.ranks.wait()
    return spent_s + time.monotonic() - begun, {"clips": float(len(files.kept(lessons))), "of": float(len(lessons))}


def _mixed(plan: Plan, split: Split) -> list[Lesson]:
    """Lessons in an order that mixes the corpora, always the same."""
    lessons = list(plan.lessons.get(split, ()))
    random.Random(plan.seed).shuffle(lessons)
    return lessons


def endless(
    plan: Plan, files: FeatureFiles, lessons: Sequence[Lesson], seed: int, ignored: int
) -> Iterator[FeatureBatch]:
    """Batches of about `fused_steps` steps, forever, in a new order every epoch."""
    rng, order = random.Random(seed), list(lessons)
    rows: list[tuple[Tensor, ...]] = []
    targets: list[list[int]] = []
    while True:
        rng.shuffle(order)
        for lesson, job in ahead(files.read, order, plan.readers):
            row = job.result()
            if rows and sum(len(one[0]) for one in rows) + len(row[0]) > plan.sizes.fused_steps:
                yield batch_of(rows, targets, ignored)
                rows, targets = [], []
            rows.append(row)
            targets.append(lesson.target("fusion", plan.targets))
        if rows:
            yield batch_of(rows, targets, ignored)
            rows, targets = [], []
