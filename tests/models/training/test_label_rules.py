"""The rule labeller: what becomes a sign, what is fingerspelled, what is left out, what is moved."""

from __future__ import annotations

import pytest

from models.training.label_rules import base, glosses


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("My name is Maria.", "MY NAME #MARIA"),
        ("I'm Dr. Joe Neely.", "ME DOCTOR #JOE #NEELY"),
        ("Maria, come here!", "#MARIA COME HERE"),
        ("I was born on May 5th, 1985 in the U.S.A.", "ME BORN ON #MAY FIVE 1985 IN #USA"),
        ("Well, we use DVDs, and my TV is broken.", "WE USE #DVD MY #TV BREAK"),
        ("You don't want to pick it up.", "YOU NOT WANT PICK IT UP"),
        ("I can't find it.", "ME CANNOT FIND IT"),
        ("What are you going to do tomorrow?", "TOMORROW WHAT YOU WILL DO"),
        ("We're going to the store.", "WE GO STORE"),
        ("She has two brothers, but they have never met.", "SHE HAVE TWO BROTHER BUT THEY NEVER MEET"),
        ("You have to make sure that your children are looking for it.", "YOU MUST MAKE SURE YOUR CHILD LOOK-FOR IT"),
        ("The man who lives here does not like it.", "MAN LIVE HERE NOT LIKE IT"),
        ("Do that again.", "DO THAT AGAIN"),
        ("There's a cat, and there are 3 dogs in John's house.", "HAVE CAT HAVE THREE DOG IN #JOHN HOUSE"),
        ("I left my keys on the left.", "ME LEAVE MY KEY ON LEFT"),
        ("We live in California, and she speaks Spanish.", "WE LIVE IN CALIFORNIA SHE SPEAK SPANISH"),
        ("How To Tie A Tie In Five Easy Steps", "HOW TIE TIE IN FIVE EASY STEP"),
        ("Iâm slowly writing it.", "ME SLOW WRITE IT"),
        (
            "Please STOP, Half of it is at the Martial Arts Studio in Utah.",
            "PLEASE STOP HALF #MARTIAL #ARTS #STUDIO IN #UTAH",
        ),
        ("The.", ""),
    ],
)
def test_english_becomes_glosses(english: str, expected: str) -> None:
    assert " ".join(glosses(english)) == expected


def test_times_come_first_and_questions_stay() -> None:
    english = "Where will you go next week?"
    assert glosses(english) == ("NEXT-WEEK", "WHERE", "WILL", "YOU", "GO")
    assert glosses("I know where you live.") == ("ME", "KNOW", "WHERE", "YOU", "LIVE")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("cutting", "cut"), ("writing", "write"), ("buying", "buy"), ("string", "string"), ("feet", "foot"),
     ("primarily", "primary"), ("basically", "basic"), ("possibly", "possible"), ("family", "family")],
)  # fmt: skip
def test_base_forms(word: str, expected: str) -> None:
    assert base(word) == expected
