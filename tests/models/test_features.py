"""The hand encoder: shapes, sizes, and the same interface whichever backbone stands behind it."""

import numpy as np
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from models.checkpoint import load, save
from models.features import SYMBOLS, HandEncoder, HandEncoderConfig
from models.layout import HAND


def _crops(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8))


def test_embeddings_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    encoder = HandEncoder(HandEncoderConfig()).eval()
    crops = _crops(5)
    with torch.inference_mode():
        together = encoder(crops)
        alone = torch.cat([encoder(crop[None]) for crop in crops])
        assert encoder.symbol_scores(together).shape == (5, SYMBOLS)
    assert together.shape == (5, HAND)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_encoder_is_small() -> None:
    assert sum(weight.numel() for weight in HandEncoder(HandEncoderConfig()).parameters()) < 1_500_000


def test_checkpoint_gives_the_same_embeddings(tmp_path) -> None:  # type: ignore[no-untyped-def]
    encoder = HandEncoder(HandEncoderConfig(channels=(8, 8), blocks=(1, 1))).eval()
    save(encoder, encoder.config, tmp_path, "hand_encoder")
    again = load(HandEncoder, tmp_path, "hand_encoder")
    with torch.inference_mode():
        torch.testing.assert_close(again(_crops(2)), encoder(_crops(2)), atol=0.02, rtol=0.02)


def test_dinov2_stands_behind_the_same_interface() -> None:
    small = Dinov2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    encoder = HandEncoder(HandEncoderConfig(backbone="dinov2", picture_px=28), Dinov2Model(small)).eval()
    with torch.inference_mode():
        assert encoder(_crops(2)).shape == (2, HAND)


def test_dinov2_that_is_not_there_is_said_so(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="give a downloaded folder"):
        HandEncoder(HandEncoderConfig(backbone=str(tmp_path)))


def test_wrong_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="hand crops must be uint8"):
        HandEncoder(HandEncoderConfig())(torch.zeros(1, 3, 64, 64))


def test_config_checks_its_stages() -> None:
    with pytest.raises(ValueError, match="one entry a stage"):
        HandEncoderConfig(channels=(8, 8), blocks=(1,))
