"""Lessons as batches of frames: decoded, boxes found, several clips side by side while the networks learn.

Boxes are found by the bundled locator once and kept in a folder; clips are read anew in every epoch, since a corpus of
them in the memory's crops would be terabytes. A clip that cannot be read, or is too short for what it teaches, is left
out and named once.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models import crops
from models.locate import Boxes, BoxSmoother, Locator
from models.paper import CROPS
from models.training.corpora.clip_frames import clip_frames
from models.training.corpora.sample import CorpusError
from models.training.expert_loss import padding_mask
from models.training.labels import ctc_steps
from models.training.paper_targets import Lesson

Floats = NDArray[np.float32]
BODY = (0.5, 0.5, 1.0)
NOWHERE = (0.5, 0.5, 0.5)  # where an unseen part is cut; its features count nothing
ENLARGE = {"right_hand": crops.HAND_ENLARGE, "left_hand": crops.HAND_ENLARGE, "mouth": crops.MOUTH_ENLARGE}
JITTER_SIDE, JITTER_PLACE = 0.12, 0.05  # of a crop, drawn once a clip
T = TypeVar("T")


@dataclass(frozen=True)
class SeenClip:
    """Frames (T, 480, 640, 3) uint8, boxes (T, 4, 4) as `patches.cut` takes them in the order of CROPS, seen (T, 4) bool."""

    frames: Tensor
    boxes: Tensor
    seen: Tensor
    lesson: Lesson

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def hands(self) -> NDArray[np.bool_]:
        """Steps (T,) at which a hand is seen."""
        return self.seen[:, 1:3].any(1).numpy()


@dataclass(frozen=True)
class SeenBatch:
    """Clips end to end: N steps of all; lengths (clips,), CTC targets of each."""

    frames: Tensor
    boxes: Tensor
    seen: Tensor
    lengths: Tensor
    targets: list[list[int]]

    def padded(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, ...) of the steps -> (clips, longest, ...), and the mask of what is no padding."""
        parts = torch.split(features, self.lengths.tolist())
        rows = pad_sequence(list(parts), batch_first=True)
        return rows, padding_mask(self.lengths.to(rows.device), rows.shape[1])


@dataclass(frozen=True)
class Reader:
    """Lessons to clips; at most `longest` steps each. Boxes are kept in `folder`."""

    locator: Locator
    folder: Path
    longest: int = 384

    def read(self, lesson: Lesson) -> SeenClip:
        """Raises CorpusError for a clip that cannot be seen or is longer than `longest`."""
        frames = clip_frames(lesson.sample, self.longest + 1)
        if len(frames) > self.longest:
            raise CorpusError(f"{lesson.key} has more than {self.longest} steps; it is left out")
        boxes, seen = self._boxes(lesson, frames)
        return SeenClip(torch.from_numpy(np.stack(frames)), torch.from_numpy(boxes), torch.from_numpy(seen), lesson)

    def _boxes(self, lesson: Lesson, frames: Sequence[NDArray[np.uint8]]) -> tuple[Floats, NDArray[np.bool_]]:
        path = self.folder / f"{lesson.key}.npz"
        if path.is_file():
            with np.load(path) as held:
                if len(held["boxes"]) == len(frames):
                    return held["boxes"], held["seen"]
        smoother = BoxSmoother()
        found = [smoother(boxes) for boxes in self.locator.find(frames)]
        boxes, seen = cuts(found)
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.stem}.{random.getrandbits(32)}.npz")  # processes may find the same clip
        np.savez(beside, boxes=boxes, seen=seen)
        beside.replace(path)
        return boxes, seen


