"""The language model's stage on a tiny scale, with English alone among its batches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.training import language_stage
from models.training.language_pool import Pool
from models.training.language_stage import TEXT_SHARE, Course, Size

TINY = Size(vocabulary=500, width=32, inner=48, layers=1, heads=2)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_english_alone_is_made_once_and_learned_beside_the_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(language_stage, "GRAMMAR_DRAWS", 300)
    shares: list[float] = []

    def seen(usual: object, other: object, share: float) -> object:
        shares.append(share)
        return other

    monkeypatch.setattr(language_stage, "mixed", seen)
    course = Course(pairs=tmp_path / "pairs")
    figures = language_stage.train(
        tmp_path, tmp_path, minutes=0.02, size=TINY, permissive_only=True, course=course, text_only=True, marked=True
    )
    assert shares == [TEXT_SHARE]
    assert all(name.startswith("grammar_bleu4") for name in figures)
    alone = Pool.load(tmp_path / "pairs/english.npz")
    assert 0 < int((alone.glosses == 0).all(1).sum()) < len(alone.glosses)
    held = json.loads((tmp_path / "llm/words.json").read_text(encoding="utf-8"))
    assert held["doubtful_below"] == language_stage.DOUBTFUL_BELOW
    made = (tmp_path / "pairs/english.npz").stat().st_mtime_ns
    language_stage.train(
        tmp_path, tmp_path, minutes=0.03, size=TINY, permissive_only=True, course=course, text_only=True, marked=True
    )
    assert (tmp_path / "pairs/english.npz").stat().st_mtime_ns == made
