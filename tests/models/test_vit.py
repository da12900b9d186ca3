"""Our forward gives what transformers' modules give over the same weights, whichever way it is computed."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from models.patches import DEVIATION, MEAN, Patching, colours, cut
from models.vit import VisionConfig, VisionTransformer, Way
from models.vit_weights import plain_name

SIZES = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "hidden_dropout_prob": 0.0}
WAYS = (Way(gelu="exact"), Way(gelu="epilogue"))


def _dinov2() -> Any:
    torch.manual_seed(0)
    model = Dinov2Model(Dinov2Config(image_size=42, patch_size=14, layerscale_value=0.5, **SIZES))
    return _stirred(model)


def _vit() -> Any:
    torch.manual_seed(1)
    sizes = ViTConfig(image_size=32, patch_size=16, intermediate_size=96, **SIZES)
    return _stirred(ViTModel(sizes, add_pooling_layer=False))


@torch.no_grad()
def _stirred(model: Any) -> Any:
    """No weight is left at 0 or 1, where a lost bias would not show."""
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def _whole_frames(count: int, px: int) -> tuple[Tensor, Tensor]:
    """Square frames of `px` pixels, and boxes that are just the whole of them."""
    frames = torch.randint(0, 256, (count, px, px, 3), dtype=torch.uint8)
    return frames, torch.tensor([0.5, 0.5, 1.0, 1.0]).expand(count, 4)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("make", [_dinov2, _vit])
@torch.no_grad()
def test_it_equals_transformers(make: Any, way: Way) -> None:
    model = make()
    fast = VisionTransformer.of(model)
    fast.way = way
    frames, boxes = _whole_frames(5, fast.config.picture_px)
    pictures = ((frames / 255 - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).permute(0, 3, 1, 2)
    expected = model(pixel_values=pictures).last_hidden_state[:, 0]
    sizes = fast.config
    want = Patching(sizes.picture_px, sizes.patch_px, sizes.patch_values, torch.float32)
    patches = cut(frames, boxes, colours("cpu"), want)
    torch.testing.assert_close(fast(patches), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("encoder.layer.3.attention.attention.query.weight", "layers.3.attention.q_proj.weight"),
        ("encoder.layer.3.attention.output.dense.bias", "layers.3.attention.o_proj.bias"),
        ("encoder.layer.3.intermediate.dense.bias", "layers.3.mlp.fc1.bias"),
        ("encoder.layer.3.output.dense.weight", "layers.3.mlp.fc2.weight"),
        ("dinov2.encoder.layer.3.layer_scale2.lambda1", "encoder.layer.3.layer_scale2.lambda1"),
    ],
)
def test_versions_of_transformers_name_weights_differently(older: str, newer: str) -> None:
    assert plain_name(older) == plain_name(newer)
    assert plain_name(older).startswith("layer.3.")


def test_operations_are_counted_as_published() -> None:
    """23.2 G multiply-adds for the whole ViT-B/14 at 224 px; the last layer's 256 other tokens are left out."""
    sizes = VisionConfig()
    assert sizes.tokens == 257
    dim = sizes.dim
    left_out = 2 * 256 * (2 * dim**2 + 2 * dim * sizes.hidden) + 4 * 256 * 257 * dim
    assert sizes.flops + left_out == pytest.approx(2 * 23.15e9, rel=0.01)
    assert sizes.flops == pytest.approx(43.1e9, rel=0.01)


def test_random_weights_are_made_in_place_and_differ() -> None:
    sizes = VisionConfig(picture_px=28, dim=32, layers=2, heads=2, hidden=64)
    made = VisionTransformer.random(sizes, torch.device("cpu"), torch.bfloat16)
    tokens = made(torch.randn(3, sizes.tokens - 1, sizes.patch_values, dtype=torch.bfloat16))
    assert tokens.shape == (3, 32) and tokens.dtype == torch.bfloat16
    assert tokens.isfinite().all() and not torch.equal(tokens[0], tokens[1])


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="multiple of patch_px"):
        VisionConfig(picture_px=225)
