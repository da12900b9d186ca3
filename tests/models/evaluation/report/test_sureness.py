"""Confidence of captions and words."""

import pytest

from models.evaluation.report.sureness import of_captions, of_words, sureness
from tests.models.evaluation.report.held import segment, sentence


def test_a_perfect_confidence() -> None:
    sure = sureness([0.0] * 20 + [1.0] * 80, [0] * 20 + [1] * 80)
    assert sure is not None
    assert sure.ece == 0 and sure.auroc == 1 and sure.error == pytest.approx(0.2) and sure.error_at_80 == 0
    assert len(sure.reliability) == 15 and sum(count for _, _, count in sure.reliability) == 100


def test_a_confidence_that_says_nothing() -> None:
    sure = sureness([0.8] * 10, [1, 0] * 5)
    assert sure is not None and sure.auroc == 0.5
    # ten bins of one, each 0.2 or 0.8 off: few captions overstate the error
    assert sure.ece == pytest.approx(0.5)


def test_without_both_kinds_nothing_can_be_told_apart() -> None:
    sure = sureness([0.5, 0.6], [1, 1])
    assert sure is not None and sure.auroc is None
    assert sureness([], []) is None


def test_captions_are_those_that_were_said() -> None:
    wrong = sentence(1, segments=(segment(text="My name is Paul.", confidence=0.4),))
    sure = of_captions([sentence(), wrong, sentence(2, segments=())])
    assert sure is not None and (sure.count, sure.right, sure.auroc) == (2, 0.5, 1.0)
    assert of_captions([sentence(segments=())]) is None


def test_words_are_right_at_their_place() -> None:
    words = (*segment().words[:3], segment().words[3]._replace(text="Paul.", confidence=0.2))
    sure = of_words([sentence(segments=(segment(words=words),))])
    assert sure is not None and (sure.count, sure.right, sure.auroc) == (4, 0.75, 1.0)
