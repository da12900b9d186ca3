"""One step of LLaMA over a flat list of tokens, compiled: the same function as transformers' LlamaForCausalLM (tested).

A small model's step on a processor is bound by reading its weights, and by the calls of some hundred small operations. Here it is
one call without the interpreter, and weights that bfloat16 can hold lie as such and are widened where they are read: all
sums are in fp32.

Tokens of all rows are one list. What is remembered lies in columns, in any order: `table` (rows, positions) says in which column
a row's position is, so nothing is padded, and a row joins or leaves without a copy (as in PagedAttention, Kwon et al. 2023).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kept import kept

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Matrix = NDArray[Any]
"""float32, or the upper halves of float32 as uint16, which is bfloat16."""


class Weights(NamedTuple):
    """Matrices are (layers, out, in), of the first two (vocabulary, dim); norms (layers, 2, dim) and (dim,)."""

    embedding: Matrix
    head: Matrix
    qkv: Matrix
    out: Matrix
    gate_up: Matrix
    down: Matrix
    norms: Floats
    norm: Floats


@kept
def write(
    weights: Any, shape: tuple[int, float], tokens: Any, table: Integers, turn: Any, cache: Any, logits: Floats
) -> None:
    """Runs new tokens and writes what they are followed by.

    `shape` is (heads, eps); `tokens` (ids, rows, positions, last): the tokens (tokens,), whose and where they are, a row's in
    their order, and after which of them `logits` (len(last), vocabulary) are wanted; `turn` cos and sin of all positions
    (positions, width / 2); `cache` keys and values (layers, columns, dim), where the tokens' own columns are written.
    """
    heads, eps = shape
    ids, rows, positions, last = tokens
    keys, values = cache
    count, dim = len(ids), weights.embedding.shape[1]
    room = np.empty((3, count, dim), np.float32)
    steps, normed, mixed = room[0], room[1], room[2]
    for at in range(count):
        _widen(weights.embedding[ids[at]], steps[at])
    joined = np.empty((count, 3 * dim), np.float32)
    wide = np.empty((count, weights.gate_up.shape[1]), np.float32)
    for layer in range(len(weights.qkv)):
        _norm(steps, weights.norms[layer, 0], eps, normed)
        joined[:] = 0
        _add_product(normed, weights.qkv[layer], joined)
        _remember(joined, rows, positions, table, turn, heads, keys[layer], values[layer])
        _attend(joined, rows, positions, table, heads, keys[layer], values[layer], mixed)
        _add_product(mixed, weights.out[layer], steps)
        _norm(steps, weights.norms[layer, 1], eps, normed)
        wide[:] = 0
        _add_product(normed, weights.gate_up[layer], wide)
        _add_product(_gated(wide), weights.down[layer], steps)
    ends = np.empty((len(last), dim), np.float32)
    _norm(steps[last], weights.norm, eps, ends)
    logits[:] = 0
    _add_product(ends, weights.head, logits)


@kept
def _remember(
    joined: Floats, rows: Integers, positions: Integers, table: Integers, turn: Any, heads: int, keys: Floats,
    values: Floats,
) -> None:  # fmt: skip
    """Turns queries and keys (rotary positions, Su et al. 2021); keys and values go to the tokens' columns."""
    cos, sin = turn
    dim = joined.shape[1] // 3
    half = dim // heads // 2
    for at in range(len(joined)):
        of_cos, of_sin = cos[positions[at]], sin[positions[at]]
        for start in range(0, 2 * dim, 2 * half):
            first, second = joined[at, start : start + half], joined[at, start + half : start + 2 * half]
            for channel in range(half):
                one, other = first[channel], second[channel]
                first[channel] = one * of_cos[channel] - other * of_sin[channel]
                second[channel] = other * of_cos[channel] + one * of_sin[channel]
        column = table[rows[at], positions[at]]
        keys[column] = joined[at, dim : 2 * dim]
        values[column] = joined[at, 2 * dim :]


