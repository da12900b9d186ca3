"""A tiny Llama with random weights, prompts for it, and what it says of each: for tests of batches whose rows come and go."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from models.generation import Asked, Continues, Writing, Written
from models.prompt_cache import PromptCache

VOCABULARY, END = 41, 1  # not a multiple of the four lines that the compiled step reads at a time
ANYTHING = torch.ones(VOCABULARY, dtype=torch.bool)
PROMPTS = [(3, 4, 5, 6, 7, 8, 9), (3, 9), (11,), (3, 4, 5, 12, 13), (21, 22, 23)]


def small(**other: object) -> LlamaForCausalLM:
    """The same weights each time; `other` sizes than the usual."""
    torch.manual_seed(0)
    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 1024,
        "initializer_range": 0.3, "eos_token_id": END,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **other})).eval()  # type: ignore[arg-type]


def asked(key: int, longest: int = 12, adapter: str | None = None, allowed: torch.Tensor = ANYTHING) -> Asked:
    return Asked(key, PROMPTS[key % len(PROMPTS)], allowed, longest, adapter)


def alone(model: PreTrainedModel, one: Asked) -> Written:
    """What transformers says of this one in a batch of its own, nothing known before."""
    writing = Writing(model, END, PromptCache(0))
    writing.join([one])
    while True:
        if finished := writing.step():
            [(key, written)] = finished
            assert key == one.key
            return written


def same(first: Written | None, second: Written) -> None:
    assert first is not None
    assert first.ids == second.ids
    assert first.log_probs == pytest.approx(second.log_probs, abs=1e-4)


def one_after_the_other(writing: Continues, rows: Sequence[Asked]) -> dict[int, Written]:
    """What a batch says of rows that join it every other step, so that it holds rows of all ages."""
    waiting, found = list(rows), dict[int, Written]()
    for step in itertools.count():
        if waiting and step % 2 == 0:
            writing.join([waiting.pop(0)])
        found |= dict(writing.step())
        if not len(writing) and not waiting:
            break
    assert found.keys() == {row.key for row in rows}
    return found


def without(writing: Continues, rows: Sequence[Asked], leaving: Collection[int], later: Asked) -> dict[int, Written]:
    """What a batch says of rows of which some leave after a step, where then another one joins."""
    writing.join(rows)
    found = dict(writing.step())
    writing.leave(leaving)
    assert len(writing) == len({row.key for row in rows} - set(leaving))
    writing.join([later])
    while len(writing):
        found |= dict(writing.step())
    return found
