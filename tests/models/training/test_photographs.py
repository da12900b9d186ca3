"""Photographs of hands: read, cut out, changed, and what the hand encoder's losses make of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.evaluation.letters import evaluate_encoder, predict
from models.features import HandEncoder, HandEncoderConfig
from models.training import hand_poses
from models.training.encoder_stage import HandTasks, family_scores, hand_loss, pose_loss, symbol_loss
from models.training.hand_looks import Changes, draw_views, placed, relight, turned
from models.training.hand_pools import HandBatch
from models.training.photographs import read_letters, symbol_id
from models.training.seen_clips import POSE


def _letters(folder: Path) -> Path:
    for source, letter, grey in (("massey5", "A", 180), ("massey5", "C", 120), ("davidlee", "B", 90)):
        path = folder / source / letter
        path.mkdir(parents=True)
        picture = np.zeros((100, 100, 3), np.uint8)
        picture[30:70, 30:70] = grey
        cv2.imwrite(str(path / "1.jpg"), picture)
    return folder


def test_photographs_are_read_with_their_letters_and_masks(tmp_path: Path) -> None:
    photographs = read_letters(_letters(tmp_path), "massey5")
    assert photographs.pictures.shape == (2, 128, 128, 3)
    assert photographs.symbols.tolist() == [0, 2]
    assert photographs.opaque[0, 64, 64] == 255
    assert photographs.opaque[0, 5, 5] == 0
    assert (read_letters(tmp_path, "davidlee").opaque == 255).all()


def test_a_missing_source_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give the data folder"):
        read_letters(tmp_path, "nobody")


def test_symbols_are_numbered_letters_first() -> None:
    assert [symbol_id(name) for name in "AZ09"] == [0, 25, 26, 35]
    with pytest.raises(ValueError, match="A-Z or 0-9"):
        symbol_id("SPACE")


def test_changed_photographs_keep_shape_and_differ() -> None:
    torch.manual_seed(0)
    picture = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8).expand(30, -1, -1, -1)
    view = draw_views(30, Changes(), torch.device("cpu"))
    seen = relight(placed(picture, picture[:, :1], picture, view, Changes()))
    assert seen.shape == (30, 3, 64, 64) and float(seen.min()) >= 0 and float(seen.max()) <= 1
    assert len({one.numpy().tobytes() for one in seen}) == 30


def test_background_shows_where_the_photograph_is_cut_away() -> None:
    picture = torch.full((2, 3, 128, 128), 200, dtype=torch.uint8)
    still = Changes(turn_deg=0, smallest=1, largest=1, shift=0, squeeze=0, mirror=0, background=1.0)
    behind = torch.full((2, 3, 96, 96), 51, dtype=torch.uint8)
    view = draw_views(2, still, torch.device("cpu"))
    assert torch.allclose(placed(picture, torch.zeros_like(picture[:, :1]), behind, view, still), torch.tensor(0.2))


def test_a_turned_picture_turns_its_pose() -> None:
    """A bright bar that points up in the picture must point where the turned direction says."""
    bar = torch.zeros(40, 3, 128, 128, dtype=torch.uint8)
    bar[:, :, 24:64, 62:66] = 255  # from the middle upwards
    changes = Changes(turn_deg=170, smallest=1, largest=1, shift=0, squeeze=0, mirror=0.5)
    torch.manual_seed(0)
    view = draw_views(40, changes, torch.device("cpu"))
    seen = placed(bar, None, None, view, changes).mean(1)
    pose = torch.zeros(40, POSE)
    pose[:, 4] = 1.0  # pointing up
    pointing = turned(pose, view)[:, 3:5]
    at = torch.arange(64) - 31.5
    mass = seen.sum((1, 2))
    middle = torch.stack(((seen.sum(1) * at).sum(1), -(seen.sum(2) * at).sum(1)), -1) / mass[:, None]
    assert torch.allclose(torch.nn.functional.normalize(middle, dim=-1), pointing, atol=0.06)


def test_letters_compete_with_letters_and_digits_with_digits() -> None:
    scores = torch.zeros(2, 36)
    barred = family_scores(scores, torch.tensor([3, 30]))
    assert (barred[0] == 0).sum() == 26
    assert (barred[1] == 0).sum() == 10
    even = symbol_loss(scores, torch.tensor([3, -1]))
    assert even.item() == pytest.approx(np.log(26), abs=1e-4)


def test_loss_takes_every_kind_of_crop() -> None:
    torch.manual_seed(0)
    tasks = HandTasks(HandEncoder(HandEncoderConfig(stem=4, channels=(8, 8), blocks=(1, 1))))
    poses = torch.full((6, POSE), float("nan"))
    poses[3:] = 0.5
    batch = HandBatch(
        torch.rand(6, 3, 64, 64),
        torch.tensor([0, 30, -1, -1, 5, -1]),
        torch.tensor([1.0, 1, 0, 1, 1, 1]),
        poses,
        (2, 1, 1, 2),
    )
    for _ in range(4):  # with and without mixing
        loss, figures = hand_loss(tasks, batch)
        assert torch.isfinite(loss)
        assert {"symbols", "hand", "real_pose", "drawn_pose"} <= set(figures)


def test_unknown_poses_do_not_count() -> None:
    true = torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")]])
    assert pose_loss(torch.zeros(2, 2), true) == 1.0
    assert pose_loss(torch.ones(2, 2), torch.full((2, 2), float("nan"))) == 0.0


def test_the_teachers_landmarks_become_directions_and_bends() -> None:
    """A flat right hand, palm to the camera, fingers up: x right, y down, z away, as MediaPipe has it."""
    hand = np.zeros((21, 3), np.float32)
    for finger, x in enumerate((0.04, 0.03, 0.0, -0.02, -0.04)):
        for joint in range(4):
            hand[1 + 4 * finger + joint] = (x, -0.06 - 0.02 * joint, 0)
    pose = hand_poses.poses(hand[None], np.array([True]))[0]
    assert np.allclose(pose[:3], (0, 0, 1), atol=1e-3)
    assert np.allclose(pose[3:6], (0, 1, 0), atol=0.05)
    assert np.allclose(pose[12:14], 0, atol=1e-3)  # the index finger's outer joints are straight
    assert np.allclose(hand_poses.poses(hand[None], np.array([False]))[0, :3], (0, 0, -1), atol=1e-3)


def test_evaluation_counts_by_source(tmp_path: Path) -> None:
    encoder = HandEncoder(HandEncoderConfig(stem=4, channels=(8,), blocks=(1,))).eval()
    figures = evaluate_encoder(encoder, _letters(tmp_path), ["massey5", "davidlee"])
    assert figures["pictures"] == 3
    assert figures["accuracy"] == pytest.approx((2 * figures["massey5"] + figures["davidlee"]) / 3)
    assert predict(encoder, np.zeros((2, 128, 128, 3), np.uint8)).shape == (2,)
