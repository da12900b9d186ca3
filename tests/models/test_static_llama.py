"""The fixed-shape LLaMA writes what transformers' own writes, for prompts of any length in one batch."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from models.static_llama import Llama, LlamaSizes, Sentences

# peft asks transformers for a property that was renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

PROMPT, NEW = 9, 6
LENGTHS = torch.tensor([9, 3, 6])


def _model(**changes: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=61, num_key_value_heads=4, initializer_range=0.3, **sizes)
    for name, value in changes.items():
        setattr(config, name, value)
    return LlamaForCausalLM(config).eval()


def _adapted(targets: list[str]) -> Any:
    torch.manual_seed(3)
    lora = LoraConfig(r=3, lora_alpha=12, target_modules=targets, init_lora_weights=False)
    return get_peft_model(_model(), lora).eval()


@torch.no_grad()
def _greedy(model: Any, ids: list[int]) -> list[int]:
    """By the plainest way: the whole text again for every token."""
    for _ in range(NEW):
        ids = [*ids, int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[-NEW:]


@pytest.mark.parametrize("adapted", [False, True])
def test_it_writes_what_transformers_writes(adapted: bool) -> None:
    model = _adapted(["q_proj", "v_proj"]) if adapted else _model()
    ours = Llama.of(model)
    assert ours.sizes.lora_rank == (3 if adapted else 0)
    sentences = Sentences(ours, rows=3, prompt=PROMPT, new=NEW)
    for _ in range(2):  # the second batch finds what the first one left in the cache
        ids = torch.randint(0, 61, (3, PROMPT))
        counts: list[int] = []
        written = sentences.write(ids, LENGTHS, counts.append)
        assert counts == list(range(1, NEW + 1))
        expected = [_greedy(model, row[:length].tolist()) for row, length in zip(ids, LENGTHS, strict=True)]
        assert written.tolist() == expected
        assert len({tuple(row) for row in expected}) == 3, "rows that all say the same would prove little"


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LoRA on q_proj and v_proj, but got \['k_proj'\]"):
        Llama.of(_adapted(["k_proj"]))
    with pytest.raises(ValueError, match="as many key heads"):
        Llama.of(_model(num_key_value_heads=2))


def test_the_default_is_of_7b_parameters() -> None:
    sizes = LlamaSizes()
    assert sizes.parameters + sizes.vocabulary * sizes.dim == pytest.approx(6.74e9, rel=0.01)


def _padded(ids: Tensor, filler: int) -> Tensor:
    behind = torch.arange(PROMPT) >= LENGTHS[:, None]
    return ids.masked_fill(behind, filler)


def test_padding_does_not_matter() -> None:
    made = Llama.random(
        LlamaSizes(dim=32, layers=2, heads=2, hidden=64, vocabulary=99), torch.device("cpu"), torch.float32
    )
    ids = torch.randint(0, 99, (3, PROMPT))
    sentences = Sentences(made, rows=3, prompt=PROMPT, new=NEW)
    assert torch.equal(sentences.write(_padded(ids, 0), LENGTHS), sentences.write(_padded(ids, 7), LENGTHS))
    assert made.stored_bytes > 4 * made.sizes.parameters


def test_four_bits_stay_close() -> None:
    pytest.importorskip("bitsandbytes")
    torch.manual_seed(0)
    sizes = LlamaSizes(dim=128, layers=1, heads=2, hidden=256, vocabulary=99, lora_rank=0)
    exact = Llama.random(sizes, torch.device("cpu"), torch.float32)
    packed = exact.in_four_bits()
    assert packed.stored_bytes < exact.stored_bytes / 3
    inputs = torch.randn(5, 128)
    for name in ("qkv", "out", "gate_up"):
        matrix, weight = getattr(packed.layers[0], name), getattr(exact.layers[0], name)
        found, expected = matrix(inputs), inputs @ weight.t()
        assert torch.nn.functional.cosine_similarity(found.flatten(), expected.flatten(), 0) > 0.98
