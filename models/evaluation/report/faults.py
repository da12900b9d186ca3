"""Failure signatures: ways to fail that figures over all sentences hide, each with its rule and the sentences that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.clock import STEP_MS
from models.evaluation.report.edits import gloss_edits, letter_accuracy
from models.evaluation.report.records import Sentence, runs_of
from models.evaluation.report.texts import percent, sentence_chrf
from models.evaluation.report.words import content_recall, wrong_names
from models.evaluation.scores import caption_right

GOOD_CHRF, BAD_LETTERS, FEW_CONTENT, SURE = 70.0, 0.5, 0.5, 0.8
REST_MISSED, SIGNING_MISSED, SPELLING_MISSED = 0.3, 0.15, 0.5
SHOWN = 12
"""So many sentences are shown of each; all are counted."""


@dataclass(frozen=True)
class Case:
    """A sentence that shows a signature, and what was measured on it."""

    number: int
    english: str
    caption: str
    evidence: str


@dataclass(frozen=True)
class Signature:
    """A way to fail; `share` is of all sentences, `cases` the first SHOWN of `count`."""

    name: str
    rule: str
    meaning: str
    count: int
    share: float
    cases: tuple[Case, ...]


Rule = Callable[[Sentence], str | None]
"""A sentence -> the evidence, or None where it does not show the signature."""


def signatures(sentences: Sequence[Sentence]) -> list[Signature]:
    """Every signature that is looked for, also those that no sentence shows."""
    return [_signature(*row, sentences) for row in (*RULES, _fluent_row(usual_log_prob(sentences)))]


def usual_log_prob(sentences: Sequence[Sentence]) -> float | None:
    """What nine tenths of the right captions reach: the language model's mean log-probability a word; None without any."""
    right = [one for one in sentences if caption_right(one.caption, one.truth.english)]
    reached = [segment.log_prob for one in right for segment in one.segments if segment.text]
    return float(np.quantile(reached, 0.1)) if reached else None


def _signature(name: str, rule: str, meaning: str, test: Rule, sentences: Sequence[Sentence]) -> Signature:
    cases = [
        Case(sentence.number, sentence.truth.english, sentence.caption, evidence)
        for sentence in sentences
        if (evidence := test(sentence)) is not None
    ]
    return Signature(name, rule, meaning, len(cases), len(cases) / max(1, len(sentences)), tuple(cases[:SHOWN]))


def _guessed(sentence: Sentence) -> str | None:
    letters, chrf = letter_accuracy(sentence), sentence_chrf(sentence.caption, sentence.truth.english)
    if letters is None or letters >= BAD_LETTERS or chrf < GOOD_CHRF:
        return None
    return f"{percent(letters)} of letters right, chrF {chrf:.0f}"


def _fluent_row(usual: float | None) -> tuple[str, str, str, Rule]:
    name, meaning = "fluent but wrong", "A smooth sentence about something else: what a reader cannot notice."
    if usual is None:
        return name, "not measurable: no caption is right, so none tells what is usual", meaning, lambda sentence: None

    def fluent(sentence: Sentence) -> str | None:
        recall = content_recall(sentence)
        least = min((segment.log_prob for segment in sentence.segments if segment.text), default=None)
        if least is None or least < usual or recall > FEW_CONTENT:
            return None
        return f"{percent(recall)} of content words, mean log-probability {least:.2f}"

    rule = (
        f"as likely to the language model as nine tenths of the right captions (log-probability {usual:.2f} a word or "
        f"more), and at most {percent(FEW_CONTENT)} of the content words"
    )
    return name, rule, meaning, fluent


def _sure_but_wrong(sentence: Sentence) -> str | None:
    wrong = bool(sentence.caption) and not caption_right(sentence.caption, sentence.truth.english)
    return f"confidence {sentence.confidence:.2f}" if wrong and sentence.confidence >= SURE else None


