"""Rows that join and leave a running batch say what they say alone, with whichever adapter each has."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaForCausalLM, PreTrainedModel

from models.generation import Asked, Writing, Written, write_all
from models.prompt_cache import PromptCache
from tests.models.small_llama import ANYTHING, END, VOCABULARY, alone, asked, one_after_the_other, same, small, without

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),  # peft's, of transformers
    pytest.mark.filterwarnings("ignore:Could not find a config file:UserWarning"),  # peft 0.20's, of models made here
]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return small()


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    """The model with two adapters, as they come from disk."""
    folder: Path = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("one", "two")):
        base = small()
        torch.manual_seed(seed)
        config = LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        get_peft_model(base, config).save_pretrained(folder / name)
    whole = PeftModel.from_pretrained(small(), folder / "one", adapter_name="one")
    whole.load_adapter(folder / "two", "two")
    return whole.eval()


def test_rows_that_join_late_say_what_they_say_alone(model: LlamaForCausalLM) -> None:
    """Rows come one every other step, of all ages and lengths, and end at their own time."""
    rows = [asked(key, longest=4 + 3 * (key % 4)) for key in range(10)]
    found = one_after_the_other(Writing(model, END, PromptCache()), rows)
    for row in rows:
        same(found[row.key], alone(model, row))


def test_rows_that_leave_do_not_change_the_others(model: LlamaForCausalLM) -> None:
    found = without(Writing(model, END, PromptCache()), [asked(key) for key in range(5)], {0, 3, 77}, asked(8))
    assert found.keys() == {1, 2, 4, 8}
    for key in found:
        same(found[key], alone(model, asked(key)))


def test_a_row_says_only_what_it_may(model: LlamaForCausalLM) -> None:
    few = torch.zeros(VOCABULARY, dtype=torch.bool)
    few[[5, 6]] = True
    first, second = write_all(Writing(model, END, PromptCache(0)), [asked(0, allowed=few), asked(1)])
    assert first is not None
    assert second is not None
    assert set(first.ids) <= {5, 6} and len(first.ids) == 12
    same(second, alone(model, asked(1)))


def test_a_batch_holds_rows_of_several_adapters_and_of_none(adapted: PreTrainedModel, model: LlamaForCausalLM) -> None:
    names = ("one", None, "two", "one", None)
    rows = [asked(0, adapter=name) for name in names]  # one prompt, so that only the adapter differs
    rows = [Asked(key, row.prompt, row.allowed, row.longest, row.adapter) for key, row in enumerate(rows)]
    writing = Writing(adapted, END, PromptCache())
    found: dict[int, Written] = {}
    writing.join(rows[:3])
    writing.step()
    writing.join(rows[3:])
    while len(writing):
        found |= dict(writing.step())
    for row in rows:
        same(found[row.key], alone(adapted, row))
    same(found[1], alone(model, asked(0)))
    assert found[0].log_probs != pytest.approx(found[1].log_probs, abs=1e-3)
    assert found[0].log_probs != pytest.approx(found[2].log_probs, abs=1e-3)


def test_a_known_beginning_is_not_read_again(model: LlamaForCausalLM) -> None:
    prompts = PromptCache()
    write_all(Writing(model, END, prompts), [Asked(0, (3, 4, 5), ANYTHING, 4)])
    assert (prompts.tokens_asked, prompts.tokens_found) == (3, 0)
    longer = Asked(0, (3, 4, 5, 12, 13), ANYTHING, 6)
    [written] = write_all(Writing(model, END, prompts), [longer])
    assert (prompts.tokens_asked, prompts.tokens_found) == (8, 3)
    assert written is not None
    same(written, alone(model, longer))


def test_prompts_of_one_adapter_are_unknown_to_another_and_old_ones_are_forgotten() -> None:
    states = [(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4))]
    prompts = PromptCache(capacity=2)
    prompts.put((1, 2, 3), "one", states)
    assert prompts.longest((1, 2, 3, 4), "two")[0] == prompts.longest((1, 2, 3, 4))[0] == 0
    assert prompts.longest((1, 2, 3, 4), "one")[0] == 3
    assert prompts.longest((1, 2, 3), "one")[0] == 2, "one id stays to be computed"
    prompts.put((5,), None, states)
    prompts.put((6,), None, states)
    assert prompts.longest((1, 2, 3, 4), "one")[0] == 0


def test_what_is_unfinished_at_the_deadline_is_none(model: LlamaForCausalLM) -> None:
    never = ANYTHING.clone()
    never[END] = False
    rows = [asked(0, longest=1, allowed=never), asked(1, longest=10_000, allowed=never)]
    first, second = write_all(Writing(model, END, PromptCache()), rows, time.monotonic())
    assert first is not None
    assert second is None
