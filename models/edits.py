"""English written as edits of its glosses: one label a gloss, for corpora whose glosses are English words in English order.

ASLG-PC12's glosses are lemmas of the English with its articles and some forms of "be" left out. So a gloss becomes text by a
label (words put before it, what becomes of it): `REPORT` with `the|~s` is "the reports". A language model that says labels
copies every word that it has never seen and spends nothing on spelling. This file knows no network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

END_GLOSS = "</s>"
"""Stands behind the last gloss, so that words can be put there."""
_KIND = re.compile(r"^(?:X-|DESC-)")
SUFFIX = 3


@dataclass(frozen=True)
class Edit:
    """`before`: words put before the gloss. `whole`: the word said in its place, "" to leave the gloss out. Without it the
    gloss's own word is said: as its `form` (one of FORMS) if there is one, else `cut` letters shorter with `ending` behind."""

    before: tuple[str, ...] = ()
    cut: int = 0
    ending: str = ""
    form: str = ""
    whole: str | None = None

    def apply(self, own: str) -> list[str]:
        """The words that a gloss becomes whose own word is `own`."""
        if self.whole is not None:
            return [*self.before, *([self.whole] if self.whole else [])]
        word = inflected(own, self.form) if self.form else own[: max(0, len(own) - self.cut)] + self.ending
        return [*self.before, word]

    def text(self) -> str:
        """As it stands in the file: `the of|~ing`, `|1+en`, `a|=is`, `|=` for a gloss left out."""
        if self.whole is not None:
            return f"{' '.join(self.before)}|={self.whole}"
        return f"{' '.join(self.before)}|" + (f"~{self.form}" if self.form else f"{self.cut}+{self.ending}")

    @staticmethod
    def parse(text: str) -> Edit:
        """The reverse of `text`; ValueError for a line that is none."""
        before, bar, said = text.rpartition("|")
        if not bar:
            raise ValueError(f"expected an edit like `the|~s`, got {text!r}: train the adapter anew")
        if said.startswith("="):
            return Edit(tuple(before.split()), whole=said[1:])
        if said.startswith("~"):
            return Edit(tuple(before.split()), form=said[1:])
        cut, _, ending = said.partition("+")
        return Edit(tuple(before.split()), int(cut), ending)


FORMS = ("s", "ed", "ing")
_HISSES = ("s", "x", "z", "ch", "sh")
_VOWELS = "aeiou"
_DOUBLES = re.compile(rf"(?:^[^{_VOWELS}]*|[^{_VOWELS}]u)[{_VOWELS}][^{_VOWELS}wxy]$|[^{_VOWELS}][{_VOWELS}]l$")
"""Words whose last letter is doubled before a vowel: short ones (stop), and those in -l as written in Britain (travel)."""


def inflected(word: str, form: str) -> str:
    """A word with -s, -ed or -ing, by the rules of spelling; irregular words are no form of theirs."""
    after_consonant = len(word) > 1 and word[-2] not in _VOWELS
    if form == "s":
        if word.endswith("y") and after_consonant:
            return word[:-1] + "ies"
        return word + ("es" if word.endswith(_HISSES) else "s")
    if form == "ed":
        if word.endswith("y") and after_consonant:
            return word[:-1] + "ied"
        return word + "d" if word.endswith("e") else _doubled(word) + "ed"
    assert form == "ing", form
    if word.endswith("ie"):
        return word[:-2] + "ying"
    silent = word.endswith("e") and not word.endswith(("ee", "oe", "ye"))
    return (word[:-1] if silent else _doubled(word)) + "ing"


def _doubled(word: str) -> str:
    return word + word[-1] if _DOUBLES.search(word) else word


def word_of(gloss: str) -> str:
    """The English word that a gloss names: `DESC-FAR` -> far, `X-WE` -> we."""
    return _KIND.sub("", gloss).lower()


@dataclass(frozen=True)
class EditVocabulary:
    """Glosses known by name, the others by kind and last letters; labels. Ids start at `first`, labels behind glosses.

    `words`: glosses whose own word is not what they name (`BE` - is, `PROGRAM` - programme, `BOSNIUM` - bosnia).
    """

    glosses: tuple[str, ...]
    labels: tuple[Edit, ...]
    first: int
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def first_label(self) -> int:
        return self.first + len(self.glosses)

    @property
    def size(self) -> int:
        """One beyond the last id."""
        return self.first_label + len(self.labels)

    @cached_property
    def _gloss_ids(self) -> dict[str, int]:
        return {gloss: self.first + place for place, gloss in enumerate(self.glosses)}

    @cached_property
    def label_ids(self) -> dict[Edit, int]:
        return {label: self.first_label + place for place, label in enumerate(self.labels)}

    @cached_property
    def known(self) -> frozenset[str]:
        """Glosses and classes that have a name."""
        return frozenset(self.glosses)

    def gloss_ids(self, glosses: Sequence[str]) -> list[int]:
        """Ids of the glosses and of the end; an unknown gloss is its class."""
        known = self._gloss_ids
        return [known.get(gloss, self.class_id(gloss)) for gloss in glosses] + [known[END_GLOSS]]

    def class_id(self, gloss: str) -> int:
        """Id of the gloss's class, the most special that is known."""
        return next(self._gloss_ids[name] for name in classes(gloss) if name in self._gloss_ids)

    def edits(self, ids: Sequence[int]) -> list[Edit]:
        return [self.labels[one - self.first_label] for one in ids]

    def text(self, glosses: Sequence[str], ids: Sequence[int]) -> str:
        """The sentence: one label a gloss and one for the end."""
        return text_of([self.words.get(gloss, word_of(gloss)) for gloss in glosses], self.edits(ids))

    def save(self, path: Path) -> None:
        held = {"glosses": self.glosses, "labels": [label.text() for label in self.labels], "first": self.first,
                "words": dict(self.words)}  # fmt: skip
        path.write_text(json.dumps(held, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> EditVocabulary:
        held = json.loads(path.read_text(encoding="utf-8"))
        return EditVocabulary(tuple(held["glosses"]), tuple(map(Edit.parse, held["labels"])), int(held["first"]),
                              held["words"])  # fmt: skip


def text_of(words: Sequence[str], edits: Sequence[Edit]) -> str:
    """The sentence of glosses whose own words are `words`: one edit each and one for the end."""
    return " ".join(said for own, edit in zip([*words, ""], edits, strict=True) for said in edit.apply(own))


def classes(gloss: str) -> tuple[str, ...]:
    """What is known of a gloss that was never met, the most special first: `DESC-CURIOUS` -> DESC-*OUS, *OUS, *."""
    kind = match[0] if (match := _KIND.match(gloss)) else ""
    plain = gloss[len(kind) :]
    end = "0" if any(letter.isdigit() for letter in plain) else plain[-SUFFIX:]
    return f"{kind}*{end}", f"*{end}", f"{kind}*", "*"
