"""The text that goes into and comes out of the language model, and how tokens read without one.

A prompt is `<gloss> i name <fs1> <english>`; the model answers ` my name is <fs1>.</s>`. Three conventions keep a small
model small: glosses are written in lower case, so that they share their pieces with English; a sentence begins in lower
case unless the word always has a capital, so that a capital inside an answer is a proper noun; and every fingerspelled
word is a slot `<fs1>`, `<fs2>`, ..., so that a name never passes through the model at all.

This file knows no network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.hypothesis import Source, Token

PAD, END, GLOSS, ENGLISH, CONTEXT = "<pad>", "</s>", "<gloss>", "<english>", "<context>"
SLOTS = tuple(f"<fs{number}>" for number in range(1, 9))
"""Places of fingerspelled words; the words after the eighth share the eighth place."""
PIECES_AT_LEAST, PIECES_A_TOKEN = 16, 5
DOUBT = "?"
"""Stands behind a sign of which recognition was not sure, for a model that learned what that means."""
SPECIAL = (PAD, END, GLOSS, ENGLISH, CONTEXT, *SLOTS)

_FIRST_WORD = re.compile(r"(?:^|[.?!]['\"]?\s+)['\"]?([A-Za-z][\w']*)")
_FIRST_LETTER = re.compile(r"((?:^|[.?!]['\"]?\s+)['\"]?)([a-z])")
_SPACE_BEFORE = re.compile(r"\s+([.,?!;:])")
_ALWAYS_CAPITAL = frozenset({"I", "I'm", "I'll", "I've", "I'd"})

Show = Callable[[Token, Sequence[str]], str]
"""Spelled token, the session's vocabulary -> the word as it shall be read."""


@dataclass(frozen=True)
class Request:
    """One segment to be written as English: tokens in signing order, names that may be spelled, sentences before it.

    `adapter` is the name of a loaded adapter; `grows` says that a longer one may follow, so that its prompt is kept.
    """

    tokens: tuple[Token, ...]
    vocabulary: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    adapter: str | None = None
    grows: bool = True


@dataclass(frozen=True)
class RefinedWord:
    """A word of the sentence: natural-log probability under the model (0 for a spelled word) and where it came from.

    `token` is the index of the token that it says, None for a word that the language asks for ("is", "the").
    """

    text: str
    log_prob: float
    source: Source
    token: int | None
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Refined:
    """A written sentence; `agreement` in 0..1 is the F1 of tokens that were said and content words that were signed.

    `unsigned` are the content words that no token asked for, beside a single token all words, where it is known which words say
    a gloss.
    """

    text: str
    words: tuple[RefinedWord, ...]
    agreement: float
    unsigned: tuple[str, ...] = ()


def gloss_text(gloss: str) -> str:
    """A gloss as the prompt has it: "IX-1" -> "ix-1"."""
    return gloss.lower()


def slots_of(tokens: Sequence[Token]) -> dict[int, str]:
    """Index of every spelled token -> its slot."""
    spelled = [index for index, token in enumerate(tokens) if token.kind == "fingerspelling"]
    return {index: SLOTS[min(order, len(SLOTS) - 1)] for order, index in enumerate(spelled)}


def gloss_line(tokens: Sequence[Token], doubtful_below: float = 0.0) -> str:
    """The tokens of a segment as the prompt has them: "i name <fs1>"; words that share a slot stand once in a row.

    A sign whose posterior is under `doubtful_below` has a mark behind it: "i name? <fs1>".
    """
    slots = slots_of(tokens)
    texts: list[str] = []
    for index, token in enumerate(tokens):
        text = slots.get(index) or gloss_text(token.text) + DOUBT * (token.posterior < doubtful_below)
        if index not in slots or text not in texts[-1:]:
            texts.append(text)
    return " ".join(texts)


def prompt(gloss: str, context: str = "") -> str:
    """The whole prompt of one segment; `context` is the sentence before it, already in lower-start form."""
    before = f"{CONTEXT} {context} " if context else ""
    return f"{before}{GLOSS} {gloss} {ENGLISH}"


def most_pieces(tokens: Sequence[Token]) -> int:
    """Where a sentence is cut: a model that rambles stops there."""
    return PIECES_AT_LEAST + PIECES_A_TOKEN * len(tokens)


def lower_start(english: str, proper: frozenset[str] = frozenset()) -> str:
    """Writes the first word of every sentence in lower case unless it is in `proper` or always has a capital."""

    def lowered(match: re.Match[str]) -> str:
        word, whole = match[1], match[0]
        keep = word in _ALWAYS_CAPITAL or word.removesuffix("'s") in proper or word[1:] != word[1:].lower()
        return whole if keep else whole[: -len(word)] + word[0].lower() + word[1:]

    return _FIRST_WORD.sub(lowered, english)


def sentence_case(text: str) -> str:
    """Gives every sentence its capital and no blank before its punctuation."""
    tidy = _SPACE_BEFORE.sub(r"\1", " ".join(text.split()))
    return _FIRST_LETTER.sub(lambda match: match[1] + match[2].upper(), tidy)


def as_spelled(token: Token, vocabulary: Sequence[str]) -> str:
    """A spelled word as a name: from the session's vocabulary where it stands there, else with one capital."""
    for word in vocabulary:
        if word.upper() == token.text:
            return word
    return token.text.capitalize()


def readable(tokens: Sequence[Token], vocabulary: Sequence[str] = (), show: Show = as_spelled) -> str:
    """The tokens as readable text without any language model: "I name Maria"; no tokens, no text."""
    words = [show(token, vocabulary) if token.kind == "fingerspelling" else gloss_word(token.text) for token in tokens]
    return sentence_case(" ".join(words))


def gloss_word(gloss: str) -> str:
    """One gloss as a reader would say it: "LOOK-FOR" -> "look for", "ME" -> "I"."""
    return "I" if gloss in ("I", "ME") else gloss.lower().replace("-", " ").replace("_", " ")
