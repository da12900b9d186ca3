"""A prompt is read in both directions, an answer never sees what comes after, rows and padding do not touch each other;
beam search agrees with the model's own probabilities."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models.prefix_lm import Example, answers, collate, search

END = 1
SAYS = torch.arange(1, 12)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    config._attn_implementation = "eager"
    return LlamaForCausalLM(config).eval()


def plain(*prompt: int, answer: tuple[int, ...] = (2,)) -> Example:
    return Example(prompt, answer, (*answer[1:], END))


def hidden(model: LlamaForCausalLM, *examples: Example) -> torch.Tensor:
    with torch.no_grad():
        return answers(model, collate(examples))


def test_the_whole_prompt_is_seen_in_both_directions(model: LlamaForCausalLM) -> None:
    first, last = plain(3, 5, 6, answer=(2, 7)), plain(3, 5, 9, answer=(2, 7))
    assert not torch.allclose(hidden(model, first), hidden(model, last))
    batch = collate([first])
    assert batch.seen[0, 0, 0, :3].all()  # the first piece sees the last one


def test_an_answer_never_sees_what_comes_after(model: LlamaForCausalLM) -> None:
    short, other = plain(3, 5, answer=(2, 7, 8)), plain(3, 5, answer=(2, 7, 9))
    one, two = hidden(model, short), hidden(model, other)
    torch.testing.assert_close(one[:, :2], two[:, :2])
    assert not torch.allclose(one[:, 2], two[:, 2])


@pytest.mark.parametrize("aligned", [False, True])
def test_rows_and_padding_do_not_touch_each_other(model: LlamaForCausalLM, aligned: bool) -> None:
    rows = [
        replace(plain(3, 5, answer=(2, 7)), aligned=aligned),
        replace(plain(3, 5, 6, 7, answer=(2, 8, 9)), aligned=aligned),
    ]
    together = hidden(model, *rows)
    torch.testing.assert_close(together[:1, :2], hidden(model, rows[0]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together[1:], hidden(model, rows[1]), atol=1e-5, rtol=1e-4)


def log_prob(model: LlamaForCausalLM, example: Example, ids: tuple[int, ...], *, ends: bool) -> float:
    """Of ids (and the end) over what may be said, by the training's own forward pass."""
    wanted = (*ids, END) if ends else ids
    whole = replace(example, answer=(2, *wanted[:-1]), wanted=wanted)
    logits = hidden(model, whole)[0] @ model.lm_head.weight.detach()[SAYS].T
    scores = torch.log_softmax(logits, -1)
    return float(sum(scores[step, one - 1] for step, one in enumerate(wanted)))


@pytest.mark.parametrize("aligned", [False, True])
def test_scores_are_the_models_own(model: LlamaForCausalLM, aligned: bool) -> None:
    asked = [replace(plain(*prompt), aligned=aligned) for prompt in ((3, 5), (3, 5, 6, 7), (3, 8, 4))]
    for example, lines in zip(asked, search(model, asked, SAYS, END, beams=3), strict=True):
        assert [score for _, score in lines] == sorted((score for _, score in lines), reverse=True)
        longest = len(example.prompt) - 1 if aligned else 12 + 3 * len(example.prompt)
        for ids, score in lines:
            ends = not aligned and len(ids) < longest
            count = len(ids) + ends
            if aligned and len(ids) < longest:
                continue  # it said the end's id as any other, which the reader leaves out
            assert score == pytest.approx(log_prob(model, example, ids, ends=ends) / count, abs=1e-4)


def test_one_beam_is_greedy_and_more_are_never_worse(model: LlamaForCausalLM) -> None:
    asked = [plain(3, 5, 6), plain(3, 9)]
    greedy, wide = (search(model, asked, SAYS, END, beams=beams) for beams in (1, 8))
    for example, one, many in zip(asked, greedy, wide, strict=True):
        ids: tuple[int, ...] = ()
        while len(ids) < 12 + 3 * len(example.prompt):
            logits = hidden(model, replace(example, answer=(2, *ids)))[0, -1] @ model.lm_head.weight[SAYS].T
            if (said := int(logits.argmax()) + 1) == END:
                break
            ids = (*ids, said)
        assert one[0][0] == ids
        assert many[0][1] >= one[0][1] - 1e-6


def test_another_voice_counts_as_told(model: LlamaForCausalLM) -> None:
    asked = [replace(plain(3, 5, 6), aligned=True), replace(plain(3, 9, 4, 7), aligned=True)]
    likes = torch.zeros(len(SAYS))
    likes[4] = 30.0

    def beside(ids: torch.Tensor, step: int) -> torch.Tensor:
        return likes.expand(len(ids), -1)

    for own, weight in ((None, 0.0), (model, 0.0), (model, 1.0)):
        found = search(own, asked, SAYS, END, beams=2, weight=weight, beside=beside)
        assert [lines[0][0] for lines in found] == [(5, 5), (5, 5, 5)]
    nothing = search(model, asked, SAYS, END, beams=2, beside=lambda ids, step: torch.zeros(len(ids), len(SAYS)))
    assert nothing == search(model, asked, SAYS, END, beams=2)
