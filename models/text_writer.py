"""Glosses of real corpora -> sentences: the text model with one adapter, by beam search.

It lives in a checkpoint's `text` folder beside the live language model: `text/llm` and `text/adapters/NAME`, both written by
`signbind train`. It writes whole files, not streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from transformers import LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from models.dialects import DIALECTS, EDITED, Script, filled, slotted
from models.prefix_lm import Beside, search
from models.prompts import END
from models.refine import RefinerError, adapted
from models.wide_head import WIDE, WideHead, features, hashed

FOLDER = "text"
BATCH = 48
BEAMS, ALPHA = 5, 1.0


class TextWriter:
    """Writes sentences in one dialect. One caller at a time."""

    def __init__(self, model: LlamaForCausalLM, script: Script, dialect: str, wide: WideHead | None = None) -> None:
        assert dialect in DIALECTS, (dialect, DIALECTS)
        self._model, self._script, self.dialect = model.eval(), script, dialect
        edits, tokenizer = script.edits, script.tokenizer
        first, end = (edits.first_label, edits.size) if dialect == EDITED else (0, edits.first)
        self._wide = wide if dialect == EDITED else None
        self._says = torch.arange(first, end)
        self._end_id = cast(int, tokenizer.convert_tokens_to_ids(END))

    @classmethod
    def load(cls, checkpoint: Path, adapter: str, *, bare: bool = False) -> TextWriter:
        """The text model of a checkpoint with the adapter; `bare` leaves it out. RefinerError says what is missing."""
        folder = checkpoint / FOLDER / "llm"
        if adapter not in DIALECTS:
            raise RefinerError(f"expected the adapter {', '.join(DIALECTS)}, got {adapter!r}: give one of these names")
        if not (folder / "config.json").is_file():
            raise RefinerError(
                f"expected a text model at {folder}, but it has none: train it with `signbind train text`"
            )
        disable_progress_bar()
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        script = Script.load(folder)
        if not bare:
            model = adapted(model, "default", checkpoint / FOLDER / "adapters" / adapter).get_base_model()
        wide = checkpoint / FOLDER / "adapters" / adapter / WIDE
        head = WideHead.load(wide) if wide.is_file() and not bare else None
        return cls(cast(LlamaForCausalLM, model), script, adapter, head)

    def write(self, rows: Sequence[Sequence[str]], *, beams: int = BEAMS, alpha: float = ALPHA) -> list[str]:
        """One sentence a line of glosses ("#MARIA": spelled, for the dialect that knows spelling)."""
        return [best[0][0] for best in self.candidates(rows, beams=beams, alpha=alpha)]

    def candidates(
        self, rows: Sequence[Sequence[str]], *, beams: int = BEAMS, alpha: float = ALPHA
    ) -> list[list[tuple[str, float]]]:
        """The `beams` best sentences of each line with their scores, best first."""
        spelled = [slotted(row) if self.dialect == "ncslgr" else (list(row), {}) for row in rows]
        asked = [self._script.example(self.dialect, glosses) for glosses, _ in spelled]
        order = sorted(range(len(rows)), key=lambda place: len(asked[place].prompt))
        found: list[list[tuple[str, float]]] = [[] for _ in rows]
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            beside = self._beside([spelled[place][0] for place in part], beams) if self._wide else None
            rows_asked = [asked[place] for place in part]
            lines = search(self._model, rows_asked, self._says, self._end_id, beams=beams, alpha=alpha, beside=beside)
            for place, answers in zip(part, lines, strict=True):
                glosses, slots = spelled[place]
                found[place] = [(self._said(glosses, slots, ids), score) for ids, score in answers]
        return found

    def _beside(self, rows: Sequence[Sequence[str]], beams: int) -> Beside:
        """The wide head's log-probabilities of the labels for lines of glosses, each standing `beams` times."""
        wide, edits = cast(WideHead, self._wide), self._script.edits
        longest = max(len(row) for row in rows) + 1
        names, ends = np.zeros((len(rows), longest, 5), np.uint32), np.zeros((len(rows), longest, 5), np.uint32)
        gloss = np.zeros((len(rows), longest), np.int64)
        for place, row in enumerate(rows):
            name, end = hashed(row)
            names[place, : len(row) + 1] = np.lib.stride_tricks.sliding_window_view(name, 5)
            ends[place, : len(row) + 1] = np.lib.stride_tricks.sliding_window_view(end, 5)
            gloss[place, : len(row) + 1] = np.array(edits.gloss_ids(row)) - edits.first
        names, ends, gloss = names.repeat(beams, 0), ends.repeat(beams, 0), gloss.repeat(beams, 0)

        def beside(ids: torch.Tensor, step: int) -> torch.Tensor:
            told = torch.nn.functional.pad(ids[:, 1:], (2, 0))[:, -2:].flip(1)
            before = (told - edits.first_label + 1).clamp(min=0).numpy().astype(np.uint32)
            return torch.from_numpy(wide.log_probs(features(names[:, step], ends[:, step], before), gloss[:, step]))

        return beside

    def _said(self, glosses: Sequence[str], slots: dict[str, str], ids: Sequence[int]) -> str:
        text = self._script.text(self.dialect, glosses, ids)
        return filled(text, slots) if self.dialect == "ncslgr" else text
