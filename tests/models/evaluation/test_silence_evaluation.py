"""Which videos without signing are taken, and what is counted of them."""

from pathlib import Path

import pytest

from models.evaluation import silence
from models.synthetic.scenes import SCENES

BUNDLED = Path(__file__).parents[3] / "models" / "checkpoints" / "compact"


def test_a_folder_without_videos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got none in"):
        silence.evaluate(tmp_path, BUNDLED)


def test_no_video_is_taken_twice(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.mp4").touch()
    assert [file.stem for file in silence.videos_in(tmp_path, 0, 8)] == ["a", "b", "c"]
    assert [file.stem for file in silence.videos_in(tmp_path, 1, 2)] == ["c", "a"]


def test_captions_are_counted_and_those_that_are_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SCENES", {"dark": SCENES["dark"]})
    figures = silence.evaluate(None, BUNDLED, scenes=1, seconds=1)
    assert figures == {"dark_captions_per_minute": 0, "dark_of_confidence_30_per_minute": 0}
