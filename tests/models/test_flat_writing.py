"""The compiled step says what transformers says, for rows that come and go, with weights of either width."""

from __future__ import annotations

import itertools

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models.evaluation.gloss2text import held_out_grammar, request_of
from models.evaluation.networks import BUNDLED
from models.flat_llama import POSITIONS, FlatStep, flat_step
from models.flat_writing import FlatWriting
from models.generation import Asked, Writing, Written, write_all
from models.prompt_cache import PromptCache
from models.refine import Refiner

VOCABULARY, END = 41, 1  # not a multiple of the four lines that are read at a time
ANYTHING = torch.ones(VOCABULARY, dtype=torch.bool)
PROMPTS = [(3, 4, 5, 6, 7, 8, 9), (3, 9), (11,), (3, 4, 5, 12, 13), (21, 22, 23)]


def small(**other: object) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 1024,
        "initializer_range": 0.3, "eos_token_id": END,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **other})).eval()  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["half", "whole"])
def model(request: pytest.FixtureRequest) -> LlamaForCausalLM:
    """With weights that bfloat16 can hold, as the bundled ones are, and with others."""
    made = small()
    if request.param == "half":
        for weight in made.parameters():
            weight.data = weight.data.bfloat16().float()
    return made


def step_of(model: LlamaForCausalLM) -> FlatStep:
    step = flat_step(model)
    assert step is not None
    return step


def asked(key: int, longest: int = 12, allowed: torch.Tensor = ANYTHING) -> Asked:
    return Asked(key, PROMPTS[key % len(PROMPTS)], allowed, longest)


def plainly(model: LlamaForCausalLM, one: Asked) -> Written:
    """What transformers says."""
    writing = Writing(model, END, PromptCache(0))
    writing.join([one])
    while True:
        for _, written in writing.step():
            return written


def same(first: Written | None, second: Written) -> None:
    assert first is not None
    assert first.ids == second.ids
    assert first.log_probs == pytest.approx(second.log_probs, abs=1e-4)


def test_rows_that_join_late_say_what_transformers_says(model: LlamaForCausalLM) -> None:
    """Rows come one every other step, of all ages and lengths, and end at their own time; columns are used again."""
    rows = [asked(key, longest=4 + 3 * (key % 4)) for key in range(30)]
    writing, waiting = FlatWriting(step_of(model), END, PromptCache()), list(rows)
    found: dict[int, Written] = {}
    for step in itertools.count():
        if waiting and step % 2 == 0:
            writing.join([waiting.pop(0)])
        found |= dict(writing.step())
        if not len(writing) and not waiting:
            break
    assert found.keys() == {row.key for row in rows}
    for row in rows:
        same(found[row.key], plainly(model, row))
    assert writing.columns <= 256, "columns of rows that left were not taken again"


def test_rows_that_leave_do_not_change_the_others(model: LlamaForCausalLM) -> None:
    rows = [asked(key) for key in range(5)]
    writing = FlatWriting(step_of(model), END, PromptCache())
    found: dict[int, Written] = {}
    writing.join(rows)
    writing.step()
    writing.leave({0, 3, 77})
    assert len(writing) == 3
    writing.join([asked(8)])
    while len(writing):
        found |= dict(writing.step())
    assert found.keys() == {1, 2, 4, 8}
    for key in found:
        same(found[key], plainly(model, asked(key)))


def test_a_row_says_only_what_it_may(model: LlamaForCausalLM) -> None:
    few = torch.zeros(VOCABULARY, dtype=torch.bool)
    few[[5, 6]] = True
    rows = [asked(0, allowed=few), asked(1)]
    first, second = write_all(FlatWriting(step_of(model), END, PromptCache(0)), rows)
    assert first is not None
    assert set(first.ids) <= {5, 6} and len(first.ids) == 12
    same(second, plainly(model, asked(1)))


def test_a_known_beginning_is_not_read_again(model: LlamaForCausalLM) -> None:
    prompts, step = PromptCache(), step_of(model)
    write_all(FlatWriting(step, END, prompts), [Asked(0, (3, 4, 5), ANYTHING, 4)])
    longer, other = Asked(0, (3, 4, 5, 12, 13), ANYTHING, 6), Asked(1, (3, 9), ANYTHING, 6)
    first, second = write_all(FlatWriting(step, END, prompts), [longer, other])
    assert (prompts.tokens_asked, prompts.tokens_found) == (10, 4)
    same(first, plainly(model, longer))
    same(second, plainly(model, other))


def test_a_prompt_may_be_longer_than_the_angles_known_at_first(model: LlamaForCausalLM) -> None:
    without_end = ANYTHING.clone()
    without_end[END] = False
    prompt = tuple(2 + place % 30 for place in range(POSITIONS))
    [written] = write_all(FlatWriting(step_of(model), END, PromptCache()), [Asked(0, prompt, without_end, 5)])
    same(written, plainly(model, Asked(0, prompt, without_end, 5)))


@pytest.mark.parametrize(
    "other", [{"attention_bias": True}, {"num_key_value_heads": 1}, {"head_dim": 8}, {"hidden_act": "gelu"}]
)
def test_other_models_have_no_flat_step(other: dict[str, object]) -> None:
    assert flat_step(small(**other)) is None
    assert flat_step(small().bfloat16()) is None


def test_the_bundled_model_writes_the_same_sentences_either_way() -> None:
    fast, plain = Refiner.load(BUNDLED / "llm"), Refiner.load(BUNDLED / "llm")
    assert fast.step is not None
    plain.step = None
    requests = [request_of(tokens) for tokens, _ in held_out_grammar(24)]
    first, second = fast.refine(requests), plain.refine(requests)
    assert [one and one.text for one in first] == [one and one.text for one in second]
