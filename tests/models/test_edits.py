"""Edits turn glosses into English exactly; what was never met is known by its kind and its last letters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.edits import END_GLOSS, Edit, EditVocabulary, classes, inflected, text_of, word_of

EDITS = (
    Edit(),
    Edit(("the",), form="s"),
    Edit((), 1, "en"),
    Edit(("of", "the"), whole="is"),
    Edit(whole=""),
    Edit(cut=40),
)
FORMS = [
    ("vote", "votes voted voting"), ("try", "tries tried trying"), ("stop", "stops stopped stopping"),
    ("travel", "travels travelled travelling"), ("open", "opens opened opening"), ("pass", "passes passed passing"),
    ("agree", "agrees agreed agreeing"), ("lie", "lies lied lying"), ("play", "plays played playing"),
    ("fix", "fixes fixed fixing"), ("need", "needs needed needing"), ("", "s ed ing"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "forms"), FORMS)
def test_words_take_their_endings_by_the_rules_of_spelling(word: str, forms: str) -> None:
    assert [inflected(word, form) for form in ("s", "ed", "ing")] == forms.split()


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_read_as_it_was_written(edit: Edit) -> None:
    assert Edit.parse(edit.text()) == edit


def test_a_line_that_is_no_edit_is_named() -> None:
    with pytest.raises(ValueError, match="expected an edit like"):
        Edit.parse("the reports")


def test_edits_make_the_sentence_of_their_glosses() -> None:
    vocabulary = EditVocabulary((END_GLOSS,), (), 0, {"BE": "is"})
    glosses = ["REPORT", "BE", "DESC-FAR", "FROM", "X-WE", "COUNTRY", "BE"]
    edits = [
        Edit(("the",), form="s"),
        Edit(whole="are"),
        Edit(),
        Edit(),
        Edit(whole=""),
        Edit(("our",), 1, "ies"),
        Edit(),
    ]
    known = replace(vocabulary, labels=(*edits, Edit((".",), whole="")))
    assert known.text(glosses, range(1, 9)) == "the reports are far from our countries is ."


def test_every_gloss_needs_its_edit() -> None:
    with pytest.raises(ValueError, match="zip"):
        text_of(["REPORT"], [Edit()])


def test_an_unknown_gloss_is_its_most_special_class() -> None:
    vocabulary = EditVocabulary((END_GLOSS, "*", "*ING", "DESC-*", "VOTE"), (Edit(), Edit(whole="")), 10)
    assert vocabulary.gloss_ids(["VOTE", "KNITTING", "DESC-PURPLE", "Q"]) == [14, 12, 13, 11, 10]
    assert vocabulary.edits([15, 16]) == [Edit(), Edit(whole="")]
    assert vocabulary.size == 17
    assert classes("DESC-CURIOUS") == ("DESC-*OUS", "*OUS", "DESC-*", "*")
    assert classes("20US")[1] == "*0"
    assert word_of("X-POSS") == "poss"


def test_the_vocabulary_comes_back_from_its_file(tmp_path: Path) -> None:
    vocabulary = EditVocabulary((END_GLOSS, "*", "FÜLE"), EDITS, 7, {"BE": "is"})
    vocabulary.save(tmp_path / "edits.json")
    assert EditVocabulary.load(tmp_path / "edits.json") == vocabulary
