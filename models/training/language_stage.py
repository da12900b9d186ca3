"""The language model: a small Llama and its tokenizer, trained from nothing on pairs of glosses and English.

The loss is on the English alone: -log P(sentence, end | prompt), mean over its pieces.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from models.evaluation.gloss2text import held_out_figures, keep_held_out
from models.lexemes import FUNCTION_WORDS, Lexemes, bare, stem
from models.names import show
from models.prompts import DOUBT, END, PAD, SPECIAL, lower_start, prompt
from models.quantised import pack, pretrained
from models.refine import Refiner
from models.synthetic.sentences import from_grammar
from models.training.language_pool import HARDER, IGNORED, Batch, Doubt, Noise, Pool, mixed, pool_of
from models.training.language_pool import batches as draw
from models.training.loop import RUNS, Run, Schedule, best_device, device_of, learn, moved
from models.training.text_pairs import TEXT_SHARES, Corpora, Pair, Shares, english_alone, grammar_pairs, swapped

PAIRS = RUNS / "language_pairs"
GRAMMAR_DRAWS = 150_000
TEXT_DRAWS = 15_000
TEXT_SHARE = 0.3
"""Of batches, those of English alone; the others keep what was learned of glosses."""
ROWS, ROWS_ON_GPU = 48, 384
DOUBTFUL_BELOW = 0.95
"""Of signs read wrong 6 in 10 have a lower posterior, of signs read right 1 in 20 (docs/experiments.md)."""


@dataclass(frozen=True)
class Size:
    """Six million parameters, 6 MB in eight bits; embeddings are shared between input and output."""

    vocabulary: int = 4000
    width: int = 256
    inner: int = 768
    layers: int = 6
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
    for row, (before, after) in enumerate(rows):
        length = len(before) + len(after)
        ids[row, :length] = torch.tensor(before + after)
        labels[row, len(before) : length] = torch.tensor(after)
    return Batch(ids, labels)


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
    """Cross-entropy (nats a piece); logits are computed for the pieces of the English alone.

    Rows are padded on the right, so a causal model needs no mask: what is real never sees the padding.
    """
    llama = cast(LlamaForCausalLM, module)
    base = llama.get_base_model() if hasattr(llama, "get_base_model") else llama
    batch = moved(batch, device_of(module))
    hidden = base.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    wanted = batch.labels[:, 1:]
    asked = wanted != IGNORED
    logits = base.lm_head(hidden[:, :-1][asked])
    return nn.functional.cross_entropy(logits.float(), wanted[asked]), {}


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


def prepare(
    data: Path, folder: Path = PAIRS, *, seed: int = 0, permissive_only: bool = False, start: Path | None = None
) -> dict[str, float]:
    """Writes all that training needs into `folder`: pairs.npz, a tokenizer (that of the model at `start`, if there is one),
    words.json, held_out.json.

    `folder` can go where `data` cannot; it is a few megabytes.
    """
    corpora = Corpora.read(data, permissive_only=permissive_only)
    sources = _sources(corpora, seed)
    pairs = [(pair, share * count / sum(held.values())) for share, held in sources for pair, count in held.items()]
    sample = random.Random(seed).choices([pair for pair, _ in pairs], [weight for _, weight in pairs], k=60_000)
    told = [from_grammar(np.random.default_rng([seed, place])).english for place in range(3000)]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = (
        tokenizer_of(start)
        if start is not None
        else train_tokenizer(
            [*sample, *(Pair(lower_start(text, corpora.proper), "") for text in told)], Size().vocabulary
        )
    )
    tokenizer.save_pretrained(folder)
    pool = pool_of(sources, [lower_start(text, corpora.proper) for text in told], tokenizer, seed)
    pool.save(folder / "pairs.npz")
    foreign = set(corpora.aslg)  # its glosses are not the lexicon's
    count_lexemes((pair for pair in sample if pair not in foreign), corpora.proper).save(folder / "words.json")
    keep_held_out(folder, None if permissive_only else data)
    return {"pairs": float(len(pool.glosses)), "pieces": float(len(tokenizer))}


def prepare_english(data: Path, folder: Path, *, seed: int = 0, permissive_only: bool = False) -> None:
    """Writes `folder`/english.npz, English alone, beside what `prepare` wrote."""
    rng = random.Random(seed)
    texts = english_alone(data, rng, draws=min(TEXT_DRAWS, GRAMMAR_DRAWS), permissive_only=permissive_only)
    sources = [(TEXT_SHARES[name], Counter(pairs)) for name, pairs in texts.items() if pairs]
    pool_of(sources, [texts["grammar"][0].english], tokenizer_of(folder), seed).save(folder / "english.npz")


def tokenizer_of(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer that lies in a folder."""
    return cast(PreTrainedTokenizerFast, PreTrainedTokenizerFast.from_pretrained(folder))


