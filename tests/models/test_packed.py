"""Weights packed and read again: what is lost, what is not, and what a broken file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models import packed
from models.quantised import PACKED, pack, pretrained


def test_matrices_lose_half_a_level_at_most_and_the_rest_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {
        "matrix": torch.randn(5, 40) * torch.tensor([[1e-3], [1.0], [30.0], [0.0], [2.0]]),
        "bias": torch.randn(7),
        "row": torch.randn(1, 7),
        "half": torch.randn(3).bfloat16(),
        "steps": torch.tensor(12),
    }
    packed.write(tmp_path / "x", packed.rounded(state, lambda name: 15 if name == "matrix" else packed.EIGHT_BITS))
    again = packed.restored(packed.read(tmp_path / "x"))
    assert again.keys() == state.keys()
    level = state["matrix"].abs().amax(1, keepdim=True) / 15
    assert ((again["matrix"] - state["matrix"]).abs() <= level / 2 + 1e-6).all()
    assert len(set(again["matrix"][1].tolist())) <= 31
    for name in ("bias", "row", "steps"):
        assert torch.equal(again[name], state[name])
    assert torch.equal(again["half"], state["half"].float())


def test_what_was_rounded_is_rounded_no_further(tmp_path: Path) -> None:
    once = packed.restored(packed.rounded({"matrix": torch.randn(6, 50)}))
    twice = packed.restored(packed.rounded(once))
    torch.testing.assert_close(once, twice, rtol=1e-6, atol=0)


@pytest.mark.parametrize("content", [b"", b"no such format", "cut off"])
def test_a_broken_file_is_named(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz.xz"
    packed.write(path, {"a": np.ones(1000)})
    path.write_bytes(path.read_bytes()[:60] if isinstance(content, str) else content)
    with pytest.raises(
        ValueError, match=r"expected packed weights in .*weights\.npz\.xz, but it is broken .*copy it anew"
    ):
        packed.read(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_llama_says_nearly_the_same(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True, bos_token_id=None,
    )  # fmt: skip
    llama = LlamaForCausalLM(config).eval()
    llama.config.save_pretrained(tmp_path)
    pack(tmp_path, llama)
    assert [path.name for path in tmp_path.glob("model*")] == [PACKED]
    again = pretrained(tmp_path, dtype=dtype)
    assert again.dtype == dtype and again.lm_head.weight is again.model.embed_tokens.weight
    assert again.name_or_path == str(tmp_path), "what an adapter is of"
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        said, wanted = again(ids).logits.float(), llama(ids).logits
    assert (said - wanted).abs().max() < 0.05 * wanted.std()
    assert not torch.equal(said, wanted), "eight bits are not all"
