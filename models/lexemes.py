"""Which English words say which gloss, and what a sentence may say that was never signed.

The table (`words.json` beside the language model) is counted in the training pairs: GO -> go, goes, went, going. A gloss
that it lacks is compared by stem. This file knows no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FUNCTION_WORDS = frozenset(
    """a about all also am an and any are as at be been being but by can could did do does doing done for from get gets
    go going got had has have having he her here him his how i if in into is it its just let me might must my no not of
    on or our out shall she should so some than that the their them then there these they this those to too up us very
    was we well were what when where which who will with would you your""".split()
)
"""Words that a sentence needs although nobody signs them; they count neither for nor against the agreement."""

_ENDINGS = ("'s", "'", "ingly", "edly", "ings", "ing", "ies", "ied", "ers", "er", "es", "ed", "ly", "s", "e", "y")


def stem(word: str) -> str:
    """A word without its ending: stories, story -> stor; running -> run. At least three letters stay."""
    plain = word.lower()
    for ending in _ENDINGS:
        if plain.endswith(ending) and len(plain) - len(ending) >= 3:
            plain = plain[: -len(ending)]
            break
    if len(plain) > 3 and plain[-1] == plain[-2] and plain[-1] not in "aeiousl":
        plain = plain[:-1]
    return plain


def bare(word: str) -> str:
    """A word of a sentence without the punctuation around it."""
    return word.strip(".,?!;:\"()[]-'")


@dataclass(frozen=True)
class Lexemes:
    """`words`: gloss -> English words in their written case; `proper`: words that always have a capital; the model was
    trained with marks behind signs whose posterior is under `doubtful_below` (0: with none)."""

    words: Mapping[str, frozenset[str]] = field(default_factory=dict)
    proper: frozenset[str] = frozenset()
    doubtful_below: float = 0.0

    @staticmethod
    def load(path: Path) -> Lexemes:
        """Reads words.json; a model without one has an empty table."""
        if not path.is_file():
            return Lexemes()
        held = json.loads(path.read_text(encoding="utf-8"))
        words = {gloss: frozenset(words) for gloss, words in held["words"].items()}
        return Lexemes(words, frozenset(held["proper"]), float(held.get("doubtful_below", 0.0)))

    def save(self, path: Path) -> None:
        held: dict[str, object] = {"words": {gloss: sorted(words) for gloss, words in sorted(self.words.items())}}
        held |= {"proper": sorted(self.proper), "doubtful_below": self.doubtful_below}
        path.write_text(json.dumps(held, indent=0) + "\n", encoding="utf-8")

    def says(self, word: str, gloss: str) -> bool:
        """Whether an English word says a gloss (or a part of a compound: LOOK-FOR is said by "look")."""
        known = self.words.get(gloss, frozenset())
        if word in known or word.lower() in known:
            return True
        parts = gloss.lower().replace("_", "-").split("-")
        return stem(word) in {stem(part) for part in parts if part}

    def capitals(self, glosses: Iterable[str]) -> set[str]:
        """Words with a capital that these glosses allow within a sentence: MONDAY allows "Monday"."""
        allowed = {"I", "I'm", "I'll", "I've", "I'd"}
        for gloss in glosses:
            allowed |= {word for word in self.words.get(gloss, ()) if word != word.lower()}
            allowed |= {gloss.capitalize(), gloss} | {part.capitalize() for part in gloss.split("-")}
        return allowed

    def align(self, words: Sequence[str], glosses: Mapping[int, str]) -> list[int | None]:
        """The token that each word says, or None; `glosses` is token index -> gloss. Every token is used once at first,
        then again by words of the same kind ("look" and "for"), nearest in order."""
        found: list[int | None] = [None] * len(words)
        free = dict(glosses)
        for again in (False, True):
            candidates = glosses if again else free
            for place, word in enumerate(words):
                if found[place] is not None or (again and word.lower() in FUNCTION_WORDS):
                    continue
                matches = [index for index, gloss in candidates.items() if self.says(bare(word), gloss)]
                if matches:
                    nearest = min(matches, key=lambda index: abs(index - place * len(glosses) / len(words)))
                    found[place] = nearest
                    free.pop(nearest, None)
        return found


def agreement(words: Sequence[str], found: Sequence[int | None], tokens: int) -> float:
    """F1 of the share of tokens that were said and the share of content words that a token asked for, in 0..1."""
    content = [
        index
        for word, index in zip(words, found, strict=True)
        if index is not None or bare(word).lower() not in FUNCTION_WORDS
    ]
    if not content or not tokens:
        return 0.0
    precision = sum(index is not None for index in content) / len(content)
    recall = len({index for index in found if index is not None}) / tokens
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
