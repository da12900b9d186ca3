"""The backbone that begins as a published network: its weights are found, and it learns without moving what the experts know."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from models.backends import has_openvino, quiet_openvino
from models.features import HandEncoder, HandEncoderConfig
from models.landmarks import SEEN, LandmarkBackbone, LandmarkTrunk
from models.training import landmark_weights, landmarks_stage
from models.training.landmark_views import BATCH, Views, batches

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
    torch.manual_seed(0)
    published = LandmarkTrunk().eval()
    with torch.no_grad():
        for conv in published.convolutions():
            conv.weight.mul_(2)
            torch.nn.init.normal_(conv.bias, 0.1, 0.1)  # type: ignore[arg-type]  # each has one
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


def test_a_batch_says_what_must_stay(views: dict[str, Views]) -> None:
    batch = next(batches(views))
    assert len(batch.pictures) == sum(BATCH.values())
    assert int((~batch.signing).sum()) == BATCH["photographs"]
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
