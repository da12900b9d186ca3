"""The noise study on a tiny scale: every arm learns its own, and all stand in one table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.evaluation import noise
from models.training import language_stage, noise_stage
from models.training.language_stage import Size

TINY = Size(vocabulary=500, width=32, inner=48, layers=1, heads=2)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs go to a folder of their own, and few sentences are drawn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(language_stage, "GRAMMAR_DRAWS", 300)
    monkeypatch.setattr(noise, "SHARES", (0.2,))
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_arm_is_trained_and_measured(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = noise_stage.train(small, small / "out", minutes=0.02, size=TINY, sentences=3)
    rows = set(noise.rates_of())
    assert set(figures) == {f"{arm} {row}" for arm in noise_stage.ARMS for row in rows}
    assert noise.GOAL in rows and "clean" in rows
    assert "| BLEU-4 | without | with | marked |" in capsys.readouterr().out
    marks = {
        arm: json.loads((small / "out" / arm / "llm" / "words.json").read_text())["doubtful_below"]
        for arm in noise_stage.ARMS
    }
    assert marks == {"without": 0.0, "with": 0.0, "marked": language_stage.DOUBTFUL_BELOW}


def test_the_arms_differ_in_their_teaching_alone() -> None:
    plain = {replace(arm, name="", noise=noise_stage.GRAMMAR.noise, marked=False) for arm in noise_stage.ARMS.values()}
    assert plain == {replace(noise_stage.GRAMMAR, name="")}
    assert noise_stage.ARMS["without"].noise.clean == 1.0
