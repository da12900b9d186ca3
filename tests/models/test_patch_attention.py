"""Our attention kernel against PyTorch's, on a GPU."""

import pytest
import torch

pytest.importorskip("triton")
if not torch.cuda.is_available():
    pytest.skip("needs CUDA", allow_module_level=True)

from models.patch_attention import attend_patches
from models.vit import VisionConfig, VisionTransformer, Way


def test_tiles_of_patches_attend_as_all_tokens_do() -> None:
    joined = torch.randn(3, 257, 3, 12, 64, device="cuda", dtype=torch.bfloat16)
    queries, keys, values = joined.float().permute(2, 0, 3, 1, 4).unbind(0)
    scores = queries @ keys.transpose(2, 3) / 8
    expected = (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)
    found = attend_patches(joined).float()
    assert (found - expected).norm() < 0.005 * expected.norm()
    assert (found[:, 0] - expected[:, 0]).norm() < 0.005 * expected[:, 0].norm(), "the class token's own row"


def test_tokens_that_fill_no_tile_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 \+ n \* 64 tokens, but got \(1, 50, 3, 2, 64\)"):
        attend_patches(torch.zeros(1, 50, 3, 2, 64, device="cuda", dtype=torch.bfloat16))


@pytest.mark.parametrize("picture_px", [98, 224], ids=["patches that fill no tile", "patches that do"])
def test_a_transformer_says_the_same_either_way(picture_px: int) -> None:
    config = VisionConfig(picture_px=picture_px, dim=128, heads=2, hidden=256, layers=3)
    network = VisionTransformer.random(config, torch.device("cuda"), torch.bfloat16)
    patches = torch.randn(2, config.tokens - 1, config.patch_values, device="cuda", dtype=torch.bfloat16)
    expected = network(patches).float()
    network.way = Way("triton")
    assert (network(patches).float() - expected).norm() < 0.02 * expected.norm()
