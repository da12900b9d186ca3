"""Drawn clips as the live path sees them: the locator's crops, and the truth that belongs to each."""

from pathlib import Path

import numpy as np
import pytest

from models.checkpoint import load
from models.layout import GEOMETRY
from models.locate import Locator
from models.synthetic import corpus
from models.training import seen_clips
from models.training.hand_pools import _drawn
from models.training.seen_clips import POSE, SeenClip

CHECKPOINT = Path("models/checkpoints/compact")


@pytest.fixture(scope="module")
def clip() -> SeenClip:
    return seen_clips.see(corpus.clip(7, "My name is Bo."), load(Locator, CHECKPOINT, "locate"))


def test_every_frame_has_its_crops_and_its_truth(clip: SeenClip) -> None:
    steps = len(clip)
    assert clip.hands.shape == (steps, 2, 64, 64, 3) and clip.lips.shape == (steps, 40, 40)
    assert clip.geometry.shape == (steps, GEOMETRY) and clip.pose.shape == (steps, 2, POSE)
    assert clip.mouths.shape == (steps, 60, 60) and clip.boxes.shape == (steps, 4, 3)
    assert (clip.hands[~clip.seen[:, :2]] == 0).all()
    assert clip.seen[:, 2].mean() > 0.9


def test_poses_are_directions_of_the_hand_shown(clip: SeenClip) -> None:
    known = clip.pose[~np.isnan(clip.pose[..., 0])]
    assert len(known) > 0.5 * len(clip)
    assert np.allclose(np.linalg.norm(known[:, :3], axis=1), 1, atol=1e-2)
    assert np.allclose(np.linalg.norm(known[:, 3:6], axis=1), 1, atol=1e-2)
    assert np.isnan(clip.pose[~clip.seen[:, :2]]).all()


def test_a_crop_of_the_left_side_has_its_pose_mirrored() -> None:
    truth = np.arange(2 * POSE, dtype=np.float32).reshape(1, 2, POSE)
    real = {"right_hand": (0.3, 0.5, 0.2), "left_hand": (0.7, 0.5, 0.2)}
    right, left = seen_clips._poses([{**real}], [real], truth)[0]
    assert np.array_equal(right, truth[0, 0])
    assert left[0] == -truth[0, 1, 0] and left[3] == -truth[0, 1, 3] and left[1] == truth[0, 1, 1]
    swapped = seen_clips._poses([{"right_hand": real["left_hand"], "left_hand": None}], [real], truth)[0]
    assert np.array_equal(swapped[0], truth[0, 1])
    assert np.isnan(swapped[1]).all()


def test_symbols_of_steps_follow_the_spans(clip: SeenClip) -> None:
    symbols = seen_clips.frame_symbols(clip)
    assert {"NAME", "#B", "#O", ""} <= set(symbols)
    order = [s for i, s in enumerate(symbols) if s not in ("", "?") and symbols[i - 1] != s]
    assert order == ["MY", "NAME", "#B", "#O"]


def test_saved_clips_come_back_and_partial_files_do_not_count(clip: SeenClip, tmp_path: Path) -> None:
    seen_clips.save(clip, tmp_path / "7.npz")
    (tmp_path / ".8.npz").write_bytes(b"partial")
    assert seen_clips.kept(tmp_path) == [tmp_path / "7.npz"]
    back = seen_clips.read(tmp_path / "7.npz")
    assert np.array_equal(back.hands, clip.hands) and back.letters == clip.letters and back.english == clip.english
    assert np.allclose(np.nan_to_num(back.pose), np.nan_to_num(clip.pose), atol=1e-2)


def test_the_encoder_learns_every_third_crop_with_its_letter(clip: SeenClip) -> None:
    crops, symbols, poses = _drawn(clip)
    assert len(crops) == len(symbols) == len(poses) <= 2 * (len(clip) // 3 + 1)
    assert set(symbols.tolist()) <= {-1, ord("B") - ord("A"), ord("O") - ord("A")}
    assert not np.isnan(poses).any()
