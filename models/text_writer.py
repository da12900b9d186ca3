"""Glosses of real corpora -> sentences: the text model with one adapter, by beam search.

It lives in a `text` folder, in a checkpoint or in one named as its adapter beside it: `text/llm` and `text/adapters/NAME`, both
written by `signbind train`. It writes whole files, not streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import torch
from transformers import LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from models.dialects import DIALECTS, EDITED, EDITS, Script, filled, slotted
from models.edit_heads import EditHeads
from models.prefix_lm import search
from models.prompts import END
from models.refine import RefinerError, adapted
from models.word_writer import WordWriter

FOLDER = "text"
BATCH = 48
BEAMS, ALPHA = 5, 1.0
READ_BACK = 12
"""Beams where their answers are read from the end too."""
Answers = list[tuple[tuple[int, ...], float]]


class Writer(Protocol):
    """Writes sentences of one dialect from lines of glosses."""

    @property
    def dialect(self) -> str: ...

    def write(self, rows: Sequence[Sequence[str]]) -> list[str]: ...


def writer_of(checkpoint: Path, dialect: str) -> Writer:
    """The writer that `checkpoint` is (`signbind train words`), or its text model with an adapter, or, where it has neither,
    the one in the folder named `dialect` that lies beside it; RefinerError says what is missing."""
    for folder in (checkpoint, checkpoint.parent / dialect):
        if WordWriter.is_in(folder, dialect):
            return WordWriter.load(folder)
        if (folder / FOLDER / "adapters" / dialect).is_dir():
            return TextWriter.load(folder, dialect)
    return TextWriter.load(checkpoint, dialect)


class TextWriter:
    """Writes sentences in one dialect. One caller at a time. `model` is None where heads say everything (its weight is 0)."""

    def __init__(
        self, model: LlamaForCausalLM | None, script: Script, dialect: str, heads: EditHeads | None = None
    ) -> None:
        assert dialect in DIALECTS, (dialect, DIALECTS)
        assert model is not None or heads is not None
        self._model, self._script, self.dialect = model.eval() if model is not None else None, script, dialect
        edits, tokenizer = script.edits, script.tokenizer
        first, end = (edits.first_label, edits.size) if dialect == EDITED else (0, edits.first)
        self.heads = heads if dialect == EDITED else None
        self._says = torch.arange(first, end)
        self._end_id = cast(int, tokenizer.convert_tokens_to_ids(END))

    @classmethod
    def load(cls, checkpoint: Path, adapter: str, *, bare: bool = False) -> TextWriter:
        """The text model of a checkpoint with the adapter; `bare` leaves it out. RefinerError says what is missing."""
        folder = checkpoint / FOLDER / "llm"
        if adapter not in DIALECTS:
            raise RefinerError(f"expected the adapter {', '.join(DIALECTS)}, got {adapter!r}: give one of these names")
        missing = RefinerError(
            f"expected a text model at {folder}, but it has none: train it with `signbind train text`"
        )
        if not (folder / EDITS).is_file():
            raise missing
        script, own = Script.load(folder), checkpoint / FOLDER / "adapters" / adapter
        heads = EditHeads.load(own, script.edits) if adapter == EDITED and not bare else None
        if heads is not None and not heads.weights.model:
            return cls(None, script, adapter, heads)
        if not (folder / "config.json").is_file():
            raise missing
        disable_progress_bar()
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        if not bare:
            model = adapted(model, "default", own).get_base_model()
        return cls(cast(LlamaForCausalLM, model), script, adapter, heads)

    @property
    def has_model(self) -> bool:
        return self._model is not None

    def write(self, rows: Sequence[Sequence[str]], *, beams: int | None = None, alpha: float = ALPHA) -> list[str]:
        """One sentence a line of glosses ("#MARIA": spelled, for the dialect that knows spelling)."""
        return [best[0][0] for best in self.candidates(rows, beams=beams, alpha=alpha)]

    def candidates(
        self, rows: Sequence[Sequence[str]], *, beams: int | None = None, alpha: float = ALPHA
    ) -> list[list[tuple[str, float]]]:
        """The `beams` best sentences of each line with their scores, best first; READ_BACK or BEAMS of them if none are said."""
        beams = beams or (READ_BACK if self.heads and self.heads.weights.back else BEAMS)
        spelled = [slotted(row) if self.dialect == "ncslgr" else (list(row), {}) for row in rows]
        asked = [self._script.example(self.dialect, glosses) for glosses, _ in spelled]
        order = sorted(range(len(rows)), key=lambda place: len(asked[place].prompt))
        found: list[list[tuple[str, float]]] = [[] for _ in rows]
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            heads, rows_asked = self.heads, [asked[place] for place in part]
            lines = search(
                self._model, rows_asked, self._says, self._end_id, beams=beams, alpha=alpha,
                weight=heads.weights.model if heads else 1.0,
                beside=heads.beside([spelled[place][0] for place in part], beams) if heads else None,
            )  # fmt: skip
            if heads is not None:
                lines = self._read_back(heads, [spelled[place][0] for place in part], lines)
            for place, answers in zip(part, lines, strict=True):
                glosses, slots = spelled[place]
                found[place] = [(self._said(glosses, slots, ids), score) for ids, score in answers]
        return found

    def _read_back(self, heads: EditHeads, rows: Sequence[Sequence[str]], lines: Sequence[Answers]) -> list[Answers]:
        """The answers with what the head says that reads them from their end, best first."""
        first = self._script.edits.first_label
        said = [[[one - first for one in ids] for ids, _ in answers] for answers in lines]
        found = []
        for answers, more in zip(lines, heads.backwards(rows, said), strict=True):
            scored = [(ids, score + back) for (ids, score), back in zip(answers, more, strict=True)]
            found.append(sorted(scored, key=lambda pair: -pair[1]))
        return found

    def _said(self, glosses: Sequence[str], slots: dict[str, str], ids: Sequence[int]) -> str:
        text = self._script.text(self.dialect, glosses, ids)
        return filled(text, slots) if self.dialect == "ncslgr" else text
