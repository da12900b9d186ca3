"""The mouth encoder: shapes, frames that do not touch each other, light that does not count, the ViT behind it."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import ViTConfig, ViTModel

from models.checkpoint import load, save
from models.layout import MOUTH
from models.lips import MOUTH_SIZE, MouthEncoder, MouthEncoderConfig, standardised

SMALL_VIT = ViTConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=32, patch_size=8
)


@pytest.fixture(scope="module")
def encoder() -> MouthEncoder:
    torch.manual_seed(0)
    return MouthEncoder(MouthEncoderConfig()).eval()


def crops(count: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(40, 200, (count, MOUTH_SIZE, MOUTH_SIZE), generator=generator, dtype=torch.uint8)


@torch.no_grad()
def test_a_crop_becomes_one_normalised_embedding(encoder: MouthEncoder) -> None:
    out = encoder(crops(5))
    assert out.shape == (5, MOUTH)
    assert out.dtype == torch.float32
    assert out.mean(dim=1).abs().max() < 1e-5
    assert (out.std(dim=1, correction=0) - 1).abs().max() < 1e-2


@torch.no_grad()
def test_frame_by_frame_equals_all_at_once(encoder: MouthEncoder) -> None:
    batch = crops(6)
    alone = torch.cat([encoder(batch[k : k + 1]) for k in range(6)])
    assert torch.allclose(encoder(batch), alone, atol=1e-4)


@torch.no_grad()
def test_no_crop_touches_another(encoder: MouthEncoder) -> None:
    batch = crops(4)
    changed = batch.clone()
    changed[2] = 0
    before, after = encoder(batch), encoder(changed)
    assert torch.allclose(before[[0, 1, 3]], after[[0, 1, 3]], atol=1e-5)
    assert not torch.allclose(before[2], after[2], atol=1e-2)


@torch.no_grad()
def test_the_rooms_light_does_not_count(encoder: MouthEncoder) -> None:
    batch = crops(3)
    brighter = (batch.float() * 0.5 + 60).round().to(torch.uint8)
    likeness = torch.cosine_similarity(encoder(batch), encoder(brighter))
    assert likeness.min() > 0.99


def test_an_even_grey_crop_gives_no_noise() -> None:
    assert standardised(torch.full((2, 1, MOUTH_SIZE, MOUTH_SIZE), 0.4)).abs().max() < 1e-3


def test_the_compact_encoder_is_small() -> None:
    assert sum(p.numel() for p in MouthEncoder(MouthEncoderConfig()).parameters()) <= 500_000


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(2, 40, 40),
        torch.zeros(2, 32, 40, dtype=torch.uint8),
        torch.zeros(2, 40, 40, 3, dtype=torch.uint8),
    ],
)
def test_other_pictures_are_refused(encoder: MouthEncoder, wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(count, 40, 40\) grey"):
        encoder(wrong)


@pytest.mark.parametrize("wrong", [{"channels": (32,)}, {"channels": (), "blocks": ()}, {"width": 0}])
def test_sizes_that_make_no_network_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="stage|at least 1"):
        MouthEncoderConfig(**wrong)  # type: ignore[arg-type]


@torch.no_grad()
def test_saved_and_loaded_it_gives_the_same(encoder: MouthEncoder, tmp_path: Path) -> None:
    save(encoder, encoder.config, tmp_path, "mouth_encoder")
    loaded = load(MouthEncoder, tmp_path, "mouth_encoder")
    assert (loaded(crops(3)) - encoder(crops(3))).abs().max() < 0.05  # half precision on disk


@torch.no_grad()
def test_a_vit_stands_behind_the_same_interface(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ViTModel(SMALL_VIT, add_pooling_layer=False).save_pretrained(tmp_path)
    config = MouthEncoderConfig(backbone=str(tmp_path), picture_px=32)
    paper = MouthEncoder(config).eval()
    assert paper(crops(2)).shape == (2, MOUTH)


def test_a_given_model_needs_no_folder() -> None:
    model: nn.Module = ViTModel(SMALL_VIT, add_pooling_layer=False)
    encoder = MouthEncoder(MouthEncoderConfig(backbone="paper", picture_px=32), model)
    assert encoder.backbone.outputs == SMALL_VIT.hidden_size


def test_a_vit_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='backbone is "compact"'):
        MouthEncoder(MouthEncoderConfig(backbone=str(tmp_path / "none")))
