"""A gloss line and its sentence are aligned in order; the edits found give the sentence back, word by word."""

from __future__ import annotations

import pytest

from models.edits import END_GLOSS, Edit, text_of, word_of
from models.training.edit_labels import align, edit_of, edits_of, forms_of, vocabulary_of, words_of

PAIRS = [
    ("NEXT ITEM BE VOTE .", "the next item is the vote ."),
    ("X-I HAVE SAY DESC-NOT NOTHING .", "i have said nothing ."),
    ("COUNTRY BE DESC-FAR .", "the countries are far ."),
    ("SIT BE DESC-CLOSE AT 7.45", "the sitting was closed at 7.45"),
    ("REPORT X-POSS AUTHOR", "a wholly other sentence"),
    ("VOTE", ""),
]


@pytest.mark.parametrize(("gloss", "english"), PAIRS)
def test_edits_give_the_sentence_back(gloss: str, english: str) -> None:
    edits = edits_of(gloss.split(), english.split(), {}, {"BE": "is"})
    own = ["is" if one == "BE" else word_of(one) for one in gloss.split()]
    assert text_of(own, edits) == english
    assert len(edits) == len(gloss.split()) + 1


def test_words_are_found_in_order_and_once() -> None:
    places = align("VOTE BE VOTE".split(), "the votes on the vote".split(), {})
    assert places == [1, None, 4]


def test_a_form_that_resembles_nothing_is_learned_from_its_gaps() -> None:
    pairs = [(f"{name} BE DESC-FAR".split(), f"the {name.lower()} is far".split()) for name in ("SEA", "TOWN", "HILL")]
    assert edits_of(*pairs[0], {}, {})[1] == Edit(whole="")
    forms = forms_of(pairs)
    assert forms == {("BE", "is"): 2.0}
    assert edits_of(*pairs[0], forms, {})[1] == Edit(whole="is")
    own = words_of(pairs, forms)
    assert own == {"BE": "is"}
    assert edits_of(*pairs[0], forms, own)[1] == Edit()


def test_the_most_regular_edit_is_taken() -> None:
    assert edit_of("country", "countries", ("the",)) == Edit(("the",), form="s")
    assert edit_of("take", "taken") == Edit(ending="n")
    assert edit_of("take", "took") == Edit(whole="took")


def test_the_vocabulary_holds_what_comes_often_and_a_class_for_the_rest() -> None:
    rows = [(["VOTE", f"RARE{number}"], [Edit(), Edit(("the",)), Edit(whole="")]) for number in range(9)]
    vocabulary = vocabulary_of([*rows, (["VOTE"], [Edit(("seldom",)), Edit(whole="")])], 5, {})
    assert {END_GLOSS, "*", "VOTE"} <= set(vocabulary.glosses)
    assert "RARE3" not in vocabulary.glosses
    assert Edit(("seldom",)) not in vocabulary.labels
    assert vocabulary.labels[0] == Edit(whole="")
