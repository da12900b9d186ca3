"""The heads that stand beside the text model where it says edits, as one voice in its beam search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.deep_head import BACK, DEEP, DeepHead, inputs, told
from models.edit_space import SPACE, EditSpace
from models.edits import EditVocabulary
from models.prefix_lm import Beside
from models.wide_head import FLOOR, STATE, VERBS, WIDE, WideHead, states_of, turned, walked

WEIGHTS = "weights.json"


@dataclass(frozen=True)
class Weights:
    """What each log-probability counts (`deep`: all deep heads' together), and what every label that puts words before its
    gloss gets on top: beam search likes short sentences, BLEU punishes them. `back` counts when the beam's answers are there.
    Chosen on lines of the train file that nothing was learned from."""

    model: float = 0.2
    wide: float = 0.35
    deep: float = 0.65
    before: float = 0.1
    back: float = 0.0


@dataclass(frozen=True)
class EditHeads:
    """`deeps` read a line from its beginning, as the wide one does, `back` from its end."""

    space: EditSpace
    wide: WideHead
    deeps: tuple[DeepHead, ...] = ()
    back: DeepHead | None = None
    weights: Weights = Weights()

    @torch.inference_mode()
    def beside(self, rows: Sequence[Sequence[str]], beams: int) -> Beside:
        """Weighted log-probabilities of the labels for lines of glosses, each standing `beams` times."""
        space, edits = self.space, self.space.edits
        places = space.places(rows)
        choices = space.choices()
        counts = np.diff(places.starts)
        glosses, endings, real = inputs(space, places)
        read = [deep.encode(glosses, endings, real) for deep in self.deeps]
        kinds = places.types[np.minimum(places.starts[:-1, None] + np.arange(counts.max()), len(places.types) - 1)]
        kinds = np.ascontiguousarray(kinds.repeat(beams, 0))
        bonus = torch.tensor([self.weights.before * bool(label.before) for label in edits.labels])

        @torch.inference_mode()
        def beside(ids: Tensor, step: int) -> Tensor:
            step = min(step, int(counts.max()) - 1)
            said = np.ascontiguousarray((ids[:, 1 : step + 1] - edits.first_label).clamp(min=0).numpy())
            states = np.zeros((len(said), STATE), np.uint32)
            states_of(kinds, said, choices, VERBS, states)
            at = np.minimum(places.starts[:-1] + step, places.starts[1:] - 1).repeat(beams)
            wide = self.wide.log_probs(places, at, states, choices, len(edits.labels))
            total = self.weights.wide * torch.from_numpy(wide) + bonus
            own, heard = glosses[:, step].repeat_interleave(beams), told(states)
            for deep, lines in zip(self.deeps, read, strict=True):
                told_of = _log_probs(deep, lines[:, step].repeat_interleave(beams, 0), own, heard)
                total += self.weights.deep / len(self.deeps) * told_of
            return total

        return beside

    @torch.inference_mode()
    def backwards(self, rows: Sequence[Sequence[str]], answers: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
        """What `back` adds to the score of each of a line's answers (label numbers): its mean log-probability a label times its
        weight; 0 without such a head."""
        if self.back is None or not self.weights.back:
            return [[0.0] * len(some) for some in answers]
        lines = [turned(row, answer) for row, some in zip(rows, answers, strict=True) for answer in some]
        line = np.repeat(np.arange(len(rows)), [len(some) for some in answers])
        glosses, endings, real = inputs(self.space, self.space.places([row[::-1] for row in rows]))
        read = self.back.encode(glosses, endings, real)
        places, said = self.space.places([row for row, _ in lines]), np.array([one for _, own in lines for one in own])
        states, _ = walked(places, said, self.space.choices())
        counts = np.diff(places.starts)
        at = (np.repeat(line, counts), np.arange(len(said)) - np.repeat(places.starts[:-1], counts))
        found = _log_probs(self.back, read[at], glosses[at], told(states)).numpy()[np.arange(len(said)), said]
        means = self.weights.back * np.add.reduceat(found, places.starts[:-1]) / counts
        return [part.tolist() for part in np.split(means, np.cumsum([len(some) for some in answers])[:-1])]

    def save(self, folder: Path) -> None:
        self.space.save(folder / SPACE)
        self.wide.save(folder / WIDE)
        for number, deep in enumerate(self.deeps):
            deep.save(folder / DEEP.format(number))
        if self.back is not None:
            self.back.save(folder / BACK)
        (folder / WEIGHTS).write_text(json.dumps(asdict(self.weights)) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path, edits: EditVocabulary) -> EditHeads | None:
        """The heads in an adapter's folder; None where there are none."""
        if not (folder / SPACE).is_file():
            return None
        space = EditSpace.load(folder / SPACE, edits)
        deeps = tuple(DeepHead.load(path, space) for path in sorted(folder.glob(DEEP.format("*"))))
        back = DeepHead.load(folder / BACK, space) if (folder / BACK).is_file() else None
        weights = Weights(**json.loads((folder / WEIGHTS).read_text(encoding="utf-8")))
        return EditHeads(space, WideHead.load(folder / WIDE), deeps, back, weights)


Heard = tuple[Tensor, Tensor, Tensor]


def _log_probs(deep: DeepHead, read: Tensor, glosses: Tensor, heard: Heard) -> Tensor:
    return torch.log_softmax(deep.decide(read, glosses, *heard), -1).clamp(min=FLOOR)
