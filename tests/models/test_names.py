"""Spelled words: corrected only by what they clearly meant, shown as seen otherwise, never another name."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.hypothesis import Token
from models.names import (
    UNCLEAR,
    NameList,
    default_confusion,
    doubted,
    joined,
    log_likelihood,
    show,
    spelling,
    verified,
    verify,
)

NAMES = NameList({"MARIA": "Maria", "MARCO": "Marco", "ANNA": "Anna", "EMMA": "Emma"}, frozenset({"TABLE"}))


def test_clear_letters_stay_whatever_the_lists_say() -> None:
    seen = verify("MARLA", [0.95] * 5, (), NAMES)
    assert (seen.text, seen.corrected, seen.listed) == ("Marla", False, False)
    assert seen.confidence > 0.5
    assert verify("MARLA", [0.95] * 5, ("Maria",), NAMES).text == "Marla"


def test_a_confused_handshape_is_mended_by_the_sessions_vocabulary() -> None:
    seen = verify("NARIA", [0.55, 0.9, 0.9, 0.9, 0.9], ("Maria", "Oxford"), NAMES)
    assert (seen.text, seen.corrected) == ("Maria", True)
    assert 0.6 < seen.confidence < 1


def test_a_word_of_the_vocabulary_keeps_its_case() -> None:
    assert verify("MCGRAW", [0.9] * 6, ("McGraw",), NAMES).text == "McGraw"
    assert verify("OBRIEN", [0.9] * 6, ("O'Brien",), NAMES).text == "O'Brien"


def test_the_name_list_needs_more_evidence_than_the_vocabulary() -> None:
    letters, posteriors = "NARIA", [0.97] * 5
    assert verify(letters, posteriors, ("Maria",), NameList()).corrected
    assert not verify(letters, posteriors, (), NAMES).corrected


def test_two_names_as_near_as_each_other_win_nothing() -> None:
    twins = NameList({"MARIA": "Maria", "NARIA": "Naria"})
    seen = verify("SARIA", [0.4, 0.9, 0.9, 0.9, 0.9], (), twins)
    assert (seen.text, seen.corrected) in {("SARIA", False), ("Saria", False)}


def test_low_confidence_shows_the_letters_as_seen() -> None:
    seen = verify("QXVB", [0.3] * 4, ("Maria",), NAMES)
    assert (seen.text, seen.corrected) == ("QXVB", False)
    assert seen.confidence < 0.5


def test_a_double_letter_seen_once_is_the_same_name() -> None:
    assert verify("ANA", [0.9] * 3, ("Anna",), NameList()).text == "Anna"
    double = log_likelihood("EMA", [0.9] * 3, "EMMA")
    assert double > log_likelihood("EMA", [0.9] * 3, "EMTA")


def test_common_words_are_shown_small_and_corrected_to_on_stronger_evidence_than_a_name() -> None:
    assert verify("TABLE", [0.9] * 5, (), NAMES).text == "table"
    twins = NameList({"TABLA": "Tabla"}), NameList({}, frozenset({"TABLA"}))
    name, common = (verify("TABLE", [0.97] * 5, (), names) for names in twins)
    assert (name.corrected, common.corrected) == (False, False)
    name, common = (verify("TABLE", [0.9, 0.9, 0.9, 0.9, 0.7], (), names) for names in twins)
    assert (name.text, common.text) == ("Tabla", "Table")
    name, common = (verify("TABLE", [0.9, 0.9, 0.9, 0.9, 0.2], (), names) for names in twins)
    assert (name.text, common.text) == ("Tabla", "tabla")


def test_a_long_name_is_known_by_its_first_nine_letters() -> None:
    long = NameList({"JACQUELINE": "Jacqueline"})
    assert verify("JACQUELIN", [0.9] * 9, (), long).text == "Jacqueline"
    assert verify("JACOUELIN", [0.9] * 9, (), long).text == "Jacqueline"


def test_a_word_cut_in_two_is_joined_when_only_the_whole_is_listed() -> None:
    def word(text: str, start_ms: int) -> Token:
        return Token(text, "fingerspelling", start_ms, start_ms + 400, 0.9, (0.9,) * len(text))

    me = Token("ME", "sign", 0, 400, 0.9)
    [same, name] = joined([me, word("MAR", 500), word("IA", 2000)], (), NAMES)
    assert same == me
    assert (name.text, name.start_ms, name.end_ms, len(name.letters)) == ("MARIA", 500, 2400, 5)
    apart = (word("ANNA", 0), word("MARIA", 2000))
    assert joined(apart, (), NAMES) == apart
    assert len(joined([word("MAR", 0), me, word("IA", 2000)], (), NAMES)) == 3
    assert len(joined([word("XQ", 0), word("ZV", 900)], (), NAMES)) == 2


def test_numbers_and_empty_words_pass() -> None:
    assert verify("1998", [0.9] * 4, ("Maria",), NAMES).text == "1998"
    assert verify("", [], ("Maria",), NAMES).confidence == 0.0


def test_one_posterior_a_letter_is_needed() -> None:
    with pytest.raises(ValueError, match="one posterior a letter"):
        verify("ANNA", [0.9], (), NAMES)


def test_a_token_without_letter_posteriors_has_its_mean() -> None:
    token = Token("MARIA", "fingerspelling", 0, 900, 0.9)
    assert verified(token).text == show(token, ()) == "Maria"


def test_the_confusion_is_a_distribution() -> None:
    table = default_confusion()
    assert all(sum(row.values()) == pytest.approx(1) for row in table.values())
    assert table["M"]["N"] > 10 * table["M"]["B"] > 0


def test_a_name_list_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("# people\nO'Brien  # a family\n\ntable\n")
    assert NameList.read(path) == NameList({"OBRIEN": "O'Brien"}, frozenset({"TABLE"}))
    assert spelling("Jean-Luc 2") == "JEANLUC2"


def spelled(*words: str) -> tuple[Token, ...]:
    return tuple(
        Token(word, "fingerspelling", 1000 * place, 1000 * place + 400, 0.97, (0.97,) * len(word))
        for place, word in enumerate(words)
    )


def texts(tokens: tuple[Token, ...], vocabulary: tuple[str, ...] = ()) -> list[str]:
    return [show(token, vocabulary) for token in tokens]


def test_a_single_letter_is_not_believed_as_a_name() -> None:
    tokens = spelled("N", "MARIA", "5")
    assert texts(doubted(tokens)) == [UNCLEAR, "Maria", "5"]
    assert doubted(tokens)[0].start_ms == tokens[0].start_ms
    assert verified(doubted(tokens)[0]).confidence < 0.05
    assert texts(doubted(spelled("HH", "MARIA"))) == [UNCLEAR, "Maria"], "nor one seen twice in a row"


def test_a_segment_of_nothing_but_single_letters_has_said_nothing() -> None:
    assert doubted(spelled("N")) == doubted(spelled("SJ", "HH")) == ()
    assert texts(doubted(spelled("N"), running=True)) == ["N"], "it may still become a word"
    assert texts(doubted(spelled("OK"))) == ["OK"]


def test_two_letters_are_a_word_where_a_list_or_the_session_has_them() -> None:
    assert texts(doubted(spelled("SJ", "TV", "UP", "42"))) == [UNCLEAR, "TV", "up", "42"]
    assert texts(doubted(spelled("SJ"), ("SJ",)), ("SJ",)) == ["SJ"]
    assert texts(doubted(spelled("SJO"))) == ["Sjo"], "three are a name that nobody listed"


def test_the_vocabulary_may_hold_a_single_letter() -> None:
    assert texts(doubted(spelled("N"), ("N",)), ("N",)) == ["N"]


def test_the_last_word_of_a_running_segment_may_still_grow() -> None:
    assert texts(doubted(spelled("M", "N"), running=True)) == [UNCLEAR, "N"]


def test_letters_of_a_hand_that_spells_on_and_on_stand_as_they_were_seen() -> None:
    letters = "AB" * 250  # so improbable that its probability is 0 to a float
    seen = verify(letters, (0.03,) * len(letters))
    assert seen.text == letters and not seen.listed
