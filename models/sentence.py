"""What a language model wrote -> a sentence: slots filled, foreign names dropped, every word with its source and times.

The guard stands here, so that it holds for every language model, here or on another server. This file knows no network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from models.hypothesis import Source, Token
from models.lexemes import FUNCTION_WORDS, Lexemes, agreement, bare
from models.prompts import Refined, RefinedWord, Request, Show, sentence_case, slots_of

Piece = tuple[str, float]
"""A piece of an answer's text and its natural-log probability."""

_SLOT = re.compile(r"<fs\d>")
_CONTRACTED = re.compile("n?'")  # does|n't, I|'m
_SENTENCE_END = (".", "?", "!")


def sentence(pieces: Sequence[Piece], request: Request, lexemes: Lexemes, show: Show) -> Refined:
    """The sentence of a request; `show` says how a spelled word is read."""
    words = _guarded(words_of(pieces), request, lexemes)
    glosses = {index: token.text for index, token in enumerate(request.tokens) if token.kind == "sign"}
    slots = slots_of(request.tokens)
    found = lexemes.align([word for word, _ in words], glosses)
    for place, (word, _) in enumerate(words):
        if slot := _SLOT.search(word):
            found[place] = next(index for index, name in slots.items() if name == slot[0])
    share = agreement([word for word, _ in words], found, len(request.tokens))
    shown = [_shown(word, request, slots, show) for word, _ in words]
    refined = _timed(request.tokens, shown, [log_prob for _, log_prob in words], found, share)
    return replace(refined, unsigned=_unsigned(refined.words, len(request.tokens))) if lexemes.words else refined


def _unsigned(words: Sequence[RefinedWord], tokens: int) -> tuple[str, ...]:
    """What nobody signed and no sentence needs; a single token asks for no sentence, so nothing but its own words stands."""
    plain = [bare(word.text).lower() for word in words if word.token is None]
    needed = FUNCTION_WORDS if tokens > 1 else frozenset[str]()
    return tuple(word for word in plain if word and not needed & {word, *_CONTRACTED.split(word)})


def words_of(pieces: Sequence[Piece]) -> list[Piece]:
    """The words of an answer, slots still in them, each with the sum of its pieces' log-probabilities."""
    text, spans = "", []
    for piece, log_prob in pieces:
        begun = len(text)
        text += piece
        spans.append((begun, len(text), log_prob))
    text, spans = _slots_apart(text, spans)
    return [
        (match[0], sum(log_prob for begun, end, log_prob in spans if begun < match.end() and end > match.start()))
        for match in re.finditer(r"\S+", text)
    ]


def _slots_apart(text: str, spans: list[tuple[int, int, float]]) -> tuple[str, list[tuple[int, int, float]]]:
    """Puts a blank before every slot: its piece swallows the one that stood there."""
    places = [
        match.start() for match in _SLOT.finditer(text) if match.start() and not text[match.start() - 1].isspace()
    ]
    for place in reversed(places):
        text = f"{text[:place]} {text[place:]}"
        spans = [(begun + (begun >= place), end + (end > place), log_prob) for begun, end, log_prob in spans]
    return text, spans


def _guarded(words: list[Piece], request: Request, lexemes: Lexemes) -> list[Piece]:
    """Drops proper nouns that nothing signed and slots that nobody spelled; their punctuation stays."""
    capitals = lexemes.capitals(token.text for token in request.tokens if token.kind == "sign")
    slots = set(slots_of(request.tokens).values())
    kept: list[Piece] = []
    for word, log_prob in words:
        plain = bare(word).removesuffix("'s")
        slot = _SLOT.search(word)
        if (slot and slot[0] in slots) or (not slot and _said(plain, capitals)):
            kept.append((word, log_prob))
        elif kept and word.endswith(_SENTENCE_END):
            kept[-1] = (kept[-1][0].rstrip(",;:") + word[-1], kept[-1][1])
    return kept


def _said(word: str, capitals: set[str]) -> bool:
    return word == word.lower() or word in capitals or word.lower() in FUNCTION_WORDS


def _shown(word: str, request: Request, slots: dict[int, str], show: Show) -> str:
    def spelled(match: re.Match[str]) -> str:
        tokens = [request.tokens[index] for index, slot in slots.items() if slot == match[0]]
        return " ".join(show(token, request.vocabulary) for token in tokens)

    return _SLOT.sub(spelled, word)


def _timed(
    tokens: Sequence[Token], texts: list[str], log_probs: list[float], found: list[int | None], share: float
) -> Refined:
    """Joins all that is known of the words; a word without a token lies between its neighbours in time."""
    cased = sentence_case(" ".join(texts)).split()
    words: list[RefinedWord] = []
    place = 0
    for text, log_prob, index in zip(texts, log_probs, found, strict=True):
        shown = " ".join(cased[place : place + len(text.split())])
        place += len(text.split())
        source: Source = "language" if index is None else tokens[index].kind
        start_ms, end_ms = _times(tokens, index, words)
        words.append(RefinedWord(shown, log_prob, source, index, start_ms, end_ms))
    return Refined(" ".join(word.text for word in words), tuple(words), share)


def _times(tokens: Sequence[Token], index: int | None, before: list[RefinedWord]) -> tuple[int, int]:
    if index is not None:
        return tokens[index].start_ms, tokens[index].end_ms
    return (before[-1].end_ms, before[-1].end_ms) if before else (tokens[0].start_ms, tokens[0].start_ms)