@kept
def _attend(
    joined: Floats, rows: Integers, positions: Integers, table: Integers, heads: int, keys: Floats, values: Floats,
    mixed: Floats,
) -> None:  # fmt: skip
    """Every token over its row's columns up to its own."""
    width = mixed.shape[1] // heads
    scale = np.float32(1 / math.sqrt(width))
    shares = np.empty(table.shape[1], np.float32)
    mixed[:] = 0
    for at in range(len(joined)):
        columns = table[rows[at], : positions[at] + 1]
        for start in range(0, heads * width, width):
            query, into = joined[at, start : start + width], mixed[at, start : start + width]
            for place in range(len(columns)):
                shares[place] = scale * _dot(query, keys[columns[place], start : start + width])
            _softmax(shares[: len(columns)])
            for place in range(len(columns)):
                share, value = shares[place], values[columns[place], start : start + width]
                for channel in range(width):
                    into[channel] += share * value[channel]


@kept
def _softmax(scores: Floats) -> None:
    highest = scores[0]
    for place in range(1, len(scores)):
        highest = max(highest, scores[place])
    total = np.float32(0)
    for place in range(len(scores)):
        scores[place] = math.exp(scores[place] - highest)
        total += scores[place]
    for place in range(len(scores)):
        scores[place] /= total


@kept
def _dot(one: Floats, other: Floats) -> np.float32:
    total = np.float32(0)
    for channel in range(len(one)):
        total += one[channel] * other[channel]
    return total


@kept
def _norm(steps: Floats, weight: Floats, eps: float, into: Floats) -> None:
    """RMSNorm (Zhang and Sennrich 2019)."""
    for at in range(len(steps)):
        share = np.float32(1 / math.sqrt(_dot(steps[at], steps[at]) / len(weight) + eps))
        for channel in range(len(weight)):
            into[at, channel] = steps[at, channel] * share * weight[channel]


@kept
def _gated(wide: Floats) -> Floats:
    """silu(gate) * up of (tokens, gate and up)."""
    hidden = wide.shape[1] // 2
    out = np.empty((len(wide), hidden), np.float32)
    for at in range(len(wide)):
        for channel in range(hidden):
            gate = wide[at, channel]
            out[at, channel] = gate / (np.float32(1) + math.exp(-gate)) * wide[at, hidden + channel]
    return out


@kept
def _add_product(inputs: Floats, matrix: Matrix, into: Floats) -> None:
    """`into` (tokens, out) += inputs (tokens, in) times matrix (out, in), of which each line is read once."""
    lines = np.empty((4, inputs.shape[1]), np.float32)
    whole = len(matrix) // 4 * 4
    for out in range(0, whole, 4):
        for number in range(4):
            _widen(matrix[out + number], lines[number])
        _add_four(inputs, lines, into[:, out : out + 4])
    for out in range(whole, len(matrix)):
        _widen(matrix[out], lines[0])
        for at in range(len(inputs)):
            into[at, out] += _dot(inputs[at], lines[0])


@kept
def _add_four(inputs: Floats, lines: Floats, into: Floats) -> None:
    """`into` (tokens, 4) += inputs times four lines: eight sums at a time, of two tokens, so that none waits for itself."""
    count, size = inputs.shape
    first, second, third, fourth = lines[0], lines[1], lines[2], lines[3]
    for at in range(0, count - 1, 2):
        one, other = inputs[at], inputs[at + 1]
        a = b = c = d = e = f = g = h = np.float32(0)
        for channel in range(size):
            x, y = one[channel], other[channel]
            a += x * first[channel]
            b += x * second[channel]
            c += x * third[channel]
            d += x * fourth[channel]
            e += y * first[channel]
            f += y * second[channel]
            g += y * third[channel]
            h += y * fourth[channel]
        into[at, 0] += a
        into[at, 1] += b
        into[at, 2] += c
        into[at, 3] += d
        into[at + 1, 0] += e
        into[at + 1, 1] += f
        into[at + 1, 2] += g
        into[at + 1, 3] += h
    if count % 2:
        one = inputs[count - 1]
        a = b = c = d = np.float32(0)
        for channel in range(size):
            x = one[channel]
            a += x * first[channel]
            b += x * second[channel]
            c += x * third[channel]
            d += x * fourth[channel]
        into[count - 1, 0] += a
        into[count - 1, 1] += b
        into[count - 1, 2] += c
        into[count - 1, 3] += d


@kept
def _widen(line: Matrix, into: Floats) -> None:
    if line.itemsize == into.itemsize:
        into[:] = line
    else:
        bits = into.view(np.uint32)
        for channel in range(len(line)):
            bits[channel] = np.uint32(line[channel]) << np.uint32(16)
