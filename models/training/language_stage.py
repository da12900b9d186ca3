"""The language model: a small Llama and its tokenizer, trained from nothing on pairs of glosses and English.

The loss is on the English alone: -log P(sentence, end | prompt), mean over its pieces.
"""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.evaluation.gloss2text import evaluate_held_out
from models.lexemes import FUNCTION_WORDS, Lexemes, bare, stem
from models.prompts import END, PAD, SPECIAL, prompt
from models.training.loop import RUNS, Run, Schedule, learn
from models.training.text_pairs import Corpora, Mix, Pair, mixed

IGNORED = -100


@dataclass(frozen=True)
class Size:
    """Five million parameters, 10 MB in bf16; embeddings are shared between input and output."""

    vocabulary: int = 4000
    width: int = 256
    inner: int = 640
    layers: int = 5
    heads: int = 4
    positions: int = 512

    def config(self, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
        return LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.width,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.heads,
            max_position_embeddings=self.positions,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            rms_norm_eps=1e-5,
        )


@dataclass(frozen=True)
class Batch:
    """Ids, mask and labels (rows, pieces), padded on the right; labels are IGNORED outside the English."""

    ids: Tensor
    mask: Tensor
    labels: Tensor


def train_tokenizer(pairs: Iterable[Pair], size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over both sides; slots and marks are single pieces that swallow the blank before them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, lstrip=True, special=True) for text in SPECIAL]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f" {text}" for pair in pairs for text in (pair.gloss, pair.english)), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False
    )


def encode(pair: Pair, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """(ids of the prompt, ids of the English and its end)."""
    texts = [prompt(pair.gloss, pair.context), f" {pair.english}{END}"]
    before, after = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return before, after


def collate(rows: Sequence[tuple[list[int], list[int]]], pad: int) -> Batch:
    width = max(len(before) + len(after) for before, after in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), IGNORED)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for row, (before, after) in enumerate(rows):
        length = len(before) + len(after)
        ids[row, :length] = torch.tensor(before + after)
        labels[row, len(before) : length] = torch.tensor(after)
        mask[row, :length] = 1
    return Batch(ids, mask, labels)


def batches(
    pairs: Iterator[Pair], tokenizer: PreTrainedTokenizerFast, rows: int, seed: int, pool: int = 16
) -> Iterator[Batch]:
    """Endless batches of rows of like length: `pool` batches are drawn, sorted by length and shuffled."""
    rng = random.Random(seed)
    while True:
        drawn = [encode(pair, tokenizer) for pair in islice(pairs, rows * pool)]
        drawn.sort(key=lambda row: len(row[0]) + len(row[1]))
        groups = [drawn[start : start + rows] for start in range(0, len(drawn), rows)]
        rng.shuffle(groups)
        for group in groups:
            yield collate(group, cast(int, tokenizer.pad_token_id))


def loss_of(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy (nats a piece); logits are computed for the pieces of the English alone."""
    llama = cast(LlamaForCausalLM, module)
    base = llama.get_base_model() if hasattr(llama, "get_base_model") else llama
    hidden = base.model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).last_hidden_state
    wanted = batch.labels[:, 1:]
    asked = wanted != IGNORED
    logits = base.lm_head(hidden[:, :-1][asked])
    return nn.functional.cross_entropy(logits, wanted[asked]), {}


def count_lexemes(pairs: Iterable[Pair], proper: frozenset[str], least: int = 3) -> Lexemes:
    """Which words say which gloss: those that come at least three times as often with it as chance would have it, in at
    least a tenth of its sentences, or that share its stem."""
    with_gloss: dict[str, int] = defaultdict(int)
    with_word: dict[str, int] = defaultdict(int)
    together: dict[tuple[str, str], int] = defaultdict(int)
    total = 0
    for pair in pairs:
        total += 1
        glosses = {gloss for gloss in pair.gloss.split() if not gloss.startswith("<")}
        words = {bare(word) for word in pair.english.split() if not word.startswith("<")} - {""}
        for word in words:
            with_word[word] += 1
        for gloss in glosses:
            with_gloss[gloss] += 1
            for word in words:
                together[gloss, word] += 1
    found: dict[str, set[str]] = defaultdict(set)
    for (gloss, word), count in together.items():
        lift = count * total / (with_gloss[gloss] * with_word[word])
        share = count / with_gloss[gloss]
        own = share * count / with_word[word]
        if count >= least and (
            stem(word) == stem(gloss) or (lift > 3 and own > 0.08 and word.lower() not in FUNCTION_WORDS)
        ):
            found[gloss.upper()].add(word)
    return Lexemes({gloss: frozenset(words) for gloss, words in found.items()}, proper)


def train(
    data: Path, out: Path, *, minutes: float = 40.0, seed: int = 0, permissive_only: bool = False
) -> dict[str, float]:
    """Trains into `out`/llm (transformers' files in bf16, words.json); resumes from runs/language.ckpt."""
    torch.set_num_threads(1)
    corpora = Corpora.read(data, permissive_only=permissive_only)
    folder = RUNS / "language_tokenizer"
    if (folder / "tokenizer.json").is_file() and (RUNS / "language.ckpt").is_file():
        tokenizer = cast(PreTrainedTokenizerFast, PreTrainedTokenizerFast.from_pretrained(folder))
    else:
        tokenizer = train_tokenizer(islice(mixed(corpora, Mix(), seed + 1), 40_000), Size().vocabulary)
        tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    run = Run("language", LlamaForCausalLM(Size().config(tokenizer)), seed, RUNS)
    stream = batches(mixed(corpora, Mix(), seed + run.steps), tokenizer, 48, seed)
    schedule = Schedule(minutes, learning_rate=2e-3, weight_decay=0.05, warmup_minutes=1.0, average_decay=0.995)
    module = learn(run, schedule, stream, loss_of)
    lexemes = count_lexemes(islice(mixed(corpora, Mix(aslg=0), seed + 2), 60_000), corpora.proper)
    save(cast(LlamaForCausalLM, module), tokenizer, lexemes, out / "llm")
    return evaluate_held_out(data, out / "llm", limit=400)


def save(module: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, lexemes: Lexemes, folder: Path) -> None:
    """Replaces the folder; weights in bf16, on a copy, so that the module can go on in fp32."""
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    half = LlamaForCausalLM(module.config)
    half.load_state_dict(module.state_dict())
    half.to(torch.bfloat16).save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    lexemes.save(fresh / "words.json")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
