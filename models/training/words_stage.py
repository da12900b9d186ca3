"""The word-level writer of one real corpus, PHOENIX-2014T: German weather forecasts from the glosses of DGS, learned from the
7,096 pairs of its train file alone. Every seed is a voice of its own (`models.word_writer`).

Against learning by heart: dropout, glosses left out or made unknown, words said so far made unknown, smoothed labels, averaged
weights; `word_starts` has what the tables begin with. 300 lines of the train file are kept to choose settings with; the dev
file is only measured.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding
from transformers import MarianMTModel

from models.evaluation.scores import bleu
from models.training.loop import RUNS, Run, Schedule, device_of, learn, moved
from models.training.text_data import held_out, read
from models.training.word_starts import Parts, start_vectors
from models.word_writer import (
    END_ID,
    PAD_ID,
    SPECIAL,
    START_ID,
    UNKNOWN_ID,
    VOCABULARY,
    Shape,
    Words,
    WordWriter,
    ids_of,
    network,
    padded,
)  # fmt: skip

DIALECT = "phoenix"
MET = 2
"""Times that a gloss or a word must be met to be known."""
KEPT, KEPT_SHARE = 300, 20
Pair = tuple[Sequence[str], str]


@dataclass(frozen=True)
class Recipe:
    """How it is learned; shares are of tokens, `width_of_batch` of ids with padding."""

    shape: Shape = Shape()
    learning_rate: float = 1e-3
    dropout: float = 0.25
    smoothing: float = 0.1
    glosses_dropped: float = 0.06
    glosses_unknown: float = 0.04
    words_unknown: float = 0.08
    width_of_batch: int = 750


@dataclass(frozen=True)
class Batch:
    """`glosses` (rows, columns), `said` (rows, words) that begins with START_ID, `wanted` (rows, words) ends with END_ID."""

    glosses: Tensor
    said: Tensor
    wanted: Tensor


class Learner(nn.Module):
    """The network with tables that are its own plus what tokens share; `merged` has them in one."""

    def __init__(
        self, words: Words, recipe: Recipe, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], seed: int
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.network = network(
            words, recipe.shape, dropout=recipe.dropout, attention_dropout=0.0, activation_dropout=0.0
        )
        for name, value in self.network.named_parameters():
            if value.ndim == 2 and "embed" not in name:
                nn.init.xavier_uniform_(value)
        tokens = (*words.gloss_table, *words.word_table)
        self.parts = Parts(tokens, recipe.shape.width)
        self.bias = nn.Parameter(torch.zeros(len(words.word_table)))
        self._first_word = len(words.gloss_table)
        with torch.no_grad():
            starts = start_vectors(pairs, len(tokens), recipe.shape.width, seed)
            halves = starts[: self._first_word], starts[self._first_word :]
            for table, part in zip(self._own(), halves, strict=True):
                table.normal_(std=0.1 * recipe.shape.width**-0.5).add_(part)

    def _own(self) -> tuple[Tensor, Tensor]:
        model = self.network.model
        return model.encoder.embed_tokens.weight, model.decoder.embed_tokens.weight

    def tables(self) -> tuple[Tensor, Tensor]:
        """Vectors of glosses and of words."""
        glosses, words = self._own()
        shared = self.parts()
        return glosses + shared[: self._first_word], words + shared[self._first_word :]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (real words, known words) and what is wanted there (real words,)."""
        glosses, words = self.tables()
        scale = glosses.shape[1] ** 0.5  # Marian's encoder leaves what it is given as it is, its decoder scales it
        hidden = self.network.model(
            inputs_embeds=scale * embedding(batch.glosses, glosses), attention_mask=(batch.glosses != PAD_ID).long(),
            decoder_inputs_embeds=embedding(batch.said, words), use_cache=False,
        ).last_hidden_state  # fmt: skip
        real = batch.wanted != PAD_ID
        return hidden[real] @ words.T.to(hidden.dtype) + self.bias, batch.wanted[real]

    @torch.no_grad()
    def merged(self) -> MarianMTModel:
        """The network alone, as a writer has it."""
        for own, table in zip(self._own(), self.tables(), strict=True):
            own.copy_(table)
        self.network.final_logits_bias.copy_(self.bias[None])
        self.network.tie_weights()
        return self.network


