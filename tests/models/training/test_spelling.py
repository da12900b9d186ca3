"""Words spelled by photographs of real hands: order, places, and letters that move."""

import numpy as np
import pytest

from models.layout import HAND, MANUAL, MOUTH
from models.training.feature_clips import FeatureClip
from models.training.spelling_stage import TAKES, Bank, Speller
from models.vocabulary import ROUTES


@pytest.fixture
def speller() -> Speller:
    rng = np.random.default_rng(0)
    letters = {letter: rng.normal(size=(20, TAKES, HAND)).astype(np.float32) for letter in "ABIJZ"}
    routes = np.array([2] * 10 + [1] * 20 + [2] * 10, np.int8)
    manual = np.zeros((40, MANUAL), np.float32)
    manual[:, 2 * HAND] = 1
    around = FeatureClip(manual, np.zeros((40, MOUTH), np.float32), routes, ("",) * 40, (), ())
    return Speller(Bank(letters), [around], rng)


def test_a_word_is_shown_letter_by_letter(speller: Speller) -> None:
    clip = speller.spell("ABBA")
    assert clip is not None
    assert clip.tokens == ("#A", "#B", "#B", "#A")
    shown = [s for i, s in enumerate(clip.symbols) if s not in ("", "?") and s != clip.symbols[i - 1]]
    assert shown in (["#A", "#B", "#A"], ["#A", "#B", "#B", "#A"])
    assert (clip.routes[[s.startswith("#") for s in clip.symbols]] == ROUTES.index("fingerspelling")).all()


def test_a_word_with_a_letter_that_the_source_lacks_is_left_out(speller: Speller) -> None:
    assert speller.spell("AXE") is None


def test_moving_letters_last_longer_and_draw_their_path(speller: Speller) -> None:
    still, moving = speller._move("A", 12), speller._move("Z", 12)
    assert (still == 0).all()
    assert np.ptp(moving, axis=0).min() > 0.05
    for _ in range(10):
        clip = speller.spell("Z")
        assert clip is not None and clip.symbols.count("#Z") >= 7


def test_a_letter_drawn_in_the_air_looks_like_its_neighbours_for_moments(speller: Speller) -> None:
    assert speller.alike["Z"] and "Z" not in speller.alike["Z"]
    held = np.zeros((10, HAND), np.float32)
    speller._take_for_another("Z", held, 0.5)
    taken = int((held != 0).any(axis=1).sum())
    assert 1 <= taken <= 8


def test_real_spelling_needs_drawn_surroundings() -> None:
    with pytest.raises(ValueError, match="signbind train features"):
        Speller(Bank({}), [], np.random.default_rng(0))
