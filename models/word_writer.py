"""Sentences of one real corpus written word by word: a small encoder-decoder (transformers' Marian, Vaswani et al. 2017) from
glosses to words, each with a vocabulary of its own; of ten sentences found by transformers' beam search the one that is most
like the others is said (`models.consensus`).

For a corpus with one narrow topic whole words are shorter and easier to learn than pieces; a word that was met once cannot be
written. On disk matrices have eight bits with a scale a row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import MarianConfig, MarianMTModel

from models.consensus import consensus
from models.refine import RefinerError

PAD_ID, START_ID, END_ID, UNKNOWN_ID = range(4)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
VOCABULARY, WEIGHTS, SHAPE = "words.json", "words.safetensors", "shape.json"
BATCH, BEAMS, LONGEST = 32, 10, 60
LEVELS = 127


@dataclass(frozen=True)
class Shape:
    """Width of the residual stream, inner width of its layers, layers on each side, heads."""

    width: int = 256
    inner: int = 512
    layers: int = 2
    heads: int = 4


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
    """Writes sentences in one dialect. One caller at a time."""

    def __init__(self, model: MarianMTModel, words: Words, shape: Shape) -> None:
        self.model, self.words, self._shape, self.dialect = model.eval(), words, shape, words.dialect

    @staticmethod
    def is_in(folder: Path, dialect: str) -> bool:
        """Whether `folder` holds a writer of `dialect`."""
        return (folder / VOCABULARY).is_file() and Words.load(folder).dialect == dialect

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.words.save(folder)
        (folder / SHAPE).write_text(json.dumps(vars(self._shape)) + "\n", encoding="utf-8")
        save_file(_in_eight_bits(self.model.state_dict()), folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> WordWriter:
        """RefinerError says which file is missing, or which weights a file lacks."""
        for name in (VOCABULARY, SHAPE, WEIGHTS):
            if not (folder / name).is_file():
                raise RefinerError(f"expected {folder / name}, but it is missing: make it with `signbind train words`")
        words, shape = Words.load(folder), Shape(**json.loads((folder / SHAPE).read_text(encoding="utf-8")))
        model = network(words, shape)
        kept = model.load_state_dict(_unpacked(load_file(folder / WEIGHTS)), strict=False)
        if lacking := [name for name in (*kept.missing_keys, *kept.unexpected_keys) if not _is_left_out(name)]:
            raise RefinerError(
                f"{folder / WEIGHTS} does not fit {SHAPE} beside it, by {lacking[0]} first: make both with `signbind train words`"
            )
        model.tie_weights()
        return cls(model, words, shape)

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
        found = cast(Any, self.model).generate(
            input_ids=asked, attention_mask=(asked != PAD_ID).long(), num_beams=beams, num_return_sequences=beams,
            length_penalty=1.0, max_length=LONGEST, do_sample=False, early_stopping=False,
            suppress_tokens=[PAD_ID, START_ID, UNKNOWN_ID], return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        said = [[table[one] for one in line if one >= len(SPECIAL)] for line in found.sequences.tolist()]
        pairs = list(zip(said, found.sequences_scores.tolist(), strict=True))
        return [pairs[start : start + beams] for start in range(0, len(pairs), beams)]


def _in_eight_bits(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 with "NAME.scale" (rows, 1); what is tied to another matrix or computed is left out."""
    held: dict[str, Tensor] = {}
    for name, value in state.items():
        if _is_left_out(name):
            continue
        if value.ndim == 2 and value.shape[0] > 1:
            scale = (value.abs().amax(1, keepdim=True) / LEVELS).clamp(min=1e-8)
            held[name], held[f"{name}.scale"] = (value / scale).round().to(torch.int8), scale
        else:
            held[name] = value.clone()
    return held


def _is_left_out(name: str) -> bool:
    """What is tied to another matrix, or computed."""
    return name.startswith("lm_head") or "embed_positions" in name


def _unpacked(held: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.float() * held[f"{name}.scale"] if value.dtype == torch.int8 else value
        for name, value in held.items()
        if not name.endswith(".scale")
    }
