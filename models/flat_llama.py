"""The bundled language model's step on a processor: the weights of a transformers model as `llama_step` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.llama_step import Floats, Integers, Matrix, Weights, write
from models.static_llama import Llama, LlamaSizes, rotation

POSITIONS = 256
"""Positions whose angles are known from the start."""


@dataclass(frozen=True)
class FlatTokens:
    """New tokens of all rows in one list, each row's in their order: ids, rows and positions (tokens,); `last` (rows,) are the
    places of those after which logits are wanted."""

    ids: Integers
    rows: Integers
    positions: Integers
    last: Integers


class FlatStep:
    """A LLaMA's step over a flat list of tokens. It holds nothing of the rows, so many batches may share it."""

    def __init__(self, model: Llama) -> None:
        self.sizes = model.sizes
        self._weights = _weights(model)
        self._turn = _turn(model.sizes, POSITIONS)

    def __call__(self, tokens: FlatTokens, table: Integers, cache: tuple[Floats, Floats]) -> Floats:
        """Logits (len(last), vocabulary); `table` (rows, positions) says in which column of the cache, keys and values
        (layers, columns, dim), a position is; the tokens' own columns are written."""
        if table.shape[1] > len(self._turn[0]):
            self._turn = _turn(self.sizes, 2 * table.shape[1])
        logits = np.empty((len(tokens.last), self.sizes.vocabulary), np.float32)
        each = (tokens.ids, tokens.rows, tokens.positions, tokens.last)
        write(self._weights, (self.sizes.heads, self.sizes.eps), each, table, self._turn, cache, logits)
        return logits


def flat_step(model: Any) -> FlatStep | None:
    """The step of a language model of transformers; None where it is not a plain LLaMA in fp32 on a processor."""
    shape = model.config
    if getattr(model, "peft_config", {}) or shape.model_type != "llama" or not _is_plain(shape):
        return None
    if model.device.type != "cpu" or any(weight.dtype != torch.float32 for weight in model.parameters()):
        return None
    return FlatStep(Llama.of(model))


def _is_plain(shape: Any) -> bool:
    """Whether `Llama.of` has all that a model of this config computes."""
    heads = shape.num_key_value_heads == shape.num_attention_heads
    whole = shape.head_dim * shape.num_attention_heads == shape.hidden_size
    rotates = shape.rope_parameters.get("rope_type", "default") == "default"
    biased = shape.attention_bias or shape.mlp_bias
    return bool(heads and whole and rotates and not biased and shape.hidden_act == "silu")


def _weights(model: Llama) -> Weights:
    def stacked(name: str) -> Tensor:
        return torch.stack([getattr(layer, name) for layer in model.layers])

    embedding, head, *layers = _narrowed(
        [model.embedding, model.head, *(stacked(name) for name in ("qkv", "out", "gate_up", "down"))]
    )
    if model.embedding.data_ptr() == model.head.data_ptr():
        head = embedding
    norms = torch.stack([stacked("norm1"), stacked("norm2")], 1).numpy()
    return Weights(embedding, head, layers[0], layers[1], layers[2], layers[3], norms, model.norm.numpy())


def _narrowed(matrices: list[Tensor]) -> list[Matrix]:
    """As bfloat16 where that changes no weight of any of them, as they are else."""
    matrices = [matrix.contiguous() for matrix in matrices]
    if all(torch.equal(matrix.bfloat16().float(), matrix) for matrix in matrices):
        return [matrix.bfloat16().view(torch.int16).numpy().view(np.uint16) for matrix in matrices]
    return [matrix.numpy() for matrix in matrices]


def _turn(sizes: LlamaSizes, positions: int) -> tuple[Floats, Floats]:
    """cos and sin (positions, width / 2)."""
    turn, half = rotation(sizes, positions, torch.device("cpu")), sizes.dim // sizes.heads // 2
    return turn.cos[:, :half].contiguous().numpy(), turn.sin[:, half:].contiguous().numpy()
