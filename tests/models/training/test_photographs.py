"""Photographs and drawn hands: read, cut out, changed, and what the hand encoder's losses make of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.evaluation.letters import evaluate_encoder, predict
from models.features import HandEncoder, HandEncoderConfig
from models.training.drawn_hands import DRAWN_TARGETS, DrawnHands, shape_groups
from models.training.encoder_stage import SHAPES, HandBatch, HandTasks, family_scores, hand_loss, symbol_loss
from models.training.photographs import Changes, place, read_letters, relight, symbol_id


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
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (128, 128, 3), np.uint8)
    opaque = np.full((128, 128), 255, np.uint8)
    seen = [relight(place(picture, opaque, picture, rng, Changes()), rng) for _ in range(30)]
    assert {(one.shape, one.dtype.name) for one in seen} == {((64, 64, 3), "uint8")}
    assert len({one.tobytes() for one in seen}) == 30


def test_background_shows_where_the_photograph_is_cut_away() -> None:
    picture = np.full((128, 128, 3), 200, np.uint8)
    opaque = np.zeros((128, 128), np.uint8)
    still = Changes(turn_deg=0, smallest=1, largest=1, shift=0, squeeze=0, mirror=0, background=1.0)
    behind = np.full((96, 96, 3), 7, np.uint8)
    assert (place(picture, opaque, behind, np.random.default_rng(0), still) == 7).all()


def test_letters_compete_with_letters_and_digits_with_digits() -> None:
    scores = torch.zeros(2, 36)
    barred = family_scores(scores, torch.tensor([3, 30]))
    assert (barred[0] == 0).sum() == 26
    assert (barred[1] == 0).sum() == 10
    even = symbol_loss(scores, torch.tensor([3, -1]))
    assert even.item() == pytest.approx(np.log(26), abs=1e-4)


def test_drawn_hands_know_their_shape_and_direction() -> None:
    assert max(shape_groups().values()) < SHAPES
    source, rng = DrawnHands(), np.random.default_rng(0)
    for _ in range(8):
        hand = source.draw(rng)
        assert hand.crop.shape == (64, 64, 3)
        palm, pointing = hand.pose[:3], hand.pose[3:6]
        assert np.linalg.norm(palm) == pytest.approx(1, abs=1e-3)
        assert float(palm @ pointing) == pytest.approx(0, abs=1e-3)
        assert -1 <= hand.symbol < 36


def test_loss_takes_every_kind_of_crop() -> None:
    torch.manual_seed(0)
    tasks = HandTasks(HandEncoder(HandEncoderConfig(stem=4, channels=(8, 8), blocks=(1, 1))))
    pose = torch.full((4, DRAWN_TARGETS), float("nan"))
    pose[3] = 0.5
    batch = HandBatch(
        crops=torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8),
        symbols=torch.tensor([0, 30, -1, 5]),
        is_hand=torch.tensor([1.0, 1.0, 0.0, 1.0]),
        shapes=torch.tensor([-1, -1, -1, 2]),
        pose=pose,
        mixable=2,
    )
    for _ in range(4):  # with and without mixing
        loss, figures = hand_loss(tasks, batch)
        assert torch.isfinite(loss)
        assert {"symbols", "hand", "shape", "pose"} <= set(figures)


def test_evaluation_counts_by_source(tmp_path: Path) -> None:
    encoder = HandEncoder(HandEncoderConfig(stem=4, channels=(8,), blocks=(1,))).eval()
    figures = evaluate_encoder(encoder, _letters(tmp_path), ["massey5", "davidlee"])
    assert figures["pictures"] == 3
    assert figures["accuracy"] == pytest.approx((2 * figures["massey5"] + figures["davidlee"]) / 3)
    assert predict(encoder, np.zeros((2, 128, 128, 3), np.uint8)).shape == (2,)
