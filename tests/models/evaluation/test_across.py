"""Weights on data of another making: notations fit, what is missing is left out, and the table says what is seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.evaluation.across import Crossed, aslg_line, evaluate, table

BUNDLED = Path("models/checkpoints/compact")


def test_pronouns_and_spelled_words_are_written_as_the_other_corpus_does() -> None:
    assert aslg_line(["ME", "NAME", "#MARIA", "WE"]) == ["X-I", "NAME", "MARIA", "X-WE"]


def test_what_is_there_is_measured_and_the_rest_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in ("davidlee", "mariia"):
        (tmp_path / "letters" / source / "A").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "letters" / source / "A" / "1.jpg"), np.full((90, 90, 3), 200, np.uint8))
    figures = evaluate(tmp_path, BUNDLED)
    assert list(figures) == [f"photographs of four sources -> {name}, letters %" for name in ("davidlee", "mariia")]
    told = capsys.readouterr().out
    assert f"text is not in {tmp_path}: left out" in told
    assert "| davidlee | yes |" in told and "| mariia | no |" in told


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ValueError, match="expected the folder of training data"):
        evaluate(None, BUNDLED)


def test_the_table_has_a_row_a_figure() -> None:
    lines = table([Crossed("drawn signing", "real signing", False, "BLEU-4", 0.25, 12)]).splitlines()
    assert lines[2:] == ["| drawn signing | real signing | no | BLEU-4 | 0.2 | 12 |"]
