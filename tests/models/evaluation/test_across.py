"""Weights on data of another making: notations fit, what is missing is left out, and the table says what is seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.evaluation.across import Crossed, aslg_line, evaluate, table
from models.synthetic.sentences import is_held_out

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


def test_both_text_models_that_are_bundled_read_every_corpus(tmp_path: Path) -> None:
    things = ("dog", "house", "book", "car", "table", "door", "school", "friend", "key", "boat", "cup", "bird")
    told = (f"I {verb} the {thing}." for verb in ("see", "want", "find", "hold", "wash") for thing in things)
    held = next(sentence for sentence in told if is_held_out(sentence))
    (tmp_path / "text").mkdir()
    (tmp_path / "text/how2sign.train.tsv").write_text(f"clip_1.mp4\t{held}\n")
    columns = "file\tutterance\tsigner\tgloss\tgloss_ms\tenglish\n"
    (tmp_path / "text/ncslgr.train.tsv").write_text(f"{columns}a\t1\tx\tIX-1p SEE DOG\t-\t{held}\n")
    (tmp_path / "text/aslg_pc12.dev.tsv").write_text("X-I SEE DOG .\ti see the dog .\n")
    figures = evaluate(tmp_path, BUNDLED, sentences=1)
    corpora = ("the grammar", "How2Sign, glosses by rule", "NCSLGR", "ASLG-PC12")
    models = ("the grammar and all three (live model)", "ASLG-PC12 (its heads)")
    assert list(figures) == [f"{model} -> {corpus}, BLEU-4" for model in models for corpus in corpora]
    assert figures["the grammar and all three (live model) -> the grammar, BLEU-4"] > 50


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ValueError, match="expected the folder of training data"):
        evaluate(None, BUNDLED)


def test_the_table_has_a_row_a_figure() -> None:
    lines = table([Crossed("drawn signing", "real signing", False, "BLEU-4", 0.25, 12)]).splitlines()
    assert lines[2:] == ["| drawn signing | real signing | no | BLEU-4 | 0.2 | 12 |"]
