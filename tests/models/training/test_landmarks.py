"""The backbone that begins as a published network: its weights are found, and it learns without moving what the experts know."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from models.backends import has_openvino, quiet_openvino
from models.features import HandEncoder, HandEncoderConfig
from models.landmarks import SEEN, LandmarkBackbone, LandmarkTrunk
from models.training import landmark_views, landmark_weights, landmarks_stage
from models.training.hand_pools import HandPools, Pictures
from models.training.landmark_views import BATCH, Views, batches
from models.training.seen_clips import POSE


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
def views(before: HandEncoder) -> dict[str, Views]:
    """Hands of which the two networks say the same in other words."""
    torch.manual_seed(2)
    said, made = torch.randn(SEEN, before.config.width) / SEEN**0.5, {}
    for kind in BATCH:
        seen = torch.randn(40, SEEN)
        symbols = torch.randint(0, 26, (40,)) if kind == "photographs" else torch.full((40,), -1)
        pictures = (torch.rand(40, 3, 64, 64) * 255).byte()
        made[kind] = Views(pictures, seen.half(), (seen @ said).half(), symbols)
    return made


def test_views_of_all_kinds_are_drawn_and_said_by_both_networks(
    before: HandEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("letters/davidlee/A", "letters/t32rahman/B", "digits/3"):
        (tmp_path / folder).mkdir(parents=True)
        picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
        cv2.imwrite(str(tmp_path / folder / "1.jpg"), picture)
    monkeypatch.setattr(landmark_views, "PUBLISHED_PX", 32)
    monkeypatch.setattr(landmark_views, "AT_ONCE", 4)
    trunk = lively()
    pools = HandPools(tmp_path, tmp_path / "clips", torch.device("cpu"), 10, permissive_only=True)
    counts = {"photographs": 6, "signing": 4, "drawn": 4, "empty": 4}
    with pytest.raises(ValueError, match="train clips"):
        landmark_views.draw(pools, trunk, before, counts)
    hands = (torch.rand(5, 3, 64, 64) * 255).byte()
    pools.drawn = Pictures(hands, torch.full((5,), 2), torch.zeros(5, POSE), torch.ones(5))
    views = landmark_views.draw(pools, trunk, before, counts)
    assert {kind: len(one.symbols) for kind, one in views.items()} == {"photographs": 8, "drawn": 4, "empty": 4}
    assert set(views["photographs"].symbols.tolist()) <= {0, 1, 29}
    assert set(views["drawn"].symbols.tolist()) == {2}
    assert set(views["empty"].symbols.tolist()) == {-1}
    one = views["drawn"]
    with torch.inference_mode():
        known = before.embed(one.pictures.float() / 127.5 - 1)
    torch.testing.assert_close(known, one.known.float(), rtol=0.05, atol=0.02)  # pictures are kept in eight bits
    assert one.seen.shape == (4, SEEN)
    assert float(one.seen.float().std(0).max()) > 0


def test_a_batch_says_what_must_stay(views: dict[str, Views]) -> None:
    batch = next(batches(views))
    assert len(batch.pictures) == sum(BATCH.values())
    assert int((~batch.stays).sum()) == BATCH["photographs"]
    assert float(batch.pictures.min()) >= -1
    assert float(batch.pictures.max()) <= 1


def test_a_settled_head_says_what_the_experts_know_and_learning_reaches_the_trunk(
    before: HandEncoder, views: dict[str, Views], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landmarks_stage, "PICTURE_PX", 32)
    encoder = landmarks_stage.beginning(LandmarkTrunk(), before, views)
    assert isinstance(encoder.backbone, LandmarkBackbone)

    def away() -> float:
        with torch.inference_mode():
            one = views["signing"]
            said = encoder.norm(encoder.project(encoder.backbone.spoken(encoder.backbone.known(one.seen.float()))))
            return float((said - one.known.float()).square().mean())

    unsettled = away()
    landmarks_stage.settle_head(encoder, views, steps=150)
    assert away() < 0.5 * unsettled
    encoder.train()
    total, figures = landmarks_stage.loss(encoder, next(batches(views)))
    total.backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(figure) for figure in figures.values())
    reached = [conv.weight.grad for conv in encoder.backbone.trunk.convolutions()]
    assert all(grad is not None and float(grad.abs().sum()) > 0 for grad in reached)
