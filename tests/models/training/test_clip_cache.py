"""Cached clips: what is kept comes back, and any box can be cut out of it."""

from pathlib import Path

import numpy as np
import pytest

from models.training import clip_cache
from models.training.clip_cache import Cached
from models.training.features_stage import hand_crop, mouth_crop


@pytest.fixture(scope="module")
def clip() -> Cached:
    return clip_cache.record(77, held_out=False)


def test_a_saved_clip_comes_back(clip: Cached, tmp_path: Path) -> None:
    clip_cache.save(clip, tmp_path / "77.npz")
    back = clip_cache.load(tmp_path / "77.npz")
    assert len(back) == len(clip) and back.thumbs == clip.thumbs and back.hands == clip.hands
    assert np.array_equal(back.boxes, clip.boxes, equal_nan=True)
    assert (back.glosses, back.letters, back.tokens) == (clip.glosses, clip.letters, clip.tokens)


def test_frame_symbols_follow_the_tokens(clip: Cached) -> None:
    symbols = clip_cache.frame_symbols(clip)
    assert len(symbols) == len(clip)
    shown = [symbol for symbol in symbols if symbol not in ("", "?")]
    order = [symbol for i, symbol in enumerate(shown) if i == 0 or symbol != shown[i - 1]]
    tokens = [part for token in clip.tokens for part in (["#" + c for c in token[1:]] if token[0] == "#" else [token])]
    assert order == [token for i, token in enumerate(tokens) if i == 0 or token != tokens[i - 1]]


def test_crops_of_true_boxes_show_the_hand(clip: Cached) -> None:
    step = next(i for i in range(len(clip)) if not np.isnan(clip.boxes[i, 0, 0]))
    box = tuple(float(v) for v in clip.boxes[step, 0])
    crop = hand_crop(clip, step, (box[0], box[1], box[2]), left=False)
    mirrored = hand_crop(clip, step, (box[0], box[1], box[2]), left=True)
    assert crop.shape == (64, 64, 3) and np.array_equal(crop[:, ::-1], mirrored)


def test_a_box_where_no_hand_is_is_cut_from_the_small_frame(clip: Cached) -> None:
    assert hand_crop(clip, 0, (0.1, 0.1, 0.2), left=False).shape == (64, 64, 3)
    mouth = clip.boxes[0, 3]
    assert mouth_crop(clip, 0, (float(mouth[0]), float(mouth[1]), float(mouth[2]))).shape == (40, 40)


def test_cut_repeats_the_edge() -> None:
    picture = np.full((20, 30, 3), 7, np.uint8)
    for side in (4.0, 60.0):
        assert (clip_cache.cut(picture, (0.0, 0.0), side, 16) == 7).all()
