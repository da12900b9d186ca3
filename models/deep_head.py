"""A convolutional tagger that stands beside the text model where it says edits.

A small Llama reads and writes every gloss as two pieces through whole blocks; here a line is read once by four residual
convolutions (8 glosses to either side, and the mean of the line), and each label is then decided by two small layers from
what was read, the three last labels and words and the kind of the last verb. One processor trains it several times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, pad

from models import packed
from models.edit_space import EditSpace, Hashes, Places
from models.wide_head import FLOOR, LEVELS

DEEP, BACK = f"deep.{{}}{packed.ENDING}", f"back{packed.ENDING}"
"""Heads that read a line from its beginning, and the one that reads it from its end."""
ENDINGS, WORDS, VERB_KINDS = 2048, 16384, 32
"""Rows of the hashed tables, and of kinds of verbs (the last number of a wide head's state)."""
REACHES = (1, 1, 2, 4)
MATRIX_LEVELS = 31
"""Of a weight of a matrix on disk, to either side of zero: six bits."""
MASKS = 1 << 23


@dataclass(frozen=True)
class DeepSize:
    """Widths: of the convolutions, of glosses (most are seldom: a narrow table and one matrix hold them), of labels and words
    said, of the layers that decide."""

    width: int = 320
    gloss: int = 176
    label: int = 40
    word: int = 64
    inner: int = 480


class DeepHead(nn.Module):
    """`may` (gloss ids, labels) bool: edits that a gloss or class may have."""

    def __init__(self, may: Tensor, size: DeepSize | None = None) -> None:
        super().__init__()
        size = size or DeepSize()
        (glosses, labels), width, inner = may.shape, size.width, size.inner
        self.gloss, self.ending = nn.Embedding(glosses, size.gloss), nn.Embedding(ENDINGS, size.gloss)
        self.enter = nn.Linear(size.gloss, width, bias=False)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in REACHES])
        self.near = nn.ModuleList([nn.Linear(3 * width, width) for _ in REACHES])
        self.back = nn.ModuleList([nn.Linear(width, width) for _ in REACHES])
        self.line, self.read = nn.Linear(width, width), nn.LayerNorm(width)
        self.labels = nn.ModuleList([nn.Embedding(labels + 1, size.label) for _ in range(3)])
        self.words, self.verbs = nn.Embedding(WORDS, size.word), nn.Embedding(VERB_KINDS, VERB_KINDS)
        said = 3 * (size.label + size.word) + VERB_KINDS
        self.first, self.second = nn.Linear(width + said, inner), nn.Linear(inner, inner)
        self.last = nn.Linear(inner, labels)
        for table in (self.gloss, self.ending, self.words, self.verbs, *self.labels):
            nn.init.normal_(cast(nn.Embedding, table).weight, std=0.5)
        for layer in self.back:
            nn.init.zeros_(cast(nn.Linear, layer).weight)
        self.register_buffer("barred", (may.float() - 1) * -FLOOR, persistent=False)
        self.dropped = 0.2
        self._masks: Tensor | None = None

    def encode(self, glosses: Tensor, endings: Tensor, real: Tensor) -> Tensor:
        """Ids, hashes of endings and where there is a place, all (lines, places) -> (lines, places, width)."""
        mask = real[..., None].to(torch.float32)
        x = self._drop(self.enter(self.gloss(glosses) + self.ending(endings)) * mask)
        for number, reach in enumerate(REACHES):
            y = (self.norms[number](x) * mask).to(_working(x))
            wide, places = pad(y, (0, 0, reach, reach)), y.shape[1]
            y = gelu(self.near[number](torch.cat([wide[:, :places], y, wide[:, 2 * reach :]], -1)))
            if number == 2:
                y = y + self.line((y * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True))
            x = x + self._drop(self.back[number](y)) * mask
        return cast(Tensor, self.read(x))

    def decide(self, read: Tensor, glosses: Tensor, said: Tensor, words: Tensor, verbs: Tensor) -> Tensor:
        """Logits (..., labels) from what was read (..., width), the gloss ids, and as `told` gives them labels, words and
        kinds of verbs."""
        heard = [table(said[..., place]) for place, table in enumerate(self.labels)]
        known = torch.cat([read, *heard, self.words(words).flatten(-2), self.verbs(verbs)], -1)
        y = self._drop(gelu(self.first(known)))
        y = self._drop(y + gelu(self.second(y)))
        return cast(Tensor, self.last(y)).float() + cast(Tensor, self.barred)[glosses]

    def _drop(self, x: Tensor) -> Tensor:
        """Dropout whose masks are cut from one pool at random: drawing them anew takes a sixth of a step on a processor."""
        if not self.training or x.numel() >= MASKS // 2 or x.device.type != "cpu":
            return dropout(x, self.dropped, self.training)
        if self._masks is None:
            self._masks = dropout(torch.ones(MASKS, dtype=torch.bfloat16), self.dropped)
        first = int(torch.randint(MASKS - x.numel(), ()))
        return x * self._masks[first : first + x.numel()].view(x.shape).to(x.dtype)

    def save(self, path: Path) -> None:
        """Packed: matrices in six bits with a scale a row, tables of embeddings in five."""
        tables = {f"{name}.weight" for name, part in self.named_modules() if isinstance(part, nn.Embedding)}
        packed.write(path, packed.rounded(self.state_dict(), lambda name: LEVELS if name in tables else MATRIX_LEVELS))

    @staticmethod
    def load(path: Path, space: EditSpace) -> DeepHead:
        state = packed.restored(packed.read(path))
        gloss, label, word = (state[f"{name}.weight"].shape[1] for name in ("gloss", "labels.0", "words"))
        size = DeepSize(state["enter.weight"].shape[0], gloss, label, word, state["first.weight"].shape[0])
        head = DeepHead(torch.from_numpy(space.may), size)
        head.load_state_dict(state)
        return head.eval()


def _working(x: Tensor) -> torch.dtype:
    """What matrices multiply in: under autocast half, into which what is moved about is cast first."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def inputs(space: EditSpace, places: Places) -> tuple[Tensor, Tensor, Tensor]:
    """Gloss ids, endings and where there is a place, (lines, places) each, padded."""
    counts = np.diff(places.starts)
    column = np.arange(counts.max())[None]
    real = column < counts[:, None]
    at = np.minimum(places.starts[:-1, None] + column, len(places.types) - 1)
    endings = (space.endings(places.types) % ENDINGS).astype(np.int64)
    return tuple(torch.from_numpy(one) for one in (space.gloss_ids(places.types)[at], endings[at], real))  # type: ignore[return-value]


def told(states: Hashes) -> tuple[Tensor, Tensor, Tensor]:
    """Labels + 1 (..., 3), words (..., 3), nearest first, and kinds of verbs (...) of states, as `decide` takes them."""
    return (
        torch.from_numpy(states[..., :3].astype(np.int64)),
        torch.from_numpy((states[..., 5:8] % WORDS).astype(np.int64)),
        torch.from_numpy((states[..., 8] % VERB_KINDS).astype(np.int64)),
    )
