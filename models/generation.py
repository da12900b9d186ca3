"""Greedy generation for a batch of prompts: keys and values cached, prompts reused, a deadline, nothing else.

It works on token ids and knows nothing of glosses. What a caller may say at each step is given as a mask per row.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

CachedPrompt = list[tuple[Tensor, Tensor]]
"""Keys and values of one prompt, a pair a layer, each (heads, tokens, width)."""


@dataclass(frozen=True)
class Written:
    """Ids that one row generated (the end id left out) and the natural-log probability of each."""

    ids: tuple[int, ...]
    log_probs: tuple[float, ...]


class PromptCache:
    """Keys and values of the prompts seen last, so that a growing draft only pays for its new tokens."""

    def __init__(self, capacity: int = 64) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[tuple[int, ...], CachedPrompt] = OrderedDict()

    def longest(self, ids: Sequence[int]) -> tuple[int, CachedPrompt | None]:
        """Length of the longest cached beginning of `ids` and its keys; at least one id stays to be computed."""
        best, found = 0, None
        for known, states in self._entries.items():
            common = _common(known, ids[:-1])
            if common > best:
                best, found = common, states
        if found is None:
            return 0, None
        return best, [(keys[:, :best], values[:, :best]) for keys, values in found]

    def put(self, ids: Sequence[int], states: CachedPrompt) -> None:
        self._entries[tuple(ids)] = states
        self._entries.move_to_end(tuple(ids))
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))


@dataclass
class _Batch:
    """Rows of one generation: the cache, which of its columns are real (rows, columns), next positions (rows,)."""

    cache: DynamicCache
    seen: Tensor
    position: Tensor


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    allowed: Tensor,
    end_id: int,
    longest: Sequence[int],
    deadline: float | None = None,
    prompt_cache: PromptCache | None = None,
) -> list[Written | None]:
    """Continues every prompt greedily until `end_id` or its `longest` count of tokens.

    `allowed` (rows, vocabulary) bool: ids that a row may say. `deadline` is a reading of `time.monotonic()`; rows that
    are not finished by then are None. Prompts must not be empty.
    """
    assert all(prompts) and len(prompts) == len(allowed) == len(longest), (len(prompts), allowed.shape)
    batch, logits = _read_prompts(model, prompts, prompt_cache or PromptCache(0))
    rows = len(prompts)
    ids: list[list[int]] = [[] for _ in range(rows)]
    log_probs: list[list[float]] = [[] for _ in range(rows)]
    done = [False] * rows
    while True:
        scores = torch.log_softmax(logits.float().masked_fill(~allowed, -torch.inf), -1)
        best, chosen = scores.max(-1)
        for row, (token, log_prob) in enumerate(zip(chosen.tolist(), best.tolist(), strict=True)):
            if done[row]:
                continue
            if token == end_id:
                done[row] = True
            else:
                ids[row].append(token)
                log_probs[row].append(log_prob)
                done[row] = len(ids[row]) >= longest[row]
        if all(done) or (deadline is not None and time.monotonic() >= deadline):
            break
        logits = _advance(model, batch, chosen)
    finished = zip(done, ids, log_probs, strict=True)
    return [Written(tuple(said), tuple(logs)) if over else None for over, said, logs in finished]


def _read_prompts(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], known: PromptCache
) -> tuple[_Batch, Tensor]:
    """Runs the prompts, each behind its cached beginning; columns are [padding, cached][padding, new] in every row."""
    device = model.device
    found = [known.longest(prompt) for prompt in prompts]
    before = max(length for length, _ in found)
    after = max(len(prompt) - length for prompt, (length, _) in zip(prompts, found, strict=True))
    ids = torch.zeros(len(prompts), after, dtype=torch.long)
    seen = torch.zeros(len(prompts), before + after, dtype=torch.long)
    position = torch.zeros(len(prompts), after, dtype=torch.long)
    for row, (prompt, (length, _)) in enumerate(zip(prompts, found, strict=True)):
        new = len(prompt) - length
        ids[row, after - new :] = torch.tensor(prompt[length:])
        seen[row, before - length : before] = 1
        seen[row, before + after - new :] = 1
        position[row, after - new :] = torch.arange(length, len(prompt))
    cache = DynamicCache()
    if before:
        _fill(cache, found, before)
    seen = seen.to(device)
    output = model(
        input_ids=ids.to(device),
        attention_mask=seen,
        position_ids=position.to(device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    _remember(cache, seen, prompts, known)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    return _Batch(cache, seen, lengths), output.logits[:, -1]


def _fill(cache: DynamicCache, found: list[tuple[int, CachedPrompt | None]], before: int) -> None:
    """Puts the cached beginnings, padded on the left to `before` columns, into an empty cache."""
    first = next(states for _, states in found if states is not None)
    for layer, (keys, values) in enumerate(first):
        rows_of_keys = keys.new_zeros(len(found), keys.shape[0], before, keys.shape[2])
        rows_of_values = values.new_zeros(len(found), values.shape[0], before, values.shape[2])
        for row, (length, states) in enumerate(found):
            if states is not None:
                rows_of_keys[row, :, before - length :] = states[layer][0]
                rows_of_values[row, :, before - length :] = states[layer][1]
        cache.update(rows_of_keys, rows_of_values, layer)


def _remember(cache: DynamicCache, seen: Tensor, prompts: Sequence[Sequence[int]], known: PromptCache) -> None:
    for row, prompt in enumerate(prompts):
        real = seen[row].bool()
        known.put(prompt, [(layer.keys[row][:, real], layer.values[row][:, real]) for layer in cache.layers])


def _advance(model: PreTrainedModel, batch: _Batch, chosen: Tensor) -> Tensor:
    """Feeds the chosen ids (rows,), gives the next logits (rows, vocabulary)."""
    batch.seen = torch.cat([batch.seen, batch.seen.new_ones(len(batch.seen), 1)], 1)
    output = model(
        input_ids=chosen[:, None],
        attention_mask=batch.seen,
        position_ids=batch.position[:, None],
        past_key_values=batch.cache,
        use_cache=True,
    )
    batch.position = batch.position + 1
    logits: Tensor = output.logits[:, -1]
    return logits
