"""Frames of drawn signers are drawn once and kept."""

from pathlib import Path

import numpy as np
import pytest

from models.canvas import SMALL_HEIGHT, SMALL_WIDTH
from models.training import synthetic_frames


def test_what_is_missing_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_frames, "SIGNERS_A_FILE", 2)
    assert synthetic_frames.draw_pool(2, tmp_path) == 1
    assert synthetic_frames.draw_pool(4, tmp_path) == 1, "the first file is there already"
    pool = synthetic_frames.synthetic_pool(tmp_path)
    assert pool.frames.shape == (4 * synthetic_frames.FRAMES_A_SIGNER, SMALL_HEIGHT, SMALL_WIDTH, 3)
    assert pool.frames.std() > 10
    faces = pool.boxes[:, 2]
    assert (np.isfinite(faces).all(-1)).mean() > 0.9, "nearly every frame shows a face"
