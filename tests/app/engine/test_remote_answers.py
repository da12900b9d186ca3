"""What a server is asked and what its answers say, without one."""

from __future__ import annotations

from typing import Any

import pytest

from app.engine.remote_answers import UNKNOWN_LOG_PROB, body, known_words, pieces_of, with_lower_start
from models.hypothesis import Token
from models.lexemes import Lexemes
from models.prompts import Request

LEXEMES = Lexemes({"DOG": frozenset({"dog", "dogs"}), "FRIDAY": frozenset({"Friday"})}, frozenset({"Friday"}))
TOKENS = (
    Token("ME", "sign", 0, 400, 0.9),
    Token("NAME", "sign", 500, 900, 0.9),
    Token("MARIA", "fingerspelling", 1000, 1900, 0.9),
)


def test_a_chat_model_is_told_the_glosses_and_the_sentence_before() -> None:
    asked = body(Request(TOKENS, context=("Hello.", "Who are you?")), "chat", "some", LEXEMES)
    assert asked["messages"][1]["content"] == "The sentence before it: Who are you?\nGlosses: me name <fs1>"
    assert (asked["model"], asked["temperature"], asked["logprobs"]) == ("some", 0, True)
    other = body(Request(TOKENS[:1]), "chat", "some", LEXEMES)
    assert other["messages"][0] == asked["messages"][0], "one beginning for all, for the server's prefix cache"
    assert other["max_tokens"] < asked["max_tokens"]


def test_a_model_of_our_own_gets_the_prompt_that_it_was_trained_with() -> None:
    asked = body(Request(TOKENS, context=("Who are you?",)), "completions", "ours", LEXEMES)
    assert asked["prompt"] == "<context> who are you? <gloss> me name <fs1> <english>"
    assert asked["skip_special_tokens"] is False


def chat(text: object, logprobs: list[tuple[str, float]] | None = None) -> dict[str, Any]:
    content = [{"token": token, "logprob": log_prob} for token, log_prob in logprobs or []]
    return {"choices": [{"message": {"content": text}, "logprobs": {"content": content} if logprobs else None}]}


def test_pieces_come_with_their_log_probabilities() -> None:
    given = [("my", -0.1), (" name", -0.2), (" is", -0.3), (" <fs", -0.4), ("1>.", -0.5)]
    assert pieces_of(chat("my name is <fs1>.", given), "chat") == given
    completion = {
        "text": " hi.</s>",
        "logprobs": {"tokens": [" hi", ".", "</s>"], "token_logprobs": [-0.1, None, -3.0]},
    }
    assert pieces_of({"choices": [completion]}, "completions") == [(" hi", -0.1), (".", 0.0), ("", -3.0)]


def test_without_log_probabilities_no_word_is_certain() -> None:
    assert pieces_of(chat("thank you."), "chat") == [("thank ", UNKNOWN_LOG_PROB), ("you. ", UNKNOWN_LOG_PROB)]


def test_pieces_that_are_not_the_texts_lend_it_their_mean() -> None:
    given = [("th\\xe4nk", -0.2), ("x", -0.4)]
    pieces = pieces_of(chat("thank you.", given), "chat")
    assert [piece for piece, _ in pieces] == ["thank ", "you. "]
    assert [log_prob for _, log_prob in pieces] == pytest.approx([-0.3, -0.3])


@pytest.mark.parametrize("breaks", [[("\n", -0.1), ("hi", -0.2), (" you.\nHere", -0.3), (" is more", -0.4)], None])
def test_only_the_first_line_counts(breaks: list[tuple[str, float]] | None) -> None:
    text = "\nhi you.\nHere is more"
    assert "".join(piece for piece, _ in pieces_of(chat(text, breaks), "chat")).split() == ["hi", "you."]


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"choices": []}, {"choices": [None]}, chat(None), chat(7), {"error": "x"}]
)
def test_what_is_no_answer_is_said_to_be_none(answer: object) -> None:
    with pytest.raises(ValueError, match="no answer of chat/completions"):
        pieces_of(answer, "chat")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("My dog.", "my dog."),
        ("Dogs sleep. Where?", "dogs sleep. where?"),
        (" Zorro sleeps.", " Zorro sleeps."),
        ("Friday is here.", "Friday is here."),
        ("I'm here.", "I'm here."),
        ("<fs1> sleeps.", "<fs1> sleeps."),
    ],
)
def test_a_first_word_that_is_no_known_word_stays_a_name(said: str, meant: str) -> None:
    pieces = [(said[:2], -0.1), (said[2:5], -0.2), (said[5:], -0.3)]
    lowered = with_lower_start(pieces, LEXEMES.proper, known_words(LEXEMES))
    assert "".join(piece for piece, _ in lowered) == meant
    assert [log_prob for _, log_prob in lowered] == [-0.1, -0.2, -0.3]
