"""A reader who knows the grammar's sentences, the test's own among them, and says the one nearest to the glosses read.

Not a translator: a measure of what noise leaves of a sentence. What it loses, no language model can be expected to find again.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from models.evaluation.gloss2text import Row
from models.evaluation.scores import bleu
from models.evaluation.token_noise import Rates, noisy_tokens
from models.hypothesis import Token
from models.synthetic.sentences import from_grammar

DRAWN, DRAWN_HELD_OUT = 60_000, 3_000
NAME = "#"
Line = tuple[str, ...]


class Reader:
    """Sentences by their glosses, spelled words left open; of equally near ones the most usual is said."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._english: dict[Line, str] = {}
        self._count: Counter[Line] = Counter()
        for tokens, english in rows:
            line = tuple(NAME if token.startswith(NAME) else token for token in tokens)
            self._english[line] = _opened(tokens, english)
            self._count[line] += 1

    @classmethod
    def of(cls, rows: Sequence[Row], drawn: int = DRAWN, held_out: int = DRAWN_HELD_OUT, seed: int = 5) -> Reader:
        """Knows `rows` and as many other sentences."""
        rng = np.random.default_rng(seed)
        others = [from_grammar(rng, held_out=place >= drawn) for place in range(drawn + held_out)]
        return cls([*((one.tokens, one.english) for one in others), *rows])

    def say(self, tokens: Sequence[Token]) -> str:
        """The nearest sentence by edit distance, with the words spelled in it."""
        seen = tuple(NAME if token.kind == "fingerspelling" else token.text for token in tokens)
        names = [token.text.capitalize() for token in tokens if token.kind == "fingerspelling"]
        nearest, least = seen, len(seen) + 1
        for line, count in self._count.items():
            apart = int(Levenshtein.distance(line, seen, score_cutoff=least))
            if apart < least or (apart == least and count > self._count[nearest]):
                nearest, least = line, apart
        return _closed(self._english.get(nearest, " ".join(token.text for token in tokens)), names)


def score(reader: Reader, rows: Sequence[Row], rates: Rates) -> float:
    """BLEU-4 (0..100) from the same noise that `noise_score` gives a language model."""
    rng = random.Random(0)
    said = [reader.say(noisy_tokens(tokens, rates, rng)) for tokens, _ in rows]
    return bleu(said, [english for _, english in rows])[0]


def _opened(tokens: Sequence[str], english: str) -> str:
    """The sentence with <0>, <1>, ... for its spelled words; a long one is spelled by its beginning."""
    for place, word in enumerate(token[1:] for token in tokens if token.startswith(NAME)):
        english = re.sub(rf"\b{re.escape(word)}[a-z]*", f"<{place}>", english, flags=re.IGNORECASE)
    return english


def _closed(english: str, names: Sequence[str]) -> str:
    """Places without a word of their own have the last one."""
    return re.sub(r"<(\d)>", lambda match: names[min(int(match[1]), len(names) - 1)] if names else "", english)
