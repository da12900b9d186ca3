"""The wide head learns what an edit is from a gloss and its neighbours, and hears of nothing that a gloss never was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.edits import Edit, EditVocabulary
from models.training.edit_labels import vocabulary_of
from models.training.wide_labels import train_wide
from models.wide_head import BITS, FEATURES, FLOOR, WideHead, cells, features, hashed

SAID, LEFT_OUT = Edit(), Edit(whole="")
THE, PLURAL = Edit(("the",)), Edit(form="s")
WORDS = ("VOTE", "REPORT", "TOWN", "RULE", "LAW")
ROWS = [
    *(([("SEE"), word], [SAID, THE, LEFT_OUT]) for word in WORDS),
    *((["MANY", word], [SAID, PLURAL, LEFT_OUT]) for word in WORDS),
] * 6


@pytest.fixture(scope="module")
def vocabulary() -> EditVocabulary:
    return vocabulary_of(ROWS, 100, {})


@pytest.fixture(scope="module")
def head(vocabulary: EditVocabulary) -> WideHead:
    return train_wide(ROWS, vocabulary)


def said(head: WideHead, vocabulary: EditVocabulary, glosses: list[str]) -> list[Edit]:
    names, ends = (np.lib.stride_tricks.sliding_window_view(one, 5) for one in hashed(glosses))
    found: list[int] = []
    for place, gloss in enumerate(vocabulary.gloss_ids(glosses)):
        before = np.array([[*(one + 1 for one in found[::-1][:2]), 0, 0][:2]], np.uint32)
        own = features(names[place : place + 1], ends[place : place + 1], before)
        found.append(int(head.log_probs(own, np.array([gloss - vocabulary.first]))[0].argmax()))
    return [vocabulary.labels[one] for one in found]


def test_neighbours_tell_what_a_gloss_becomes(head: WideHead, vocabulary: EditVocabulary) -> None:
    for glosses, edits in ROWS[:10]:
        assert said(head, vocabulary, list(glosses)) == edits


def test_a_gloss_never_met_goes_by_its_neighbours(head: WideHead, vocabulary: EditVocabulary) -> None:
    assert said(head, vocabulary, ["MANY", "TREE"]) == [SAID, PLURAL, LEFT_OUT]
    assert said(head, vocabulary, ["SEE", "TREE"]) == [SAID, THE, LEFT_OUT]


def test_a_gloss_may_have_any_number_of_edits() -> None:
    rows = [(["SEE"], [Edit((f"w{number}",)), LEFT_OUT]) for number in range(2100)] * 2
    many = vocabulary_of(rows, 100, {})
    may = train_wide(rows, many, epochs=1).may
    assert may.sum(1).max() == len(many.labels) == 2101


def test_probabilities_are_of_the_edits_that_a_gloss_may_have(head: WideHead) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**32, (4, FEATURES), np.uint32)
    head = WideHead(head.table, np.eye(4, 6, dtype=bool) | (np.arange(6) == 5))
    found = head.log_probs(hashes, np.arange(4))
    assert np.exp(found[head.may].reshape(4, 2)).sum(1) == pytest.approx(1.0, abs=1e-5)
    assert (found[~head.may] == FLOOR).all()


def test_cells_lie_in_the_table_and_spread() -> None:
    rng = np.random.default_rng(0)
    found = cells(rng.integers(0, 2**32, (300, FEATURES, 1), np.uint32), np.arange(50, dtype=np.uint32))
    assert found.min() >= 0
    assert found.max() < 2**BITS
    assert len(np.unique(found)) > 0.9 * found.size


def test_the_head_comes_back_from_its_file(head: WideHead, tmp_path: Path) -> None:
    head.save(tmp_path / "wide.npz")
    found = WideHead.load(tmp_path / "wide.npz")
    np.testing.assert_allclose(found.table, head.table, atol=2e-3)
    assert (found.may == head.may).all()
