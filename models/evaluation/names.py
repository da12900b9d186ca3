"""Names in captions: verification on and off, with and without the session's vocabulary; names that nobody spelled or signed.

`signbind evaluate names` takes the records of `evaluate report` (and measures what they lack), so signs are recognised once:
only the language model writes every segment anew, in each way. So two language models are compared on the same signs: one run
each with --checkpoint, and of every way the whole captions' scores too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models import names
from models.evaluation.gloss2text import write_requests
from models.evaluation.report.command import gather, told
from models.evaluation.report.records import FoundWord, Records, Segment, Sentence
from models.evaluation.report.spelled import rare_words
from models.evaluation.report.words import WRONG, WrongName, way_of, word_classes, wrong_names
from models.evaluation.scores import bleu, caption_right
from models.hypothesis import Token
from models.prompts import Refined, Request, Show, as_spelled, readable
from models.refine import Refiner
from models.speech import draft_words


@dataclass(frozen=True)
class Way:
    """How names are written: their letters as seen or verified, with the session's vocabulary or without."""

    verified: bool
    vocabulary: bool

    @property
    def name(self) -> str:
        return f"{'verified' if self.verified else 'as seen'}, {'with' if self.vocabulary else 'without'} vocabulary"


WAYS = tuple(Way(verified, vocabulary) for verified in (False, True) for vocabulary in (False, True))


def evaluate(
    path: Path | None, checkpoint: Path, *, seed: int | None = None, sentences: int | None = None,
    records: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Figures of every way by its name, and letters of words that training spelled and of those that it never did.

    Of each way: `recall` and `precision` of spelled names, how many were `asked`, and WRONG names by kind; of its captions BLEU-4
    (0..100), the share that is entirely `right`, and `words`, recall and precision by class of word.
    """
    del path
    with tempfile.TemporaryDirectory() as folder:
        held = gather(records or Path(folder) / "records.jsonl", checkpoint, seed, sentences, told)
    if not held.sentences:
        raise ValueError("the records hold no sentence: ask for some with --sentences")
    refiner = Refiner.load(checkpoint / "llm")
    found = {way.name: figures_of(held.sentences, rewritten(held, way, refiner)) for way in WAYS}
    letters = {row.group: row.letters for row in rare_words(held.sentences)}
    return {"sentences": len(held.sentences), **found, "letters": letters}


def rewritten(records: Records, way: Way, refiner: Refiner) -> list[Sentence]:
    """The sentences with captions written in one way."""
    refiner.show = names.show if way.verified else as_spelled
    places = [
        (at, place)
        for at, one in enumerate(records.sentences)
        for place, segment in enumerate(one.segments)
        if segment.tokens
    ]
    requests = [_request(records.sentences[at], place, way) for at, place in places]
    segments = {
        (at, place): segment for at, one in enumerate(records.sentences) for place, segment in enumerate(one.segments)
    }
    for key, request, refined in zip(places, requests, write_requests(refiner, requests), strict=True):
        segments[key] = _written(segments[key], request, refined, refiner.show)
    return [
        replace(one, segments=tuple(segments[at, place] for place in range(len(one.segments))))
        for at, one in enumerate(records.sentences)
    ]


def _request(sentence: Sentence, place: int, way: Way) -> Request:
    tokens = tuple(Token(*token) for token in sentence.segments[place].tokens)
    vocabulary = sentence.vocabulary if way.vocabulary else ()
    if way.verified:
        tokens = names.doubted(names.joined(tokens, vocabulary), vocabulary)
    return Request(tokens, vocabulary, grows=False)


def _written(segment: Segment, request: Request, refined: Refined, show: Show) -> Segment:
    """The segment as it is captioned: with the sentence, or with the draft where that says what nobody signed."""
    text, words = refined.text, refined.words
    if refined.unsigned:
        text = readable(request.tokens, request.vocabulary, show)
        words = draft_words(request.tokens, request.vocabulary, show)
    found = (FoundWord(word.text, word.start_ms, word.end_ms, 1.0, word.source) for word in words)
    return replace(segment, text=text, words=tuple(found))


def figures_of(asked: Sequence[Sentence], written: Sequence[Sentence]) -> dict[str, Any]:
    """Of captions written in one way; `another name` counts misread spellings that came out as a listed name, `named` lists every
    invented name with its caption."""
    row = way_of("", asked, [sentence.caption for sentence in written])
    wrong: list[WrongName] = [name for sentence in written for name in wrong_names(sentence)]
    kinds = {kind: sum(one.kind == kind for one in wrong) for kind in WRONG}
    named = [f"{one.name}: {one.caption}" for one in wrong if one.kind == "invented"]
    known = names.default_names().names
    another = sum(one.kind == WRONG[0] and names.spelling(one.name) in known for one in wrong)
    rest = {"another name": another, "named": named}
    return {"recall": row.recall, "precision": row.precision, "asked": row.asked, **kinds, **rest, **scores_of(written)}


def scores_of(written: Sequence[Sentence]) -> dict[str, Any]:
    """Of whole captions, beside their references."""
    pairs = [(sentence.caption, sentence.truth.english) for sentence in written]
    score, _ = bleu([caption for caption, _ in pairs], [english for _, english in pairs])
    right = sum(caption_right(caption, english) for caption, english in pairs) / len(pairs)
    classes = word_classes(pairs).items()
    words = {name: {"recall": one.recall, "precision": one.precision, "asked": one.asked} for name, one in classes}
    return {"bleu4": score, "right": right, "words": words}