def train(
    data: Path, out: Path, *, minutes: float = 60.0, seed: int = 0, recipe: Recipe | None = None
) -> dict[str, float]:
    """Writes `out`/words.json, shape.json and words.SEED.safetensors; resumes from runs/words_phoenix_SEED.ckpt. Where `out`
    has voices of other seeds, this one joins them.

    Minutes are of processor time. Gives BLEU-4 (`tok:none`) of all voices together on the kept lines and on the dev file.
    ValueError if `out` holds other weights.
    """
    recipe = recipe or Recipe()
    pairs, kept = split(read(data, DIALECT).plain[DIALECT])
    words = words_of(pairs)
    check_fits(out, words, recipe.shape)
    numbered = [(ids_of(glosses, words.gloss_table), ids_of(text.split(), words.word_table)) for glosses, text in pairs]
    run = Run(f"words_phoenix_{seed}", Learner(words, recipe, standing(numbered, words), seed), seed, RUNS)
    schedule = Schedule(
        minutes, recipe.learning_rate, weight_decay=0.01, warmup_minutes=min(1.0, minutes / 20), average_decay=0.997,
        save_every_s=120, clock=time.process_time,
    )  # fmt: skip
    learned = learn(run, schedule, batches(numbered, recipe, seed + run.steps), partial(loss_of, recipe.smoothing))
    assert isinstance(learned, Learner), type(learned)
    WordWriter([learned.merged()], words, recipe.shape).save(out, seed=seed)
    writer = WordWriter.load(out)  # in eight bits, as it will be used
    figures = {"bleu4_kept": score(writer, kept), "kept": float(len(kept))}
    return {**figures, "bleu4": score(writer, held_out(data, DIALECT))}


def check_fits(out: Path, words: Words, shape: Shape) -> None:
    """ValueError if a voice of these cannot stand in `out`."""
    if (out / "llm").is_dir():
        raise ValueError(f"{out} holds the live captions' weights: give the writer a folder of its own with --out")
    if (out / VOCABULARY).is_file() and (Words.load(out) != words or Shape.load(out) != shape):
        raise ValueError(
            f"{out} holds voices of other words or another shape: give this one a folder of its own with --out"
        )


def split(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """What is learned from, and lines to choose with: KEPT of them, at most one of KEPT_SHARE; the same ones for every seed,
    so that writers of several seeds know the same words."""
    mixed = random.Random(0).sample(pairs, len(pairs))
    count = max(1, min(KEPT, len(mixed) // KEPT_SHARE))
    return mixed[count:], mixed[:count]


def words_of(pairs: Sequence[Pair]) -> Words:
    """Glosses and words that are met at least MET times, the frequent ones first."""
    glosses = Counter(gloss for line, _ in pairs for gloss in line)
    words = Counter(word for _, text in pairs for word in text.split())
    known = [tuple(one for one, count in counts.most_common() if count >= MET) for counts in (glosses, words)]
    return Words(DIALECT, *known)


def standing(
    numbered: Sequence[tuple[Sequence[int], Sequence[int]]], words: Words
) -> list[tuple[list[int], list[int]]]:
    """Pairs as `start_vectors` reads them: known tokens alone, ids of words behind those of glosses."""
    first, after = len(SPECIAL), len(words.gloss_table)
    return [
        ([one for one in glosses if one >= first], [after + one for one in said if one >= first])
        for glosses, said in numbered
    ]


def batches(numbered: Sequence[tuple[list[int], list[int]]], recipe: Recipe, seed: int) -> Iterator[Batch]:
    """Endless batches of pairs of like length, varied anew each time."""
    rng = random.Random(seed)
    while True:
        order = sorted(numbered, key=lambda pair: len(pair[1]) + 3 * rng.random())
        groups: list[list[tuple[list[int], list[int]]]] = [[]]
        width = 0
        for pair in order:
            width = max(width, *map(len, pair))
            if groups[-1] and width * (len(groups[-1]) + 1) > recipe.width_of_batch:
                groups.append([])
                width = max(map(len, pair))
            groups[-1].append(pair)
        for group in rng.sample(groups, len(groups)):
            yield batch_of([varied(pair, recipe, rng) for pair in group])


def varied(
    pair: tuple[list[int], list[int]], recipe: Recipe, rng: random.Random
) -> tuple[list[int], list[int], list[int]]:
    """(glosses, words said, words wanted), some glosses left out, some glosses and words said made unknown."""
    glosses, wanted = pair
    seen = [one for one in glosses[:-1] if rng.random() >= recipe.glosses_dropped] or glosses[:1]
    seen = [UNKNOWN_ID if rng.random() < recipe.glosses_unknown else one for one in seen]
    said = [UNKNOWN_ID if rng.random() < recipe.words_unknown else one for one in wanted[:-1]]
    return [*seen, END_ID], [START_ID, *said], wanted


def batch_of(rows: Sequence[tuple[list[int], list[int], list[int]]]) -> Batch:
    return Batch(*(padded(column) for column in zip(*rows, strict=True)))


def loss_of(smoothing: float, module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
    """Label-smoothed cross-entropy a word."""
    logits, wanted = module(moved(batch, device_of(module)))
    right = (logits.argmax(-1) == wanted).float().mean()
    return cross_entropy(logits.float(), wanted, label_smoothing=smoothing), {"right": right.detach()}


def score(writer: WordWriter, rows: Sequence[Pair]) -> float:
    """BLEU-4 over the corpus's own words, as published figures have it."""
    texts = writer.write([list(glosses) for glosses, _ in rows])
    return bleu(texts, [text for _, text in rows], tokenize="none")[0]