def cuts(found: Sequence[Boxes]) -> tuple[Floats, NDArray[np.bool_]]:
    """Boxes of frames -> what is cut (T, 4, 4): body, right hand, left hand mirrored, mouth; and what is seen (T, 4)."""
    boxes, seen = np.zeros((len(found), len(CROPS), 4), np.float32), np.zeros((len(found), len(CROPS)), bool)
    for step, parts in enumerate(found):
        face = parts.get("face")
        boxes[step, 0] = (face[0] if face else BODY[0], *BODY[1:], 1)
        seen[step, 0] = True
        for crop, name in enumerate(CROPS[1:], start=1):
            x, y, side = parts.get(name) or NOWHERE
            boxes[step, crop] = (x, y, side * ENLARGE[name], -1 if name == "left_hand" else 1)
            seen[step, crop] = parts.get(name) is not None
    return boxes, seen


def jittered(clip: SeenClip, rng: random.Random) -> Tensor:
    """Its boxes, all of a crop a little larger or smaller and to a side: what another locator might have found."""
    boxes = clip.boxes.clone()
    for crop in range(boxes.shape[1]):
        side = boxes[:, crop, 2].clone()
        boxes[:, crop, 0] += rng.uniform(-JITTER_PLACE, JITTER_PLACE) * side
        boxes[:, crop, 1] += rng.uniform(-JITTER_PLACE, JITTER_PLACE) * side
        boxes[:, crop, 2] *= 1 + rng.uniform(-JITTER_SIDE, JITTER_SIDE)
    return boxes


Target = Callable[[Lesson], list[int]]


@dataclass(frozen=True)
class Batches:
    """Batches of clips of about `steps` frames in all, read by `readers` threads ahead of their use."""

    reader: Reader
    target: Target
    steps: int
    readers: int = 4
    say: Callable[[str], None] = print

    def endless(self, lessons: Sequence[Lesson], seed: int) -> Iterator[SeenBatch]:
        """Forever, in a new order every epoch; ValueError when a whole epoch has no clip that can be learned from."""
        rng, bad = random.Random(seed), set[str]()
        group: list[SeenClip] = []
        while True:
            learned = 0
            order = [lesson for lesson in lessons if lesson.key not in bad]
            rng.shuffle(order)
            for clip in self._clips(order, bad):
                learned += 1
                if group and sum(map(len, group)) + len(clip) > self.steps:
                    yield self._batch(group, rng)
                    group = []
                group.append(clip)
            if not learned:
                raise ValueError(f"none of {len(lessons)} clips can be learned from: see the lines above")
            if group:
                yield self._batch(group, rng)
                group = []

    def once(self, lessons: Sequence[Lesson]) -> Iterator[SeenClip]:
        """All that can be read, in their order."""
        return self._clips(lessons, set())

    def _clips(self, lessons: Sequence[Lesson], bad: set[str]) -> Iterator[SeenClip]:
        for lesson, job in ahead(self.reader.read, lessons, self.readers):
            try:
                clip = job.result()
                if (needed := ctc_steps(self.target(lesson))) > len(clip):
                    raise CorpusError(
                        f"{lesson.key} teaches {needed} steps' worth, but has {len(clip)}; it is left out"
                    )
            except CorpusError as error:
                bad.add(lesson.key)
                self.say(str(error))
                continue
            yield clip

    def _batch(self, clips: Sequence[SeenClip], rng: random.Random) -> SeenBatch:
        return SeenBatch(
            torch.cat([clip.frames for clip in clips]), torch.cat([jittered(clip, rng) for clip in clips]),
            torch.cat([clip.seen for clip in clips]), torch.tensor([len(clip) for clip in clips]),
            [self.target(clip.lesson) for clip in clips],
        )  # fmt: skip


def ahead(work: Callable[[Lesson], T], lessons: Sequence[Lesson], threads: int) -> Iterator[tuple[Lesson, Future[T]]]:
    """Lessons in order with their work under way: `threads` at a time, and as many done that wait to be taken."""
    waiting: deque[tuple[Lesson, Future[T]]] = deque()
    pool = ThreadPoolExecutor(threads, "clips")
    try:
        for lesson in lessons:
            waiting.append((lesson, pool.submit(work, lesson)))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
