"""Words to phonemes: the dictionary, letters, digits, and words that no dictionary knows."""

import pytest

from models.pronunciation import phonemes_of, pronounce
from models.vocabulary import PHONEMES


@pytest.mark.parametrize(
    ("word", "phonemes"),
    [
        ("blue", "B L UW"),
        ("Please", "P L IY Z"),
        ("again", "AH G EH N"),
        ("don't", "D OW N T"),
        ("a", "AH"),
        ("I", "AY"),
        ("b", "B IY"),
        ("7", "S EH V AH N"),
        ("42", "F AO R T UW"),
        ("“soon,”", "S UW N"),
        ("it\u2019s", "IH T S"),
    ],
)
def test_known_words(word: str, phonemes: str) -> None:
    assert pronounce(word) == tuple(phonemes.split())


@pytest.mark.parametrize(
    ("word", "phonemes"),
    [("zorblike", "Z AO R B L AY K"), ("thwick", "TH W IH K"), ("grobtion", "G R AA B SH AH N"), ("plewk", "P L UW K")],
)
def test_unknown_words_are_read_by_their_spelling(word: str, phonemes: str) -> None:
    assert pronounce(word) == tuple(phonemes.split())


@pytest.mark.parametrize("word", ["xqzt", "mariiaa", "brrr", "signbind", "e2e", "yyy", "œuvre", "o'zzle"])
def test_any_word_gives_arpabet(word: str) -> None:
    assert pronounce(word)
    assert set(pronounce(word)) <= set(PHONEMES)


@pytest.mark.parametrize("word", ["", "...", "\u2019"])
def test_a_word_without_letters_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="letters or digits"):
        pronounce(word)


def test_a_sentence_is_its_words() -> None:
    assert phonemes_of("It\u2019s 'blue', again!") == ("IH", "T", "S", "B", "L", "UW", "AH", "G", "EH", "N")
    assert phonemes_of("' - ...") == ()
