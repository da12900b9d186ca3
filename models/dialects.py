"""How each real corpus's glosses and sentences become ids for the text model, and back: one dialect an adapter.

`aslg` is English in English order, said as edits (`models.edits`); `phoenix` (DGS, German) and `ncslgr` are written piece by
piece. What NCSLGR's signers spell is a slot on both sides, as live. Every prompt begins with its dialect's mark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from transformers import PreTrainedTokenizerFast

from models.edits import Edit, EditVocabulary
from models.prefix_lm import Example
from models.prompts import END, ENGLISH, SLOTS, gloss_text, sentence_case

DIALECTS = ("aslg", "phoenix", "ncslgr")
SPOKEN = "spoken"
"""A dialect without annotators: How2Sign's sentences with glosses by rule. It only teaches."""
MARKS = tuple(f"<{name}>" for name in (*DIALECTS, SPOKEN))
EDITED = "aslg"
EDITS, SPELLINGS = "edits.json", "spellings.json"


@dataclass(frozen=True)
class Script:
    """The ids of everything: pieces of plain text, then glosses and labels of edits."""

    tokenizer: PreTrainedTokenizerFast
    edits: EditVocabulary
    spellings: Mapping[str, str] = field(default_factory=dict)
    """German glosses without umlauts -> the word they stand for ("ueberschwemmung")."""

    def example(self, dialect: str, glosses: Sequence[str], text: str | Sequence[Edit] | None = None) -> Example:
        """A prompt, with its answer where `text` is given: a sentence, or edits for the dialect that has them."""
        mark, start, end = cast(list[int], self.tokenizer.convert_tokens_to_ids([f"<{dialect}>", ENGLISH, END]))
        if dialect == EDITED:
            ids = [mark, *self.edits.gloss_ids(glosses)]
            said = [self.edits.label_ids[edit] for edit in cast(Sequence[Edit], text)] if text is not None else []
            return Example(tuple(ids), (start, *said[:-1]), tuple(said), aligned=True)
        ids = [mark, *self._pieces(" ".join(self.written(gloss) for gloss in glosses))]
        said = self._pieces(cast(str, text)) if text is not None else []
        return Example(tuple(ids), (start, *said), (*said, end))

    def written(self, gloss: str) -> str:
        """A gloss as the model reads it: small letters, umlauts where they belong."""
        small = gloss_text(gloss)
        return self.spellings.get(small, small)

    def text(self, dialect: str, glosses: Sequence[str], ids: Sequence[int]) -> str:
        """The sentence that ids of an answer are."""
        if dialect == EDITED:
            return self.edits.text(glosses, ids)
        return str(self.tokenizer.decode(list(ids))).strip()

    def _pieces(self, text: str) -> list[int]:
        return cast(list[int], self.tokenizer(f" {text}", add_special_tokens=False)["input_ids"])

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)
        self.edits.save(folder / EDITS)
        held = json.dumps(dict(self.spellings), ensure_ascii=False, indent=0, sort_keys=True)
        (folder / SPELLINGS).write_text(held + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Script:
        tokenizer = cast(PreTrainedTokenizerFast, PreTrainedTokenizerFast.from_pretrained(folder))
        spellings = json.loads((folder / SPELLINGS).read_text(encoding="utf-8"))
        return Script(tokenizer, EditVocabulary.load(folder / EDITS), spellings)


def slotted(tokens: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Glosses with slots for spelled words ("#MARIA" -> <fs1>), and what stands in each slot: Maria."""
    slots: dict[str, str] = {}
    for token in tokens:
        if token.startswith("#") and token not in slots:
            slots[token] = SLOTS[min(len(slots), len(SLOTS) - 1)]
    glosses = [slots.get(token, token) for token in tokens]
    return glosses, {slot: token[1:].capitalize() for token, slot in slots.items()}


def filled(text: str, slots: Mapping[str, str]) -> str:
    """The sentence with its spelled words and capitals; a slot that nobody spelled goes."""
    for slot in SLOTS:
        text = text.replace(slot, f" {slots.get(slot, '')}")
    return sentence_case(text)
