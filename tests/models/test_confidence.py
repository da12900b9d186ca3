"""The calibrator finds what decides, says probabilities, and survives a trip to disk."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.confidence import (
    Calibrator,
    auroc,
    bent,
    caption_features,
    expected_calibration_error,
    fit,
    fit_bend,
    risk_coverage,
    word_features,
)
from models.hypothesis import Hypothesis, Token
from models.prompts import Refined, RefinedWord
from models.training.confidence_stage import train

TOKENS = (Token("ME", "sign", 0, 400, 0.9), Token("MARIA", "fingerspelling", 400, 900, 0.6))
HYPOTHESIS = Hypothesis(TOKENS, 2, 0, 900, 0.7, (0.5, 0.5, 0.0), 0.8, 0.4, 1.0)
WORDS = (
    RefinedWord("I", -0.1, "sign", 0, 0, 400),
    RefinedWord("am", -0.2, "language", None, 400, 400),
    RefinedWord("Maria.", 0.0, "fingerspelling", 1, 400, 900),
)
REFINED = Refined("I am Maria.", WORDS, 0.9)


def test_features_are_finite_and_say_what_the_token_says() -> None:
    name = word_features(HYPOTHESIS, REFINED, WORDS[2], {1: 0.4})
    assert (name.posterior, name.spelled, name.from_spelling) == (0.6, 0.4, 1.0)
    language = word_features(HYPOTHESIS, REFINED, WORDS[1], {1: 0.4})
    assert language.posterior == pytest.approx(0.75)
    assert language.spelled == 1.0
    whole = caption_features(HYPOTHESIS, None, {1: 0.4})
    assert (whole.unsigned, whole.spelled_least, whole.token_least) == (0.0, 0.4, 0.6)
    assert whole.alone == 0.0
    assert caption_features(replace(HYPOTHESIS, tokens=TOKENS[:1]), None, {}).alone == 1.0
    assert caption_features(replace(HYPOTHESIS, unread_ms=1200), None, {}).unread_s == 1.2
    assert whole.margin == 0.4
    assert whole.route_entropy == pytest.approx(np.log(2))


def test_the_fit_recovers_a_known_probability() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=4000)
    truth = 1 / (1 + np.exp(-(2 * inputs - 1)))
    right = (rng.random(4000) < truth).astype(int).tolist()
    model = fit([{"x": float(x), "noise": float(rng.normal())} for x in inputs], right)
    said = [model.probability({"x": float(x), "noise": 0.0}) for x in inputs]
    assert np.abs(np.array(said) - truth).mean() < 0.03
    assert expected_calibration_error(said, right) < 0.03
    assert auroc(said, right) > 0.8


def test_separable_rows_do_not_run_away() -> None:
    model = fit([{"x": 0.0}, {"x": 1.0}, {"x": 0.1}, {"x": 0.9}], [0, 1, 0, 1])
    assert 0.5 < model.probability({"x": 1.0}) < 1
    assert model.probability({"x": 1e9}) <= 1


def test_rows_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="right and wrong ones"):
        fit([{"x": 0.0}, {"x": 1.0}], [1, 1])


def test_a_missing_feature_is_named() -> None:
    model = fit([{"x": 0.0}, {"x": 1.0}], [0, 1])
    with pytest.raises(ValueError, match="expected the feature 'x'"):
        model.probability({"y": 1.0})


def test_the_figures_of_known_cases() -> None:
    assert auroc([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]) == 1.0
    assert auroc([0.5, 0.5], [1, 0]) == 0.5
    assert auroc([0.5], [1]) == 0.5
    assert expected_calibration_error([0.5] * 10, [1, 0] * 5, bins=1) == pytest.approx(0.0)
    assert expected_calibration_error([1.0] * 4, [0] * 4) == pytest.approx(1.0)
    assert expected_calibration_error([], []) == 0.0
    assert risk_coverage([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], points=2) == [(0.5, 0.0), (1.0, 0.5)]


def test_the_stage_writes_a_calibrator_that_reads_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = []
    for _ in range(200):
        sure = float(rng.random())
        right = int(rng.random() < sure)
        caption = {"posterior": sure, "margin": 0.0}
        lines.append(
            json.dumps({"caption": caption, "right": right, "words": [{"features": caption, "right": right}] * 2})
        )
    (tmp_path / "confidence.jsonl").write_text("\n".join(lines))
    figures = train(tmp_path, tmp_path)
    assert figures["caption_auroc"] > 0.7
    assert figures["word_ece"] < 0.2
    read = Calibrator.load(tmp_path / "confidence.json")
    assert read.caption.probability({"posterior": 0.95, "margin": 0.0}) > 0.7
    assert read.measured == figures


def test_what_is_no_calibrator_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{}")
    for name in ("broken.json", "absent.json"):
        with pytest.raises(ValueError, match=f"expected a calibrator at .*{name}"):
            Calibrator.load(tmp_path / name)
    with pytest.raises(ValueError, match="expected labelled captions"):
        train(tmp_path / "absent.jsonl", tmp_path)
    (tmp_path / "odd.jsonl").write_text('{"caption": {}}\n')
    with pytest.raises(ValueError, match="line 1 of"):
        train(tmp_path / "odd.jsonl", tmp_path)


def test_a_probability_counts_as_its_log_odds() -> None:
    rng = np.random.default_rng(4)
    odds = rng.normal(3, 2, 3000)
    right = (rng.random(3000) < 1 / (1 + np.exp(-odds))).astype(int).tolist()
    rows = [{"posterior": float(1 / (1 + math.exp(-o)))} for o in odds]
    model = fit(rows, right)
    assert model.log_odds == ("posterior",)
    for chance in (0.3, 0.9, 0.99):
        assert model.probability({"posterior": chance}) == pytest.approx(chance, abs=0.03)
    assert model.probability({"posterior": 0.0}) < 0.05 < 0.95 < model.probability({"posterior": 1.0})


def test_chances_that_are_too_sure_are_bent_to_what_holds() -> None:
    rng = np.random.default_rng(1)
    true = rng.beta(1.5, 0.7, 4000)
    right = (rng.random(4000) < true).astype(int).tolist()
    said = (true**0.5).tolist()
    bend = fit_bend(said, right)
    after = [bent(bend, chance) for chance in said]
    assert expected_calibration_error(said, right) > 0.05
    assert expected_calibration_error(after, right) < 0.025
    assert auroc(after, right) == pytest.approx(auroc(said, right)), "the order stays"
    assert bent(None, 0.3) == 0.3


def test_a_bend_never_turns_the_order_around() -> None:
    rng = np.random.default_rng(2)
    said = rng.random(400)
    right = (rng.random(400) < np.where(said < 0.5, 0.6, 0.2 + 0.7 * said)).astype(int).tolist()
    bend = fit_bend(said.tolist(), right)
    after = [bent(bend, chance) for chance in np.linspace(0.01, 0.99, 50)]
    assert after == sorted(after)
