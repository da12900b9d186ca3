"""Ids start at 1, unknown tokens name the nearest, the joint vocabulary appends spelled letters."""

from pathlib import Path

import pytest

from models.vocabulary import BLANK, LETTERS, PHONEMES, ROUTES, Vocabulary, joint

GLOSSES = Vocabulary(("BOOK", "WANT", "HOUSE"))


def test_ids_and_size() -> None:
    assert GLOSSES.ids == {"BOOK": 1, "WANT": 2, "HOUSE": 3}
    assert GLOSSES.size == 4
    assert GLOSSES.encode(["HOUSE", "BOOK"]) == [3, 1]
    assert GLOSSES.decode([3, BLANK, 1]) == ["HOUSE", "BOOK"]


def test_fixed_alphabets() -> None:
    assert (len(LETTERS), LETTERS[0], LETTERS[25], LETTERS[26], LETTERS[-1]) == (36, "A", "Z", "0", "9")
    assert len(set(PHONEMES)) == 39
    assert ROUTES == ("sign", "fingerspelling", "rest")


def test_joint() -> None:
    both = joint(GLOSSES)
    assert both == joint(["BOOK", "WANT", "HOUSE"])
    assert both.size == 4 + 36
    assert both.encode(["WANT", "#A", "#9"]) == [2, 4, 39]


def test_unknown_tokens_and_ids() -> None:
    with pytest.raises(ValueError, match="got 'HOSE': did you mean 'HOUSE'"):
        GLOSSES.encode(["HOSE"])
    with pytest.raises(ValueError, match=r"expected an id in 0\.\.3, but got 4"):
        GLOSSES.decode([4])
    with pytest.raises(ValueError, match="the vocabulary is empty"):
        Vocabulary(()).encode(["A"])


def test_tokens_are_words_and_unique() -> None:
    with pytest.raises(ValueError, match="'BOOK' stands twice"):
        Vocabulary(("BOOK", "BOOK"))
    with pytest.raises(ValueError, match="without blanks around it"):
        Vocabulary(("BOOK ",))


def test_there_and_back_through_a_file(tmp_path: Path) -> None:
    GLOSSES.write(tmp_path / "glosses.txt")
    assert Vocabulary.read(tmp_path / "glosses.txt") == GLOSSES
    with pytest.raises(ValueError, match="there is no such file"):
        Vocabulary.read(tmp_path / "none.txt")
