"""What letters cost after each other, and what the search makes of it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.config import BeamConfig
from models.decoded import search
from models.hypothesis import StreamOptions
from models.letter_model import BEFORE, MOST_NATS, PLACES, costs, costs_with, default_costs
from models.segments import Segmenter
from models.slots import Slot
from models.vocabulary import LETTERS, SPELLED, Vocabulary

JOINT = Vocabulary(("HOUSE", *(SPELLED + letter for letter in LETTERS)))


def after(table: NDArray[np.float32], word: str, letter: str) -> float:
    """What `letter` is multiplied with behind `word`."""
    context = 0
    for one in word:
        context = (context * PLACES + 1 + LETTERS.index(one)) % PLACES**BEFORE
    return float(table[context, LETTERS.index(letter)])


def test_what_words_hold_costs_nothing_and_what_they_lack_costs() -> None:
    table = costs(["ANNA", "HANNA", "MAMA"], 1.0)
    assert table.shape == (PLACES**BEFORE, len(LETTERS))
    assert after(table, "AN", "N") == 1.0
    assert after(table, "MA", "N") < 1.0, "N is frequent, but not here"
    assert after(table, "AN", "M") < after(table, "M", "M") * 1.0001
    assert table.min() == pytest.approx(np.exp(-MOST_NATS)) and table.max() == 1.0


def test_only_three_letters_before_count() -> None:
    table = default_costs(1.0)
    assert after(table, "XQBROW", "N") == after(table, "BROW", "N") == after(table, "ROW", "N")


def test_digits_cost_nothing() -> None:
    table = default_costs(1.0)
    assert (table[:, PLACES - 1 :] == 1.0).all()
    costs(["MP3", "4X4"], 1.0)


def test_weight_is_a_power() -> None:
    np.testing.assert_allclose(default_costs(0.5) ** 2, default_costs(1.0), rtol=1e-5)


def spelled(word: str, doubtful: int, other: str, chance: float) -> NDArray[np.float64]:
    """Log posteriors of a word spelled with a blank before every letter, one of which may as well be another."""
    rows = np.full((2 * len(word), JOINT.size), 1e-6)
    rows[::2, 0] = 1.0
    for place, letter in enumerate(word):
        row = rows[2 * place + 1]
        row[JOINT.ids[SPELLED + letter]] = 1.0
        if place == doubtful:
            row[JOINT.ids[SPELLED + letter]], row[JOINT.ids[SPELLED + other]] = 1 - chance, chance
    shares: NDArray[np.float64] = rows / rows.sum(1, keepdims=True)
    return np.log(shares)


def read(log_probs: NDArray[np.float64], weight: float, expected: tuple[str, ...] = ()) -> str:
    beam = search(JOINT, BeamConfig(letter_weight=weight), expected)
    beam.advance(log_probs)
    return "".join(JOINT.decode(beam.best().tokens)).replace(SPELLED, "")


@pytest.mark.parametrize(("word", "place", "other"), [("WENDY", 2, "M"), ("BROWN", 4, "M"), ("MARIA", 1, "T")])
def test_letters_that_look_alike_are_told_apart_by_the_word(word: str, place: int, other: str) -> None:
    doubt = spelled(word, place, other, 0.6)
    assert read(doubt, 0.0) == word[:place] + other + word[place + 1 :]
    assert read(doubt, 1.0) == word


@pytest.mark.parametrize("word", ["XQZJV", "ASL", "TTTT", "B2B"])
def test_what_is_clearly_seen_stands_though_no_word_has_it(word: str) -> None:
    assert read(spelled(word, -1, "A", 0.0), 1.0) == word


def test_a_sessions_names_cost_nothing() -> None:
    plain, table = default_costs(1.0), costs_with(("Xqamv", "R2-D2"), 1.0)
    assert after(plain, "X", "Q") < 1.0 == after(table, "X", "Q")
    assert all(after(table, "XQAMV"[:place], "XQAMV"[place]) == 1.0 for place in range(5))
    assert after(table, "XQAMV", "B") == after(plain, "XQAMV", "B"), "what they do not hold costs what it did"
    assert after(default_costs(1.0), "X", "Q") == after(plain, "X", "Q"), "other sessions' costs stay"
    doubt = spelled("XQAMV", 1, "E", 0.4)
    assert read(doubt, 1.0) == "XEAMV"
    assert read(doubt, 1.0, ("Xqamv",)) == "XQAMV"
    assert read(spelled("XQAMV", 1, "E", 0.9999), 1.0, ("Xqamv",)) == "XEAMV", "what is clearly seen stands"


def test_a_sign_begins_a_word_anew() -> None:
    rows = np.full((4, JOINT.size), 1e-6)
    rows[0, JOINT.ids[SPELLED + "Q"]] = rows[1, JOINT.ids["HOUSE"]] = rows[2, 0] = 1.0
    rows[3, JOINT.ids[SPELLED + "B"]], rows[3, JOINT.ids[SPELLED + "X"]] = 0.45, 0.55
    assert read(np.log(rows / rows.sum(1, keepdims=True)), 1.0) == "QHOUSEB", "B begins words more often than X does"


def fleeting(word: str, chance: float) -> NDArray[np.float64]:
    """Log posteriors in which every letter is there with a chance, else nothing."""
    rows = np.full((2 * len(word), JOINT.size), 1e-6)
    rows[:, 0] = 1.0
    for place, letter in enumerate(word):
        rows[2 * place + 1, 0], rows[2 * place + 1, JOINT.ids[SPELLED + letter]] = 1 - chance, chance
    return np.log(rows / rows.sum(1, keepdims=True))


def test_a_letter_alone_has_to_be_clearer_than_one_of_a_word() -> None:
    assert read(fleeting("B", 0.9), 1.0) == ""
    assert read(fleeting("BOB", 0.9), 1.0) == "BOB"
    assert read(fleeting("B", 0.9999), 1.0) == "B"
    assert read(fleeting("B", 0.9), 1.0, ("Bob",)) == "", "a name that begins with it makes it no word"
    assert read(fleeting("B", 0.9), 1.0, ("Bob", "B")) == "B", "a session may say that it will be spelled alone"


def test_digits_may_stand_alone() -> None:
    assert read(fleeting("7", 0.9), 1.0) == "7"


@pytest.mark.parametrize(
    ("setting", "said"), [("letter_weight", "a factor of at least 0"), ("word_cost", "in nats and at least 0")]
)
def test_a_negative_cost_is_refused(setting: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} is {said}, but got -1"):
        BeamConfig(**{setting: -1})


def test_a_segment_knows_the_names_of_its_stream() -> None:
    slot = Slot(Segmenter(StreamOptions(vocabulary=("Xqamv",))))
    slot.begin(BeamConfig(), JOINT)
    assert slot.beam is not None and after(slot.beam.letters, "X", "Q") == 1.0
