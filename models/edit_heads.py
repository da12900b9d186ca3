"""The heads that stand beside the text model where it says edits, as one voice in its beam search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.deep_head import DEEP, DeepHead, inputs, told
from models.edit_space import SPACE, EditSpace
from models.edits import EditVocabulary
from models.prefix_lm import Beside
from models.wide_head import FLOOR, STATE, VERBS, WIDE, WideHead, states_of

WEIGHTS = "weights.json"


@dataclass(frozen=True)
class Weights:
    """What each log-probability counts, and what every label that puts words before its gloss gets on top: beam search likes
    short sentences, BLEU punishes them. Chosen on lines of the train file that nothing was learned from."""

    model: float = 0.2
    wide: float = 0.35
    deep: float = 0.65
    before: float = 0.1


@dataclass(frozen=True)
class EditHeads:
    space: EditSpace
    wide: WideHead
    deep: DeepHead | None = None
    weights: Weights = Weights()

    @torch.inference_mode()
    def beside(self, rows: Sequence[Sequence[str]], beams: int) -> Beside:
        """Weighted log-probabilities of the labels for lines of glosses, each standing `beams` times."""
        space, edits = self.space, self.space.edits
        places = space.places(rows)
        choices = space.choices()
        counts = np.diff(places.starts)
        glosses, endings, real = inputs(space, places)
        read = self.deep.encode(glosses, endings, real) if self.deep else None
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
            if self.deep is not None and read is not None:
                total += self.weights.deep * self._deep(read[:, step], glosses[:, step], states, beams)
            return total

        return beside

    def _deep(self, read: Tensor, glosses: Tensor, states: NDArray[np.uint32], beams: int) -> Tensor:
        deep = cast(DeepHead, self.deep)
        logits = deep.decide(read.repeat_interleave(beams, 0), glosses.repeat_interleave(beams), *told(states))
        return torch.log_softmax(logits, -1).clamp(min=FLOOR)

    def save(self, folder: Path) -> None:
        self.space.save(folder / SPACE)
        self.wide.save(folder / WIDE)
        if self.deep is not None:
            self.deep.save(folder / DEEP)
        (folder / WEIGHTS).write_text(json.dumps(asdict(self.weights)) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path, edits: EditVocabulary) -> EditHeads | None:
        """The heads in an adapter's folder; None where there are none."""
        if not (folder / SPACE).is_file():
            return None
        space = EditSpace.load(folder / SPACE, edits)
        deep = DeepHead.load(folder / DEEP, space) if (folder / DEEP).is_file() else None
        weights = Weights(**json.loads((folder / WEIGHTS).read_text(encoding="utf-8")))
        return EditHeads(space, WideHead.load(folder / WIDE), deep, weights)
