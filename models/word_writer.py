"""Sentences of one real corpus written word by word: small encoder-decoders (transformers' Marian, Vaswani et al. 2017) from
glosses to words, each with a vocabulary of its own. Several voices of one folder say together what comes next, by the mean of
their probabilities; of ten sentences found by beam search the one that is most like the others is said (`models.consensus`).

For a corpus with one narrow topic whole words are shorter and easier to learn than pieces; a word that was met once cannot be
written. On disk matrices have eight bits with a scale a row, and each voice a file of its own, named by its seed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, MarianConfig, MarianMTModel
from transformers.modeling_outputs import BaseModelOutput

from models import packed
from models.consensus import consensus
from models.prefix_lm import Beams
from models.refine import RefinerError

PAD_ID, START_ID, END_ID, UNKNOWN_ID = range(4)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
VOCABULARY, VOICE, SHAPE = "words.json", f"words.{{}}{packed.ENDING}", "shape.json"
BATCH, BEAMS, LONGEST = 32, 10, 60


@dataclass(frozen=True)
class Shape:
    """Width of the residual stream, inner width of its layers, layers on each side, heads."""

    width: int = 256
    inner: int = 512
    layers: int = 2
    heads: int = 4

    @staticmethod
    def load(folder: Path) -> Shape:
        return Shape(**json.loads((folder / SHAPE).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Words:
    """Known glosses and known words; an id is a place in SPECIAL followed by them."""

    dialect: str
    glosses: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def gloss_table(self) -> tuple[str, ...]:
        return (*SPECIAL, *self.glosses)

    @property
    def word_table(self) -> tuple[str, ...]:
        return (*SPECIAL, *self.words)

    def save(self, folder: Path) -> None:
        held = {"dialect": self.dialect, "glosses": self.glosses, "words": self.words}
        (folder / VOCABULARY).write_text(json.dumps(held, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Words:
        held = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        return Words(held["dialect"], tuple(held["glosses"]), tuple(held["words"]))


def ids_of(tokens: Sequence[str], table: Sequence[str]) -> list[int]:
    """Ids with END_ID behind them; what is not in the table is UNKNOWN_ID."""
    index = {token: place for place, token in enumerate(table)}
    return [*(index.get(token, UNKNOWN_ID) for token in tokens), END_ID]


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """(rows, longest) ids, PAD_ID behind the shorter ones."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD_ID] * (longest - len(row))] for row in rows])


def network(words: Words, shape: Shape, **dropout: float) -> MarianMTModel:
    """An untrained network for the vocabularies; `dropout` as MarianConfig names it."""
    config = MarianConfig(
        vocab_size=len(words.gloss_table), decoder_vocab_size=len(words.word_table), d_model=shape.width,
        encoder_layers=shape.layers, decoder_layers=shape.layers, encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads, encoder_ffn_dim=shape.inner, decoder_ffn_dim=shape.inner,
        activation_function="relu", max_position_embeddings=256, share_encoder_decoder_embeddings=False,
        scale_embedding=True, pad_token_id=PAD_ID, eos_token_id=END_ID, decoder_start_token_id=START_ID,
        bos_token_id=START_ID, forced_eos_token_id=None, attn_implementation="sdpa", **dropout,
    )  # fmt: skip
    return MarianMTModel(config)