def _rest_mistaken(sentence: Sentence) -> str | None:
    """Rest before, between and after signing that was read as signing; edges of signs are left out."""
    steps = [
        step for route, first, last in runs_of(sentence.truth.routes) if route == "r"
        for step in range(first + EDGE_STEPS, last - EDGE_STEPS)
    ]  # fmt: skip
    mistaken = sum(sentence.routes[step] != "r" for step in steps if step < len(sentence.routes))
    if not steps or mistaken / len(steps) <= REST_MISSED:
        return None
    return f"{mistaken * STEP_MS} of {len(steps) * STEP_MS} ms of rest read as signing"


EDGE_STEPS = 3
"""Steps at both ends of a rest that count as neither: where a sign ends is a matter of taste."""


def _signing_missed(sentence: Sentence) -> str | None:
    pairs = [(true, found) for true, found in zip(sentence.truth.routes, sentence.routes, strict=False) if true != "r"]
    missed = sum(found == "r" for _, found in pairs)
    if not pairs or missed / len(pairs) <= SIGNING_MISSED:
        return None
    return f"{missed * STEP_MS} of {len(pairs) * STEP_MS} ms of signing read as rest"


def _spelling_missed(sentence: Sentence) -> str | None:
    spans = [(first, last) for route, first, last in runs_of(sentence.truth.routes) if route == "f"]
    missed = [
        (first, last)
        for first, last in spans
        if sentence.routes[first:last].count("f") < SPELLING_MISSED * (last - first)
    ]
    return f"{len(missed)} of {len(spans)} spelled words routed elsewhere" if missed else None


def _split(sentence: Sentence) -> str | None:
    said = sum(bool(segment.text) for segment in sentence.segments)
    return f"{said} captions for one sentence" if said > 1 else None


def _silent(sentence: Sentence) -> str | None:
    return None if sentence.caption else "no caption"


def _language_spoils(sentence: Sentence) -> str | None:
    if gloss_edits(sentence)[0] or letter_accuracy(sentence) not in (None, 1.0) or not sentence.caption:
        return None
    right = caption_right(sentence.caption, sentence.truth.english)
    return None if right else "all glosses and letters right"


def _named(kind: str) -> Rule:
    """The wrong names of one kind."""

    def named(sentence: Sentence) -> str | None:
        return ", ".join(wrong.name for wrong in wrong_names(sentence) if wrong.kind == kind) or None

    return named


RULES: tuple[tuple[str, str, str, Rule], ...] = (
    ("letters bad but sentence good", f"under {percent(BAD_LETTERS)} of letters right, yet chrF at least {GOOD_CHRF:.0f}",
     "Correction or the language model guesses what the hands did not say.", _guessed),
    ("sure but wrong", f"confidence at least {SURE} and the caption is wrong",
     "Withholding by confidence does not catch these.", _sure_but_wrong),
    ("language spoils what was read", "all glosses and letters right, the caption wrong",
     "The experts did their part; the language model, or a reference that says more than is signed, did not.",
     _language_spoils),
    ("invented name", "a name in the caption for which no spelling was shown and no sign was read",
     "The output guard has a hole, or spelling was seen where there was none.", _named("invented")),
    ("name misread", "a spelled name in the caption that is not the one spelled", "Letters or their verification failed.",
     _named("misread spelling")),
    ("sign read as another name", "a name that a sign was read as (a weekday, a city), though another was shown",
     "Recognition failed, the language wrote what it was told.", _named("misread sign")),
    ("rest mistaken", f"over {percent(REST_MISSED)} of rest read as signing ({EDGE_STEPS} steps at its edges left out)",
     "The router sees signing where there is none: segments begin early and end late.", _rest_mistaken),
    ("signing taken for rest", f"over {percent(SIGNING_MISSED)} of signing read as rest", "Signs are cut off or never seen.",
     _signing_missed),
    ("spelling taken for signs", f"a spelled word of which under {percent(SPELLING_MISSED)} of steps are routed as spelling",
     "The wrong expert is asked.", _spelling_missed),
    ("sentence cut in two", "more than one caption for one sentence", "A pause within the sentence was taken for its end.",
     _split),
    ("nothing said", "no caption at all", "The signer is not understood, or not found.", _silent),
)  # fmt: skip
