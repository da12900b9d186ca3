"""Names, function words, and whose fault a wrong name is."""

from dataclasses import replace

import pytest

from models.evaluation.report.records import FoundWord
from models.evaluation.report.words import (
    FUNCTION_WORDS,
    Found,
    content_recall,
    function_class,
    name_ways,
    proper_nouns,
    word_classes,
    wrong_names,
)
from models.evaluation.scores import caption_right
from tests.models.evaluation.report.held import segment, sentence, told, truth


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("My name is Maria.", ["Maria"]),
        ("Maria is deaf.", ["Maria"]),
        ("Watch Maria's hand. Kevin is here.", ["Maria", "Kevin"]),
        ("I think I'm late on Monday.", ["Monday"]),
        ("The class is ready.", []),
        ("Please help me.", []),
    ],
)
def test_proper_nouns(text: str, names: list[str]) -> None:
    assert proper_nouns(text) == names


def test_a_first_word_that_is_also_a_sign_is_a_name_when_it_was_spelled() -> None:
    assert proper_nouns("Will is late.") == []
    assert proper_nouns("Will is late.", frozenset({"WILL"})) == ["Will"]


def test_words_are_compared_as_bags() -> None:
    found = Found()
    found.add(["the", "The", "a"], ["the", "an"])
    assert (found.asked, found.given, found.right) == (2, 3, 1)
    assert found.recall == 0.5 and found.precision == pytest.approx(1 / 3)
    assert Found().recall is None and Found().precision is None


def test_classes_are_closed_lists() -> None:
    assert function_class("The") == "determiners" and function_class("and") == "conjunctions"
    assert function_class("on") == "prepositions" and function_class("is") == "auxiliaries"
    assert function_class("house") is None
    classes = word_classes([("My name Maria", "My name is Maria.")])
    assert classes["determiners"].recall == 1 and classes["auxiliaries"].recall == 0
    assert (classes["content words"].asked, classes["content words"].right) == (2, 2)
    assert set(classes) == {*FUNCTION_WORDS, "content words"}


def test_content_recall() -> None:
    assert content_recall(told("My house is Maria.")) == 0.5
    assert content_recall(sentence()) == 1


def test_a_right_caption_has_no_wrong_name() -> None:
    assert wrong_names(sentence()) == []


def spoken(*words: tuple[str, int, int, str]) -> tuple[FoundWord, ...]:
    return tuple(FoundWord(text, begin, end, 0.9, source) for text, begin, end, source in words)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (("Mario.", 1040, 1600, "fingerspelling"), "misread spelling"),
        (("Mario.", 200, 300, "fingerspelling"), "invented"),  # nothing was spelled then
        (("Monday.", 640, 800, "sign"), "misread sign"),
        (("Mario.", 1600, 1600, "language"), "invented"),
    ],
)
def test_a_wrong_name_is_misread_or_invented(word: tuple[str, int, int, str], kind: str) -> None:
    text = f"My name is {word[0]}"
    wrong = sentence(segments=(segment(text=text, words=spoken(("My", 640, 800, "sign"), word)),))
    assert [(one.name, one.kind) for one in wrong_names(wrong)] == [(word[0].strip("."), kind)]


@pytest.mark.parametrize(("spelled", "added"), [("Mariana", "Mar"), ("Maria", "Maria")])
def test_every_occurrence_of_a_name_answers_for_itself(spelled: str, added: str) -> None:
    words = spoken((spelled, 1040, 1600, "fingerspelling"), ("and", 1600, 1600, "language"),
                   (f"{added}.", 1600, 1600, "language"))  # fmt: skip
    said = sentence(segments=(segment(text=f"{spelled} and {added}.", words=words),),
                    truth=truth(f"{spelled} is here.", f"#{spelled.upper()}"))  # fmt: skip
    assert [(one.name, one.kind) for one in wrong_names(said)] == [(added, "invented")]


def test_a_name_said_once_too_often_is_wrong() -> None:
    assert [one.name for one in wrong_names(told("Maria and Maria are deaf."))] == ["Maria"]


def test_names_with_verification_off_and_on() -> None:
    held = segment(as_seen="My name is Mzria.", text="My name is Mary.", with_names="My name is Maria.")
    seen, verified, helped = name_ways([sentence(segments=(held,)), sentence(1)])
    assert (seen.recall, verified.recall, helped.recall) == (0.5, 0.5, 1.0)
    assert (seen.wrong, verified.wrong, helped.wrong) == (1, 1, 0)
    assert seen.asked == 2


def test_a_name_is_right_in_any_case() -> None:
    for caption in ("My name is maria.", "MY NAME IS MARIA.", "my name is mArIA."):
        assert caption_right(caption, "My name is Maria.")
    lower, upper = (name_ways([told(caption)])[1] for caption in ("My name is maria.", "My name is MARIA."))
    assert (lower.recall, lower.precision, lower.wrong) == (upper.recall, upper.precision, upper.wrong) == (1.0, 1.0, 0)
    assert wrong_names(told("My name is maria.")) == wrong_names(told("My name is MARIA.")) == []
    will = replace(told("He will come."), truth=truth("Will will come.", "#WILL", "COME"))
    assert name_ways([will])[1].recall == 0.0  # a word of its own is no name without its capital


def test_signed_names_are_no_spelled_ones() -> None:
    on_monday = replace(
        told("Maria comes on Monday."), truth=truth("Maria comes on Monday.", "#MARIA", "COME", "MONDAY")
    )
    assert [(way.asked, way.wrong, way.recall) for way in name_ways([on_monday])] == [(1, 0, 1.0)] * 3


def test_a_caption_begins_with_a_capital_whatever_ended_the_one_before() -> None:
    said = sentence(segments=(segment(text="My taste neck", words=()), segment(text="The house is black.", words=())))
    assert wrong_names(said) == []
