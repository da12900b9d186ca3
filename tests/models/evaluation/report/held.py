"""Records made by hand, for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.evaluation.report.records import (
    OTHER_SIGNERS,
    FoundToken,
    FoundWord,
    Run,
    Segment,
    Sentence,
    Shown,
    Span,
    Tick,
    Truth,
)

RUN = Run("compact", "0123456789ab", 0, "torch", 1, "2.13.0", "some processor", "2026-01-01 00:00 UTC", OTHER_SIGNERS)

ENGLISH = "My name is Maria."


def segment(**changes: Any) -> Segment:
    """The caption of MY NAME #MARIA, read without a fault: 40 steps from 320 ms on."""
    words = [("My", 640, 800, "sign"), ("name", 840, 1000, "sign"), ("is", 1000, 1000, "language"),
             ("Maria.", 1040, 1600, "fingerspelling")]  # fmt: skip
    held = Segment(
        320, 1600,
        (FoundToken("MY", "sign", 640, 800, 0.9), FoundToken("NAME", "sign", 840, 1000, 0.9),
         FoundToken("MARIA", "fingerspelling", 1040, 1600, 0.8)),
        ("M", "AY"), (0.72,) * 20 + (0.92,) * 20, ENGLISH, 0.9,
        tuple(FoundWord(text, begin, end, 0.9, source) for text, begin, end, source in words), -0.01,
        "My name Maria", ENGLISH, ENGLISH,
    )  # fmt: skip
    return replace(held, **changes)


def sentence(number: int = 0, **changes: Any) -> Sentence:
    """Half a second of rest, a second of MY NAME #MARIA, half a second of rest; its caption is right."""
    letters = tuple(Span(letter, 1040 + 120 * at, 1120 + 120 * at) for at, letter in enumerate("MARIA"))
    glosses = (Span("MY", 640, 800), Span("NAME", 840, 1000))
    routes = "r" * 16 + "s" * 10 + "f" * 15 + "r" * 12
    shown = (Shown(0, "My", False, 960, 30.0, 20.0), Shown(0, "My name", False, 1280, 30.0, 20.0),
             Shown(0, "My name Maria", False, 1920, 30.0, 20.0), Shown(0, ENGLISH, True, 2560, 90.0, 60.0))  # fmt: skip
    held = Sentence(
        number, number % 2, (), Truth(ENGLISH, ("MY", "NAME", "#MARIA"), glosses, letters,
                                      (Span("M", 640, 700), Span("AY", 700, 800)), routes),
        routes, (segment(),), shown, (Tick(40.0, 30.0, 20.0, 15.0, 5.0),) * 8, ((80.0, 50.0),), ("Maria", "Paul"), 320,
    )  # fmt: skip
    return replace(held, **changes)


def told(caption: str, number: int = 0, **changes: Any) -> Sentence:
    """The same sentence with another caption, every word of it with a sign behind it unless said otherwise."""
    words = tuple(FoundWord(word, 640, 800, 0.9, "sign") for word in caption.split())
    changed = segment(text=caption, words=words, as_seen=caption, with_names=caption)
    return sentence(number, **{"segments": (changed,), **changes})


def truth(english: str, *tokens: str) -> Truth:
    """A truth of English and tokens, its spans and routes those of `sentence`."""
    return replace(sentence().truth, english=english, tokens=tokens)
