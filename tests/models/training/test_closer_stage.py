"""The closer look's recipe: published weights are found, the head learns letters and keeps what the experts know, and the gate
learns where to look."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from models.backends import has_openvino, quiet_openvino
from models.closer import Closer, CloserConfig
from models.features import HandEncoder, HandEncoderConfig
from models.landmarks import SEEN, LandmarkTrunk
from models.layout import GEOMETRY, HAND
from models.synthetic import corpus
from models.training import closer_stage, closer_views, landmark_weights, seen_clips
from models.training.closer_stage import BATCH, Hands
from models.training.closer_views import Views
from models.training.hand_pools import HandPools, Pictures
from models.training.seen_clips import FINER_SIDE, POSE, SPELLING, SeenClip, ServedLocator


def lively() -> LandmarkTrunk:
    """A trunk of which something comes out: random weights as they are let little through so many layers."""
    torch.manual_seed(0)
    trunk = LandmarkTrunk().eval().requires_grad_(False)
    for conv in trunk.convolutions():
        conv.weight.mul_(2)
        torch.nn.init.normal_(conv.bias, 0.1, 0.1)  # type: ignore[arg-type]  # each has one
    return trunk


needs_openvino = pytest.mark.skipif(not has_openvino(), reason="the extra `fast` is not installed")


def exported(network: nn.Module, picture: torch.Tensor, path: Path) -> None:
    """A file that the same reader opens as it opens the published one."""
    openvino = quiet_openvino()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter traces, which torch calls old
        converted = openvino.convert_model(network.eval(), example_input=picture)
    openvino.save_model(converted, path, compress_to_fp16=False)


@needs_openvino
def test_weights_are_read_in_the_order_in_which_a_picture_passes_them(tmp_path: Path) -> None:
    published = lively()
    picture = torch.rand(1, 3, 64, 64)
    exported(published, picture, tmp_path / "published.xml")
    read = landmark_weights.trunk(tmp_path / "published.xml")
    with torch.no_grad():
        wanted = published(picture)
        assert float(wanted.std()) > 1e-3
        torch.testing.assert_close(read(picture), wanted, rtol=1e-3, atol=1e-4)


@needs_openvino
def test_another_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        landmark_weights.trunk(tmp_path / "none.tflite")
    (tmp_path / "broken.tflite").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        landmark_weights.trunk(tmp_path / "broken.tflite")
    exported(torch.nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8), tmp_path / "other.xml")
    with pytest.raises(ValueError, match="got 1 others"):
        landmark_weights.trunk(tmp_path / "other.xml")


@pytest.fixture(scope="module")
def before() -> HandEncoder:
    torch.manual_seed(1)
    return HandEncoder(HandEncoderConfig(stem=8, channels=(8, 8), blocks=(1, 1))).eval()


@pytest.fixture(scope="module")
def clip() -> SeenClip:
    return seen_clips.see(corpus.clip(7, "My name is Bo."), ServedLocator(Path("models/checkpoints/compact")))


@pytest.fixture(scope="module")
def views() -> dict[str, Views]:
    """Hands of which the trunk sees all that the encoder says, and the letter besides."""
    torch.manual_seed(2)
    said, letters, made = torch.randn(SEEN, HAND) / SEEN**0.5, torch.randn(26, SEEN), {}
    for kind in BATCH:
        spelled = kind in ("photographs", "spelled", "as_cut")
        symbols = torch.arange(60) % 26 if spelled else torch.full((60,), -1)
        seen = torch.randn(60, SEEN) + (letters[symbols] if spelled else 0)
        made[kind] = Views(seen.half(), (seen @ said).half(), symbols)
    return made


def test_fine_crops_of_spelling_hands_are_kept(clip: SeenClip, tmp_path: Path) -> None:
    steps, sides = clip.finer_at.T
    assert clip.finer.shape == (len(steps), FINER_SIDE, FINER_SIDE, 3)
    assert set(np.flatnonzero(clip.routes == SPELLING)) & set(steps.tolist())
    small = np.stack([cv2.resize(piece, (64, 64), interpolation=cv2.INTER_AREA) for piece in clip.finer])
    away = np.abs(small.astype(float) - clip.hands[steps, sides]).mean()
    assert away < 4, "the same crops in more pixels"
    seen_clips.save(clip, tmp_path / "7.npz")
    assert np.array_equal(seen_clips.read(tmp_path / "7.npz").finer, clip.finer)


def test_a_crop_that_was_not_kept_finely_is_enlarged(clip: SeenClip) -> None:
    far = int(np.flatnonzero(clip.seen[:, 0] & ~np.isin(np.arange(len(clip)), clip.finer_at[:, 0]))[0])
    step, side = clip.finer_at[0]
    pieces = clip.closely(np.array([far, step]), np.array([0, side]))
    assert np.array_equal(pieces[1], clip.finer[0])
    assert np.array_equal(pieces[0], cv2.resize(clip.hands[far, 0], (FINER_SIDE, FINER_SIDE)))


def test_views_of_all_kinds_are_drawn_and_said_by_both_networks(
    clip: SeenClip, before: HandEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("letters/davidlee/A", "letters/t32rahman/B", "digits/3"):
        (tmp_path / folder).mkdir(parents=True)
        picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
        cv2.imwrite(str(tmp_path / folder / "1.jpg"), picture)
    monkeypatch.setattr(closer_views, "AT_ONCE", 4)
    asked: list[tuple[int, ...]] = []

    def look(crops: np.ndarray) -> np.ndarray:
        asked.append(crops.shape)
        return np.repeat(crops.reshape(len(crops), -1).mean(1, keepdims=True), SEEN, 1).astype(np.float32)

    clips = tmp_path / "clips"
    clips.mkdir()
    pools = HandPools(tmp_path, clips, torch.device("cpu"), 10, permissive_only=True)
    counts = {"photographs": 6, "spelled": 4, "signing": 4, "drawn": 4, "empty": 4}
    with pytest.raises(ValueError, match="train clips"):
        closer_views.draw(pools, look, before, counts)
    seen_clips.save(clip, clips / "7.npz")
    hands = (torch.rand(5, 3, 64, 64) * 255).byte()
    pools.drawn = Pictures(hands, torch.full((5,), 2), torch.zeros(5, POSE), torch.ones(5))
    views = closer_views.draw(pools, look, before, counts)
    drawn = {kind: len(one.symbols) for kind, one in views.items()}
    rows, letters = closer_views.held_letters(clip)
    assert drawn == {"photographs": 8, "spelled": 4, "drawn": 4, "empty": 4, "as_cut": len(rows)}
    assert {shape[1:] for shape in asked} == {(FINER_SIDE, FINER_SIDE, 3)}
    assert views["as_cut"].symbols.tolist() == letters.tolist()
    means = clip.finer[rows].reshape(len(rows), -1).mean(1)
    np.testing.assert_allclose(views["as_cut"].seen[:, 0], means, rtol=1e-3)
    assert set(views["photographs"].symbols.tolist()) <= {0, 1, 29}
    assert set(views["spelled"].symbols.tolist()) <= {1, 14}
    assert set(views["empty"].symbols.tolist()) == {-1}
    assert views["drawn"].known.shape == (4, HAND)


def test_the_head_learns_letters_and_says_what_the_experts_know(views: dict[str, Views]) -> None:
    torch.manual_seed(3)
    closer = Closer(CloserConfig())
    closer_stage.standardise(closer, views)

    def told() -> tuple[float, float]:
        with torch.inference_mode():
            heard = {
                kind: closer((one.seen.float() - closer.trunk.mean) / closer.trunk.deviation)
                for kind, one in views.items()
            }
            away = float((heard["signing"] - views["signing"].known.float()).square().mean())
            named = closer.symbols(heard["photographs"])[:, :26].argmax(1)
            return away, float((named == views["photographs"].symbols).float().mean())

    away, _ = told()
    closer_stage.learn_letters(closer, views, steps=150)
    assert told()[0] < 0.6 * away
    assert told()[1] > 0.9


def test_the_gate_finds_raised_hands_and_opens_by_clips_it_did_not_learn_from(views: dict[str, Views]) -> None:
    torch.manual_seed(4)

    def hands(count: int) -> Hands:
        spells = torch.arange(count) % 2 == 0
        geometry = torch.zeros(count, GEOMETRY)
        geometry[:, 2] = torch.where(spells, 0.0, 4.0)  # y of the right hand
        return Hands(torch.randn(count, HAND), geometry, torch.zeros(count, dtype=torch.bool), spells)

    closer = Closer(CloserConfig())
    figures = closer_stage.learn_gate(closer, [hands(200) for _ in range(5)], views)
    assert closer.config.least == figures["gate_least"]
    assert figures["gate_found"] > 0.95
    assert figures["gate_let_through"] < 0.1


def test_the_gate_is_told_which_hands_of_a_clip_spell(clip: SeenClip, before: HandEncoder) -> None:
    hands = closer_stage.gated_hands(clip, before)
    assert hands.known.shape == (len(hands.spells), HAND)
    assert 0 < int(hands.spells.sum()) < len(hands.spells)
    raised = torch.where(hands.left, hands.geometry[:, 8], hands.geometry[:, 2])
    assert float(raised[hands.spells].mean()) < float(raised[~hands.spells].mean())