class WordWriter:
    """Writes sentences in one dialect, by one voice or more that know the same words. One caller at a time."""

    def __init__(self, voices: Sequence[MarianMTModel], words: Words, shape: Shape) -> None:
        self.voices, self.words, self._shape, self.dialect = [one.eval() for one in voices], words, shape, words.dialect

    @staticmethod
    def is_in(folder: Path, dialect: str) -> bool:
        """Whether `folder` holds a writer of `dialect`."""
        return (folder / VOCABULARY).is_file() and Words.load(folder).dialect == dialect

    def save(self, folder: Path, *, seed: int = 0) -> None:
        """The voices as those of `seed` and the seeds behind it; voices of other seeds in `folder` stay."""
        folder.mkdir(parents=True, exist_ok=True)
        self.words.save(folder)
        (folder / SHAPE).write_text(json.dumps(vars(self._shape)) + "\n", encoding="utf-8")
        for number, voice in enumerate(self.voices, start=seed):
            state = {name: value for name, value in voice.state_dict().items() if not _is_left_out(name)}
            packed.write(folder / VOICE.format(number), packed.rounded(state))

    @classmethod
    def load(cls, folder: Path) -> WordWriter:
        """All voices of `folder`. RefinerError says which file is missing, or which weights a file lacks."""
        for name in (VOCABULARY, SHAPE, VOICE.format("*")):
            if not any(folder.glob(name)):
                raise RefinerError(f"expected {folder / name}, but it is missing: make it with `signbind train words`")
        words, shape = Words.load(folder), Shape.load(folder)
        return cls([_voice(path, words, shape) for path in sorted(folder.glob(VOICE.format("*")))], words, shape)

    def write(self, rows: Sequence[Sequence[str]], *, beams: int = BEAMS) -> list[str]:
        """One sentence a line of glosses: the consensus of `beams` likely ones."""
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        found = [""] * len(rows)
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            for place, likely in zip(part, self._likely([rows[place] for place in part], beams), strict=True):
                sentences, scores = zip(*likely, strict=True)
                found[place] = " ".join(sentences[consensus(sentences, scores)])
        return found

    @torch.inference_mode()
    def _likely(self, rows: Sequence[Sequence[str]], beams: int) -> list[list[tuple[list[str], float]]]:
        """The best sentences of each row and their mean log-probabilities a word, by beam search."""
        glosses, table = self.words.gloss_table, self.words.word_table
        asked = padded([ids_of(row, glosses) for row in rows])
        says = torch.tensor([END_ID, *range(len(SPECIAL), len(table))])
        voices = [Reading(voice, asked, beams) for voice in self.voices]
        found = Beams.of(torch.full((len(rows), 1), START_ID), beams, 1.0, says, END_ID)
        for left in reversed(range(LONGEST)):
            chances = torch.stack([voice.chances(found.ids[:, -1:]) for voice in voices]).mean(0)
            order = found.grow(chances[:, says].log(), torch.full((len(rows),), left == 0))
            if bool(found.done.all()):
                break
            for voice in voices:
                voice.reorder(order)
        return [[([table[one] for one in ids], score) for ids, score in row] for row in found.answers(END_ID)]


class Reading:
    """One voice in a beam search over lines of glosses (lines, places), each with `beams` sentences so far."""

    def __init__(self, voice: MarianMTModel, asked: Tensor, beams: int) -> None:
        self._voice, real = cast(Any, voice), (asked != PAD_ID).long()
        read = self._voice.model.encoder(input_ids=asked, attention_mask=real).last_hidden_state
        self._read = BaseModelOutput(last_hidden_state=read.repeat_interleave(beams, 0))
        self._real, self._said = real.repeat_interleave(beams, 0), EncoderDecoderCache(DynamicCache(), DynamicCache())

    def chances(self, newest: Tensor) -> Tensor:
        """Probabilities (lines x beams, words) of what follows the newest word (lines x beams, 1) and those given before."""
        answer = self._voice(
            encoder_outputs=self._read, attention_mask=self._real, decoder_input_ids=newest, past_key_values=self._said,
            use_cache=True,
        )  # fmt: skip
        return torch.softmax(answer.logits[:, -1], -1)

    def reorder(self, order: Tensor) -> None:
        """From here the sentences are those of `order` (lines x beams,)."""
        self._said.reorder_cache(order)


def _voice(path: Path, words: Words, shape: Shape) -> MarianMTModel:
    model = network(words, shape)
    kept = model.load_state_dict(packed.restored(packed.read(path)), strict=False)
    if lacking := [name for name in (*kept.missing_keys, *kept.unexpected_keys) if not _is_left_out(name)]:
        raise RefinerError(
            f"{path} does not fit {SHAPE} beside it, by {lacking[0]} first: make both with `signbind train words`"
        )
    model.tie_weights()
    return model


def _is_left_out(name: str) -> bool:
    """What is tied to another matrix, or computed."""
    return name.startswith("lm_head") or "embed_positions" in name
