"""How well each spelled word was read, letter by letter; words that training spelled apart from those that it never did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.error_rate import ErrorRate
from models.evaluation.report.records import Sentence, Span
from models.synthetic.sentences import names_held_out

SLACK_MS = 400
"""Letters are found up to so far from where they were shown."""
GROUPS = ("spelled in training", "never spelled in training")


@dataclass(frozen=True)
class Spelled:
    """A word as it was spelled and the letters that were found at that time."""

    word: str
    found: str

    @property
    def rare(self) -> bool:
        return self.word in names_held_out()


def spelled_words(sentence: Sentence) -> list[Spelled]:
    """Every spelled word of a sentence; a found word belongs to the one that it shares most time with."""
    shown = list(_words(sentence))
    found = [""] * len(shown)
    tokens = (t for segment in sentence.segments for t in segment.tokens if t.kind == "fingerspelling")
    for token in tokens:
        shared = [min(token.end_ms, word.end_ms) - max(token.start_ms, word.start_ms) for word in shown]
        best = max(range(len(shown)), key=shared.__getitem__, default=None)
        if best is not None and shared[best] > -SLACK_MS:
            found[best] += token.text
    return [Spelled(word.text, letters) for word, letters in zip(shown, found, strict=True)]


def _words(sentence: Sentence) -> Iterator[Span]:
    """The spelled words with their times: the letters in the order of the tokens."""
    letters = iter(sentence.truth.letters)
    for word in (token[1:] for token in sentence.truth.tokens if token.startswith("#")):
        spans = [next(letters) for _ in word]
        yield Span("".join(span.text for span in spans), spans[0].start_ms, spans[-1].end_ms)


@dataclass(frozen=True)
class RareWords:
    """Words of one of GROUPS: share of letters and of whole words that were read right, before names are verified."""

    group: str
    words: int
    letters: float | None
    whole: float | None


def rare_words(sentences: Sequence[Sentence]) -> list[RareWords]:
    """One row a group."""
    words = [word for sentence in sentences for word in spelled_words(sentence)]
    return [
        _row(group, [word for word in words if word.rare == rare])
        for group, rare in zip(GROUPS, (False, True), strict=True)
    ]


def _row(group: str, words: Sequence[Spelled]) -> RareWords:
    rate = ErrorRate()
    for word in words:
        rate.add(word.found, word.word)
    right = sum(word.found == word.word for word in words)
    return RareWords(group, len(words), rate.accuracy if words else None, right / len(words) if words else None)
