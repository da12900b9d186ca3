"""Pairs as tensors: clean they are what the tokenizer says, with noise the English still fits the slots."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from models.hypothesis import Token
from models.prompts import gloss_line, prompt
from models.training.gloss_noise import LOOK_ALIKES, look_alikes
from models.training.language_pool import IGNORED, Batch, Doubt, Noise, Pool, batches, mixed, pool_of
from models.training.language_stage import encode, train_tokenizer
from models.training.text_pairs import Pair

PAIRS = [
    Pair("me name <fs1>", "my name is <fs1>."),
    Pair("<fs1> and <fs2> will marry today", "<fs1> and <fs2> will marry today."),
    Pair("he help <fs1>", "he helps <fs1>'s friend.", "where is Anna?"),
    Pair("must practice three hour", "you must practice three hours."),
]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(PAIRS * 3, 400)


@pytest.fixture(scope="module")
def pool(tokenizer: PreTrainedTokenizerFast) -> Pool:
    return pool_of([(0.5, Counter(PAIRS[:2])), (0.5, Counter(PAIRS[2:]))], ["I see."], tokenizer, seed=0)


def rows_of(batch: Batch) -> list[tuple[list[int], list[int]]]:
    rows = []
    for ids, labels in zip(batch.ids.tolist(), batch.labels.tolist(), strict=True):
        after = [label for label in labels if label != IGNORED]
        start = labels.index(after[0])
        assert ids[start : start + len(after)] == after
        rows.append((ids[:start], after))
    return rows


def test_without_noise_a_batch_is_what_the_tokenizer_makes(pool: Pool, tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    batch = next(batches(pool, 24, Noise(clean=1.0), told=(1.0, 0.0), drawn=2))
    wanted = [encode(pair, tokenizer) for pair in PAIRS]
    assert all(row in wanted for row in rows_of(batch))
    told = next(batches(pool, 24, Noise(clean=1.0), told=(0.0, 1.0), drawn=2))
    assert any("I see." in tokenizer.decode(before) for before, _ in rows_of(told))


def test_with_noise_slots_are_numbered_as_they_come_and_all_that_is_said_was_seen(
    pool: Pool, tokenizer: PreTrainedTokenizerFast
) -> None:
    torch.manual_seed(0)
    stream = batches(pool, 64, Noise(clean=0.0, most=1.0), told=(0.0, 0.0), drawn=1)
    seen_again, without = 0, 0
    for _ in range(6):
        for before, after in rows_of(next(stream)):
            pieces = tokenizer.convert_ids_to_tokens(before)
            slots = [piece for piece in pieces if piece.startswith("<fs")]
            assert slots == [f"<fs{number + 1}>" for number in range(len(slots))]
            said = [piece for piece in tokenizer.convert_ids_to_tokens(after) if piece.startswith("<fs")]
            assert set(said) <= set(slots)
            assert len(pieces) > 2
            seen_again += len(slots) > len(said)
            text = tokenizer.decode(after)
            without += "my name is" in text and not said
    assert seen_again > 3
    assert without > 3


def test_english_alone_has_empty_prompts_and_its_share_of_the_batches(
    pool: Pool, tokenizer: PreTrainedTokenizerFast
) -> None:
    torch.manual_seed(0)
    nothing = [Pair("", "she sees the dog."), Pair("", "we help."), Pair("dog", "the dog is here.")]
    alone = pool_of([(1.0, Counter(nothing))], ["I see."], tokenizer, seed=0)
    clean = Noise(clean=1.0)
    stream = mixed(batches(pool, 2, clean, (0.0, 0.0), 1), batches(alone, 2, clean, (0.0, 0.0), 1), 0.25)
    wanted = [encode(pair, tokenizer) for pair in nothing]
    kinds = [[row in wanted for row in rows_of(next(stream))] for _ in range(200)]
    assert all(len(set(kind)) == 1 for kind in kinds), "a batch is of one kind"
    assert 30 < sum(kind[0] for kind in kinds) < 70


def test_it_comes_back_from_its_file(pool: Pool, tmp_path: Path) -> None:
    pool.save(tmp_path / "pairs.npz")
    again = Pool.load(tmp_path / "pairs.npz")
    assert (again.glosses == pool.glosses).all()
    assert (again.context == pool.context).all()
    assert torch.allclose(again.weights, pool.weights)


def test_signs_of_one_mouthing_come_first_among_those_alike() -> None:
    alike = look_alikes()
    assert alike["HE"][0] == "SHE"
    assert alike["MUST"][:2] == ("NEED", "SHOULD")
    assert all(len(others) == LOOK_ALIKES and gloss not in others for gloss, others in alike.items())


def test_marks_stand_behind_signs_read_wrong_more_often_than_behind_others(
    pool: Pool, tokenizer: PreTrainedTokenizerFast
) -> None:
    torch.manual_seed(0)
    mark = tokenizer.convert_tokens_to_ids("?")
    stream = batches(pool, 64, Noise(clean=1.0), (0.0, 0.0), 1, Doubt(mark, wrong=1.0, right=0.0))
    assert not any(mark in before for before, _ in rows_of(next(stream)))
    noisy = Noise(clean=0.0, most=1.0, dropped=0.0, mistaken=1.0)
    before = [row for row, _ in rows_of(next(batches(pool, 64, noisy, (0.0, 0.0), 1, Doubt(mark, 1.0, 0.0))))]
    marked = [tokenizer.decode(row[:at]) for row in before for at, piece in enumerate(row) if piece == mark]
    assert len(marked) > 20
    assert not any(text.endswith(">") for text in marked), "spelled words bear no mark"


def test_the_mark_is_written_as_the_live_prompt_writes_it(pool: Pool, tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    mark = tokenizer.convert_tokens_to_ids("?")
    before = [
        row for row, _ in rows_of(next(batches(pool, 24, Noise(clean=1.0), (0.0, 0.0), 1, Doubt(mark, 0.0, 1.0))))
    ]
    tokens = [
        Token("ME", "sign", 0, 1, 0.5),
        Token("NAME", "sign", 0, 1, 0.5),
        Token("ANN", "fingerspelling", 0, 1, 0.5),
    ]
    live = tokenizer(prompt(gloss_line(tokens, 0.9)), add_special_tokens=False)["input_ids"]
    assert live in before
