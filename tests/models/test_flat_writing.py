"""The compiled step says what transformers says, for rows that come and go, with weights of either width."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaForCausalLM

from models.evaluation.gloss2text import held_out_grammar, request_of
from models.evaluation.networks import BUNDLED
from models.flat_llama import POSITIONS, FlatStep, flat_step
from models.flat_writing import FlatWriting
from models.generation import Asked, write_all
from models.prompt_cache import PromptCache
from models.refine import Refiner
from tests.models.small_llama import ANYTHING, END, VOCABULARY, alone, asked, one_after_the_other, same, small, without


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


def test_rows_that_join_late_say_what_transformers_says(model: LlamaForCausalLM) -> None:
    """Rows come one every other step, of all ages and lengths, and end at their own time; columns are used again."""
    rows = [asked(key, longest=4 + 3 * (key % 4)) for key in range(30)]
    writing = FlatWriting(step_of(model), END, PromptCache())
    found = one_after_the_other(writing, rows)
    for row in rows:
        same(found[row.key], alone(model, row))
    assert writing.columns <= 256, "columns of rows that left were not taken again"


def test_rows_that_leave_do_not_change_the_others(model: LlamaForCausalLM) -> None:
    writing = FlatWriting(step_of(model), END, PromptCache())
    found = without(writing, [asked(key) for key in range(5)], {0, 3, 77}, asked(8))
    assert found.keys() == {1, 2, 4, 8}
    for key in found:
        same(found[key], alone(model, asked(key)))


def test_a_row_says_only_what_it_may(model: LlamaForCausalLM) -> None:
    few = torch.zeros(VOCABULARY, dtype=torch.bool)
    few[[5, 6]] = True
    rows = [asked(0, allowed=few), asked(1)]
    first, second = write_all(FlatWriting(step_of(model), END, PromptCache(0)), rows)
    assert first is not None
    assert set(first.ids) <= {5, 6} and len(first.ids) == 12
    same(second, alone(model, asked(1)))


def test_a_known_beginning_is_not_read_again(model: LlamaForCausalLM) -> None:
    prompts, step = PromptCache(), step_of(model)
    write_all(FlatWriting(step, END, prompts), [Asked(0, (3, 4, 5), ANYTHING, 4)])
    longer, other = Asked(0, (3, 4, 5, 12, 13), ANYTHING, 6), Asked(1, (3, 9), ANYTHING, 6)
    first, second = write_all(FlatWriting(step, END, prompts), [longer, other])
    assert (prompts.tokens_asked, prompts.tokens_found) == (10, 4)
    same(first, alone(model, longer))
    same(second, alone(model, other))


def test_a_prompt_may_be_longer_than_the_angles_known_at_first(model: LlamaForCausalLM) -> None:
    without_end = ANYTHING.clone()
    without_end[END] = False
    prompt = tuple(2 + place % 30 for place in range(POSITIONS))
    [written] = write_all(FlatWriting(step_of(model), END, PromptCache()), [Asked(0, prompt, without_end, 5)])
    same(written, alone(model, Asked(0, prompt, without_end, 5)))


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
