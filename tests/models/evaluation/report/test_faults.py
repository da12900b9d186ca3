"""Every failure signature on a sentence that shows it, and on one that does not."""

from dataclasses import replace
from typing import Any

import pytest

from models.evaluation.report.edits import letter_accuracy
from models.evaluation.report.faults import signatures
from models.evaluation.report.records import FoundToken, Sentence
from tests.models.evaluation.report.held import segment, sentence, told

REST = "r" * 53
TOKENS = segment().tokens


def shown_by(one: Sentence) -> dict[str, str]:
    """Names of the signatures that a sentence shows, beside a right one; with the evidence."""
    return {
        signature.name: signature.cases[-1].evidence for signature in signatures([sentence(0), one]) if signature.count
    }


def test_a_right_sentence_shows_none() -> None:
    assert shown_by(sentence(1)) == {}


def misread(letters: str) -> tuple[FoundToken, ...]:
    return (*TOKENS[:2], FoundToken(letters, "fingerspelling", 1040, 1600, 0.4))


def routed(routes: str) -> dict[str, Any]:
    return {"routes": routes}


@pytest.mark.parametrize(
    ("one", "names"),
    [
        (sentence(1, segments=(segment(tokens=misread("XQ")),)), {"letters bad but sentence good"}),
        (told("My name is late.", 1), {"sure but wrong", "language spoils what was read", "fluent but wrong"}),
        (sentence(1, segments=(segment(text="My name was Maria.", confidence=0.3, log_prob=-2.0),)),
         {"language spoils what was read"}),
        (sentence(1, routes="s" * 26 + "f" * 15 + "r" * 12), {"rest mistaken"}),
        (sentence(1, routes="r" * 22 + "s" * 4 + "f" * 15 + "r" * 12), {"signing taken for rest"}),
        (sentence(1, routes="r" * 16 + "s" * 20 + "f" * 5 + "r" * 12), {"spelling taken for signs"}),
        (sentence(1, segments=(segment(text="My name is"), segment(text="Maria.")), routes=sentence().routes),
         {"sentence cut in two"}),
        (sentence(1, segments=()), {"nothing said"}),
    ],
)  # fmt: skip
def test_a_signature_is_found_by_name(one: Sentence, names: set[str]) -> None:
    assert set(shown_by(one)) >= names
    assert "sentence cut in two" in names or set(shown_by(one)) == names


def test_a_wrong_name_is_told_with_its_kind() -> None:
    words = (*segment().words[:3], segment().words[3]._replace(text="Mario."))
    wrong = sentence(
        1, segments=(segment(text="My name is Mario.", words=words, confidence=0.1, tokens=misread("MARIO")),)
    )
    assert shown_by(wrong)["name misread"] == "Mario"
    invented = replace(wrong, segments=(replace(wrong.segments[0], words=(words[3]._replace(source="language"),)),))
    assert shown_by(invented)["invented name"] == "Mario"
    signed = replace(wrong, segments=(replace(wrong.segments[0], words=(words[3]._replace(source="sign"),)),))
    assert shown_by(signed)["sign read as another name"] == "Mario"


def test_all_are_counted_and_few_are_shown() -> None:
    found = {one.name: one for one in signatures([sentence(number, segments=()) for number in range(20)])}
    assert found["nothing said"].count == 20 and found["nothing said"].share == 1
    assert len(found["nothing said"].cases) == 12


def test_letters_without_any_spelled_word_have_no_accuracy() -> None:
    assert letter_accuracy(sentence()) == 1
    assert letter_accuracy(sentence(truth=replace(sentence().truth, letters=()))) is None


def test_what_is_fluent_is_not_measurable_without_a_right_caption() -> None:
    fluent = next(one for one in signatures([told("My house is late.")]) if one.name == "fluent but wrong")
    assert fluent.count == 0 and fluent.rule.startswith("not measurable")
