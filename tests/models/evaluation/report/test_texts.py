"""Text scores against sacreBLEU's own and against counting by hand."""

import numpy as np
import pytest

from models.evaluation.report.texts import longest_common, ratio, resampled, rouge_l, sentence_chrf, text_scores

TRUTH = ["the cat is on the mat today", "I want to eat an apple now"]


def test_a_perfect_corpus_scores_all() -> None:
    scores = {score.name: score for score in text_scores(TRUTH, TRUTH, resamples=20)}
    assert [scores[f"BLEU-{order}"].score for order in range(1, 5)] == pytest.approx([100] * 4)
    assert scores["chrF"].score == scores["ROUGE-L"].score == pytest.approx(100)
    assert scores["TER"].score == 0
    assert all(score.spread == pytest.approx(0) for score in scores.values())


def test_bleu_by_hand_and_its_signature() -> None:
    found = ["the cat sat on the mat today", TRUTH[1]]
    scores = {score.name: score for score in text_scores(found, TRUTH, resamples=50)}
    assert scores["BLEU-1"].score == pytest.approx(100 * 13 / 14)
    assert scores["BLEU-2"].score == pytest.approx(100 * (13 / 14 * 10 / 12) ** 0.5)
    assert "nrefs:1" in scores["BLEU-4"].signature and "version:" in scores["BLEU-4"].signature
    assert scores["BLEU-1"].spread > 0


def test_faultless_and_empty_resamples_have_scores() -> None:
    scores = text_scores(["", TRUTH[0], "a b c"], [TRUTH[1], TRUTH[0], "x y z"], resamples=200)
    assert all(0 <= score.spread <= 100 for score in scores)
    assert all(score.spread > 0 for score in scores)


def test_one_sentence_has_scores_too() -> None:
    assert text_scores(TRUTH[:1], TRUTH[:1], resamples=5)[3].score == pytest.approx(100)


@pytest.mark.parametrize(
    ("found", "truth", "score"),
    [
        ("police kill the gunman", "Police killed the gunman.", 0.75),  # Lin 2004, section 3.1: LCS "police the gunman"
        ("the gunman kill police", "police killed the gunman", 0.5),
        ("", "police", 0.0),
        ("", "", 1.0),
    ],
)
def test_rouge_l(found: str, truth: str, score: float) -> None:
    assert rouge_l(found, truth) == pytest.approx(score)


def test_longest_common_subsequence() -> None:
    assert longest_common("ABCBDAB", "BDCABA") == 4  # Cormen et al., 15.4
    assert longest_common("", "A") == 0


def test_chrf_of_one_sentence() -> None:
    assert sentence_chrf("Hello.", "Hello.") == pytest.approx(100)
    assert sentence_chrf("xyz", "Hello") == 0


def test_an_interval_holds_the_figure_and_narrows_with_more() -> None:
    few, many = (np.array([[1.0, 2.0], [0.0, 2.0]] * count) for count in (5, 500))
    one, other = resampled(few), resampled(many)
    assert one.value == other.value == 0.25
    assert one.low < 0.25 < one.high and other.high - other.low < one.high - one.low
    assert ratio(np.zeros(2)) == 0 and resampled(np.zeros((0, 2))).value == 0
