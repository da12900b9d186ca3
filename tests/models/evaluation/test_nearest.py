"""Who knows every sentence: says the nearest, spells what was spelled, and loses what is gone."""

from __future__ import annotations

from models.evaluation.gloss2text import held_out_grammar
from models.evaluation.nearest import Reader, score
from models.evaluation.token_noise import Rates, token_of

ROWS = [
    (("ME", "NAME", "#MARIA"), "My name is Maria."),
    (("ME", "LOVE", "DOG"), "I love dogs."),
    (("YOU", "LOVE", "DOG"), "You love dogs."),
]


def test_the_nearest_sentence_is_said_with_what_was_spelled() -> None:
    reader = Reader([*ROWS, ROWS[1]])
    assert reader.say([token_of("ME"), token_of("NAME"), token_of("#PAUL")]) == "My name is Paul."
    assert reader.say([token_of("ME"), token_of("LOVE"), token_of("CAT"), token_of("DOG")]) == "I love dogs."
    assert reader.say([token_of("LOVE"), token_of("DOG")]) == "I love dogs.", "of equally near ones the more usual"


def test_nothing_near_is_said_as_it_is() -> None:
    assert Reader([]).say([token_of("GO"), token_of("#PAUL")]) == "GO PAUL"


def test_clean_sentences_are_all_known_and_dropped_signs_are_gone() -> None:
    rows = held_out_grammar(12)
    reader = Reader.of(rows, drawn=40, held_out=10)
    assert score(reader, rows, Rates()) > 99
    assert score(reader, rows, Rates(tokens=0.8, deleted=1.0)) < 80
