"""What becomes of drafts: a sentence of the language model's is the next revision, and words that were none are taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.captions import CaptionBook, Choices, Measured
from app.engine.messages import RefinedDraft
from app.protocol import CaptionEvent
from models.hypothesis import Caption, Hypothesis, Token, Update, Word

MEASURED = Measured(400, 0.0, 1.0, 1.0, 1.0, 1.0)
ME = Token("ME", "sign", 0, 400, 0.9)
GO = Token("GO", "sign", 500, 900, 0.9)


def hypothesis(*tokens: Token) -> Hypothesis:
    return Hypothesis(tokens, 0, 0, 900, 1.0, (1.0, 0.0, 0.0), 0.9, 2.0, 1.0)


def caption(text: str) -> Caption:
    return Caption(text, (Word(text, 0, 400, 0.9, "sign"),), 0.9)


@pytest.fixture
def book() -> CaptionBook:
    held = CaptionBook(Choices(), round)
    held.told(Update("started", 0, 0, None), None, MEASURED, 1.0)
    held.told(Update("hypothesis", 0, 400, hypothesis(ME)), caption("I"), MEASURED, 1.0)
    return held


def test_a_sentence_of_the_same_words_is_the_drafts_next_revision(book: CaptionBook) -> None:
    moved = replace(hypothesis(replace(ME, end_ms=440)), stable=1)
    [event] = book.redraft(RefinedDraft(1, 0, moved, caption("I am here."), 30.0), 2.0)
    assert isinstance(event, CaptionEvent)
    assert (event.rev, event.stage, event.is_final, event.text) == (2, "draft", False, "I am here.")
    assert event.latency_ms.llm == 30.0
    assert event.stable_prefix_len == 0, "what is signed next may change the whole sentence"
    again = Update("hypothesis", 0, 720, moved)
    assert book.told(again, caption("I"), MEASURED, 2.0) == [], "the tokens say nothing new"


def test_a_sentence_that_comes_too_late_is_not_said(book: CaptionBook) -> None:
    written = RefinedDraft(1, 0, hypothesis(ME), caption("I am here."), 30.0)
    book.told(Update("hypothesis", 0, 800, hypothesis(ME, GO)), caption("I go"), MEASURED, 2.0)
    assert book.redraft(written, 2.0) == []
    book.told(Update("ended", 0, 800, hypothesis(ME, GO)), caption("I go"), MEASURED, 2.0)
    assert book.redraft(replace(written, hypothesis=hypothesis(ME, GO)), 2.0) == []
    assert book.redraft(replace(written, segment_id=9), 2.0) == []


def test_who_wants_no_drafts_gets_none_of_these(book: CaptionBook) -> None:
    book.choices.interim = False
    assert book.redraft(RefinedDraft(1, 0, hypothesis(ME), caption("I am here."), 30.0), 2.0) == []


def test_a_draft_that_was_no_word_after_all_is_taken_back_at_once(book: CaptionBook) -> None:
    *_, final = book.told(Update("ended", 0, 800, hypothesis(ME)), Caption("", (), 0.0), MEASURED, 2.0)
    assert isinstance(final, CaptionEvent)
    assert (final.rev, final.is_final, final.text) == (2, True, "")
    assert not book.awaits_finals
