"""Trains the convolutional tagger of edits: cross-entropy of each place's label among those that its gloss may have.

Labels said before are as they should be, but for a share that is drawn anew, since live they are the head's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.deep_head import DeepHead, DeepSize, inputs, told
from models.edit_space import EditSpace, Places
from models.training.edit_rows import Placed, vectors_of
from models.training.loop import RUNS, Run, Schedule, learn
from models.wide_head import walked

PLACES_A_BATCH = 2000
POOL = 6000
NOISE = 0.2
WRONG, UNKNOWN = 0.06, 0.05
"""Shares of labels said before that are wrong ones, and of glosses that are only their class."""


@dataclass(frozen=True)
class DeepBatch:
    """(lines, places) each: gloss ids, endings, where there is a place, kinds of verbs, labels; said and words (.., 3)."""

    glosses: Tensor
    seen: Tensor
    endings: Tensor
    real: Tensor
    said: Tensor
    words: Tensor
    verbs: Tensor
    labels: Tensor


def train_deep(
    rows: Placed, space: EditSpace, *, schedule: Schedule, name: str, size: DeepSize | None = None, seed: int = 0,
    folder: Path = RUNS,
) -> DeepHead:  # fmt: skip
    """The head of lines of (glosses, labels); resumes from `folder`/`name`.ckpt."""
    torch.manual_seed(seed)
    head = DeepHead(torch.from_numpy(space.may), size)
    begin_near(head, vectors_of(rows, space.edits, seed))
    run = Run(name, head, seed, folder)
    stream = batches(rows, space, seed + run.steps)
    return cast(DeepHead, learn(run, schedule, stream, loss_of))


@torch.no_grad()
def begin_near(head: DeepHead, vectors: NDArray[np.float32]) -> None:
    """Begins the table of glosses with `vectors` (gloss ids, columns) as far as they go, the rest of it near 0: most glosses are
    met so seldom that a random vector would stay as it is."""
    table = head.gloss.weight
    columns = min(vectors.shape[1], table.shape[1])
    table.mul_(NOISE)
    table[:, :columns] += torch.from_numpy(vectors[:, :columns]) * (0.5 * columns**0.5)


def loss_of(module: nn.Module, batch: DeepBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy (nats a place) over the places whose label their gloss may have."""
    head = cast(DeepHead, module)
    read = head.encode(batch.seen, batch.endings, batch.real)
    asked = batch.labels >= 0
    told_of = (one[asked] for one in (batch.glosses, batch.said, batch.words, batch.verbs))
    logits = head.decide(read[asked], *told_of)
    wanted = batch.labels[asked]
    right = (logits.detach().argmax(-1) == wanted).float().mean()
    return nn.functional.cross_entropy(logits, wanted), {"right_deep": right}


def batches(rows: Placed, space: EditSpace, seed: int, pieces: int = PLACES_A_BATCH) -> Iterator[DeepBatch]:
    """Endless batches of about `pieces` places in lines of like length."""
    rng = np.random.default_rng(seed)
    lines = [glosses for glosses, _ in rows]
    places, labels = space.places(lines), np.array([one for _, said in rows for one in said], np.int64)
    states, chosen = walked(places, labels, space.choices())
    held = (places, np.where(chosen >= 0, labels, -1), states)
    counts = np.diff(places.starts)
    while True:
        for part in np.array_split(rng.permutation(len(rows)), max(1, len(rows) // POOL)):
            part = part[np.argsort(counts[part], kind="stable")]
            groups = np.split(part, np.flatnonzero(np.diff(np.cumsum(counts[part]) // pieces)) + 1)
            for number in rng.permutation(len(groups)):
                yield _batch(space, held, groups[number], rng)


def _batch(space: EditSpace, held: tuple[Places, Any, Any], lines: Any, rng: np.random.Generator) -> DeepBatch:
    places, labels, states = held
    counts = np.diff(places.starts)[lines]
    at = np.concatenate([np.arange(places.starts[one], places.starts[one + 1]) for one in lines])
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    own = Places(places.types[at], starts, places.static[:0], places.near[:0])
    glosses, endings, real = inputs(space, own)
    padded = np.minimum(starts[:-1, None] + np.arange(counts.max()), len(at) - 1)
    said, words, verbs = told(states[at][padded])
    wrong = torch.from_numpy(rng.random(said.shape) < WRONG) & (said > 0)
    drawn = 1 + torch.from_numpy(rng.exponential(6, said.shape)).long().clamp(max=space.may.shape[1] - 1)
    classes = torch.from_numpy(space.class_ids(own.types)[padded])
    seen = torch.where(torch.from_numpy(rng.random(glosses.shape) < UNKNOWN), classes, glosses)
    wanted = torch.from_numpy(labels[at][padded]).masked_fill(~real, -1)
    return DeepBatch(glosses, seen, endings, real, torch.where(wrong, drawn, said), words, verbs, wanted)