def _sources(corpora: Corpora, seed: int) -> list[tuple[float, Counter[Pair]]]:
    """Shares and pairs; the grammar's own are drawn often enough to hold nearly all that it can say."""
    drawn = list(islice(grammar_pairs(np.random.default_rng(seed), corpora.proper), GRAMMAR_DRAWS))
    swaps = swapped(drawn, random.Random(seed))
    held = {"grammar": drawn, "swapped": swaps, "lexicon": corpora.lexicon, "how2sign": corpora.how2sign,
            "ncslgr": corpora.ncslgr, "aslg": corpora.aslg}  # fmt: skip
    return [(share, Counter(held[name])) for name, share in asdict(Shares()).items() if held[name]]


@dataclass(frozen=True)
class Course:
    """What a language model is taught: `pairs`, recognition's noise, whether doubtful signs are marked, and the share of
    batches that are English alone (`text`). `name` is the run's, under which it resumes; `clock` is what counts as time
    spent."""

    name: str = "language"
    noise: Noise = Noise()
    marked: bool = False
    text: float = 0.0
    pairs: Path = PAIRS
    clock: Callable[[], float] = time.monotonic


def train(
    data: Path, out: Path, *, minutes: float = 40.0, seed: int = 0, permissive_only: bool = False,
    device: str | torch.device | None = None, size: Size | None = None, start: Path | None = None,
    learning_rate: float = 2e-3, course: Course = Course(), marked: bool = False,
    text_only: bool = False,
) -> dict[str, float]:  # fmt: skip
    """Trains into `out`/llm (packed weights, words.json); resumes from runs/language.ckpt. `start` is a model's
    folder to go on from, with a lower `learning_rate`, when the lexicon grew. `prepare` makes the course's pairs of `data`
    where they are missing. `marked`: with marks behind doubtful signs and HARDER noise. `text_only`: TEXT_SHARE of the batches
    are English alone, for function words that nobody signs. The model as it stands is written and measured with every save."""
    course = replace(course, marked=True, noise=HARDER) if marked else course
    course = replace(course, text=TEXT_SHARE) if text_only else course
    pairs = course.pairs
    if not (pairs / "held_out.json").is_file():
        prepare(data, pairs, seed=seed, permissive_only=permissive_only, start=start)
    if course.text and not (pairs / "english.npz").is_file():
        prepare_english(data, pairs, seed=seed, permissive_only=permissive_only)
    where = best_device(device)
    tokenizer = tokenizer_of(pairs)
    lexemes = replace(Lexemes.load(pairs / "words.json"), doubtful_below=DOUBTFUL_BELOW if course.marked else 0.0)
    torch.manual_seed(seed)
    fresh = LlamaForCausalLM((size or Size()).config(tokenizer))
    llama = fresh if start is None else cast(LlamaForCausalLM, pretrained(start, dtype=torch.float32))
    run = Run(course.name, llama, seed, RUNS, where)
    stream = _stream(course, tokenizer, where)

    def watch(run: Run) -> None:
        refiner = kept(run.average)
        print(
            f"{course.name} {run.spent_s / 60:.1f} min, step {run.steps}: {held_out_figures(refiner, pairs, limit=40)}"
        )

    def kept(module: nn.Module) -> Refiner:
        llama = cast(LlamaForCausalLM, module)
        save(llama, tokenizer, lexemes, out / "llm")
        return Refiner(llama, tokenizer, lexemes, show)

    warmup = min(1.0, minutes / 20)
    schedule = Schedule(
        minutes, learning_rate, weight_decay=0.05, warmup_minutes=warmup, average_decay=0.995, half_on_cpu=True,
        clock=course.clock,
    )  # fmt: skip
    module = learn(run, schedule, stream, loss_of, watch=watch)
    return held_out_figures(kept(module), pairs, limit=300 if where.type == "cuda" else 100)


def _stream(course: Course, tokenizer: PreTrainedTokenizerFast, where: torch.device) -> Iterator[Batch]:
    """The course's batches; English alone has no noise and no marks."""
    pool, rows = Pool.load(course.pairs / "pairs.npz").to(where), ROWS_ON_GPU if where.type == "cuda" else ROWS
    doubt = Doubt(_piece(tokenizer, DOUBT)) if course.marked else None
    usual = draw(pool, rows, course.noise, doubt=doubt)
    if not course.text:
        return usual
    alone = Pool.load(course.pairs / "english.npz").to(where)
    return mixed(usual, draw(alone, rows, Noise(clean=1.0), told=(0.0, 0.0)), course.text)


def _piece(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    """The id of a text that is one piece right behind a word."""
    [piece] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return int(piece)


def save(module: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, lexemes: Lexemes, folder: Path) -> None:
    """Replaces the folder; weights are packed."""
    disable_progress_bar()
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    module.config.save_pretrained(fresh)
    cast(GenerationConfig, module.generation_config).save_pretrained(fresh)
    pack(fresh, module)
    tokenizer.save_pretrained(fresh)
    lexemes.save(fresh / "words.json")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
