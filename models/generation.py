"""Greedy generation for prompts that come and go: rows join and leave a running batch between its steps.

It works on token ids and knows nothing of glosses. What a row may say at each step is given as a mask. Keys and values
are cached and padded on the left, so that rows of any age share a batch (continuous batching as in Orca, Yu et al. 2022).

Why not transformers' own `generate_batch`: it is made for GPUs (its paged cache took 34 times as long as this on one core
for the bundled model's 64 sentences), takes numbers but no mask of allowed ids per request, and no adapter names of peft.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from models.prompt_cache import CachedPrompt, PromptCache

BASE = "__base__"
"""peft's name for rows without an adapter."""


@dataclass(frozen=True)
class Asked:
    """One prompt to be continued until the end id or `longest` tokens; `allowed` (vocabulary,) bool: ids it may say.

    `remember` keeps the prompt's keys and values for a later prompt that begins alike.
    """

    key: int
    prompt: tuple[int, ...]
    allowed: Tensor
    longest: int
    adapter: str | None = None
    remember: bool = True


@dataclass(frozen=True)
class Written:
    """Ids that one row generated (the end id left out) and the natural-log probability of each."""

    ids: tuple[int, ...]
    log_probs: tuple[float, ...]


@dataclass
class Row:
    """A row of the running batch, `position` its next token's; with `Writing` the cache's columns before `start` are padding."""

    asked: Asked
    position: int
    start: int = 0
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)


@dataclass
class Batch:
    """What the rows share on the device: the cache, real columns (rows, columns), allowed ids and next logits (rows,
    vocabulary)."""

    cache: DynamicCache
    seen: Tensor
    allowed: Tensor
    logits: Tensor

    @property
    def columns(self) -> int:
        return int(self.seen.shape[1])


class Writing:
    """Prompts being continued. `join` and `leave` at any time, `step` adds one token to every row. One thread only."""

    def __init__(self, model: PreTrainedModel, end_id: int, prompts: PromptCache) -> None:
        self._model, self._end_id, self._prompts = model, end_id, prompts
        self._takes_adapters = hasattr(model, "peft_config")
        self._rows: list[Row] = []
        self._batch: Batch | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @torch.inference_mode()
    def join(self, asked: Sequence[Asked]) -> None:
        """Reads the prompts (none may be empty), each behind its cached beginning; the rows speak from the next step."""
        assert all(one.prompt for one in asked), "a prompt must not be empty"
        if not asked:
            return
        rows, batch = self._read(asked)
        if self._batch is None:
            self._rows, self._batch = rows, batch
            return
        columns = max(self._batch.columns, batch.columns)
        for known, own in ((self._rows, self._batch), (rows, batch)):
            for row in known:
                row.start += columns - own.columns
            _pad(own, columns)
        self._rows, self._batch = [*self._rows, *rows], _joined(self._batch, batch)

    @torch.inference_mode()
    def leave(self, keys: Collection[int]) -> None:
        """Ends rows without a word; keys that are not here are left out."""
        self._keep([place for place, row in enumerate(self._rows) if row.asked.key not in keys])

    @torch.inference_mode()
    def step(self) -> list[tuple[int, Written]]:
        """One token more in every row; the rows that end with it, which have left."""
        if self._batch is None:
            return []
        finished, going = chosen(self._rows, self._batch.logits, self._batch.allowed, self._end_id)
        self._keep(going)
        self._advance()
        return finished

    def _keep(self, places: list[int]) -> None:
        """Drops all other rows, and the columns that only they used."""
        if len(places) == len(self._rows):
            return
        self._rows = [self._rows[place] for place in places]
        if self._batch is None or not places:
            self._batch = None
            return
        first = min(row.start for row in self._rows)
        for row in self._rows:
            row.start -= first
        kept = torch.tensor(places, device=self._batch.seen.device)
        for layer in self._batch.cache.layers:
            layer.keys, layer.values = layer.keys[kept, :, first:], layer.values[kept, :, first:]
        self._batch.seen = self._batch.seen[kept, first:]
        self._batch.allowed, self._batch.logits = self._batch.allowed[kept], self._batch.logits[kept]

    def _advance(self) -> None:
        """Feeds every row its newest id; leaves its next logits."""
        if self._batch is None:
            return
        batch, device = self._batch, self._batch.seen.device
        batch.seen = torch.cat([batch.seen, batch.seen.new_ones(len(batch.seen), 1)], 1)
        output = self._model(
            input_ids=torch.tensor([[row.ids[-1]] for row in self._rows], device=device),
            attention_mask=batch.seen,
            position_ids=torch.tensor([[row.position] for row in self._rows], device=device),
            past_key_values=batch.cache,
            use_cache=True,
            **self._adapters([row.asked for row in self._rows]),
        )
        for row in self._rows:
            row.position += 1
        batch.logits = output.logits[:, -1]

    def _read(self, asked: Sequence[Asked]) -> tuple[list[Row], Batch]:
        """Runs the prompts; columns are [padding, cached][padding, new] in every row."""
        device = self._model.device
        found = [self._prompts.longest(one.prompt, one.adapter) for one in asked]
        before = max(length for length, _ in found)
        after = max(len(one.prompt) - length for one, (length, _) in zip(asked, found, strict=True))
        ids, position = (torch.zeros(len(asked), after, dtype=torch.long) for _ in range(2))
        seen = torch.zeros(len(asked), before + after, dtype=torch.long)
        for place, (one, (length, _)) in enumerate(zip(asked, found, strict=True)):
            new = len(one.prompt) - length
            ids[place, after - new :] = torch.tensor(one.prompt[length:])
            position[place, after - new :] = torch.arange(length, len(one.prompt))
            seen[place, before - length : before] = 1
            seen[place, before + after - new :] = 1
        cache = DynamicCache()
        if before:
            _fill(cache, found, before)
        output = self._model(
            input_ids=ids.to(device), attention_mask=seen.to(device), position_ids=position.to(device),
            past_key_values=cache, use_cache=True, logits_to_keep=1, **self._adapters(asked),
        )  # fmt: skip
        self._remember(cache, seen, asked)
        rows = [Row(one, len(one.prompt), int(mask.argmax())) for one, mask in zip(asked, seen, strict=True)]
        allowed = torch.stack([one.allowed for one in asked]).to(device)
        return rows, Batch(cache, seen.to(device), allowed, output.logits[:, -1])

    def _remember(self, cache: DynamicCache, seen: Tensor, asked: Sequence[Asked]) -> None:
        for place, one in enumerate(asked):
            if one.remember:
                real = seen[place].nonzero()[:, 0].to(self._model.device)
                states = [(layer.keys[place][:, real], layer.values[place][:, real]) for layer in cache.layers]
                self._prompts.put(one.prompt, one.adapter, states)

    def _adapters(self, asked: Sequence[Asked]) -> dict[str, Any]:
        """peft runs rows of several adapters in one batch, when it is told whose each row is."""
        return {"adapter_names": [one.adapter or BASE for one in asked]} if self._takes_adapters else {}


class Continues(Protocol):
    """What `Writing` and `flat_writing.FlatWriting` both do."""

    def __len__(self) -> int: ...
    def join(self, asked: Sequence[Asked]) -> None: ...
    def leave(self, keys: Collection[int]) -> None: ...
    def step(self) -> list[tuple[int, Written]]: ...


def chosen(
    rows: Sequence[Row], logits: Tensor, allowed: Tensor, end_id: int
) -> tuple[list[tuple[int, Written]], list[int]]:
    """Gives every row the likeliest id that it may say, by logits and `allowed` (rows, vocabulary): what is finished with it,
    and the places of the rows that go on."""
    scores = torch.log_softmax(logits.float().masked_fill(~allowed, -torch.inf), -1)
    best, ids = scores.max(-1)
    finished: list[tuple[int, Written]] = []
    going: list[int] = []
    for place, (row, token, log_prob) in enumerate(zip(rows, ids.tolist(), best.tolist(), strict=True)):
        if token != end_id:
            row.ids.append(token)
            row.log_probs.append(log_prob)
        if token == end_id or len(row.ids) >= row.asked.longest:
            finished.append((row.asked.key, Written(tuple(row.ids), tuple(row.log_probs))))
        else:
            going.append(place)
    return finished, going


def write_all(writing: Continues, asked: Sequence[Asked], deadline: float | None = None) -> list[Written | None]:
    """All prompts in one batch; None for rows that are not finished at `deadline`, a reading of `time.monotonic()`.

    Their keys must be their places: 0, 1, ...
    """
    written: list[Written | None] = [None] * len(asked)
    writing.join(asked)
    while len(writing):
        for key, row in writing.step():
            written[key] = row
        if deadline is not None and time.monotonic() >= deadline:
            writing.leave(range(len(asked)))
    return written


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


def _pad(batch: Batch, columns: int) -> None:
    """Widens a batch on the left."""
    missing = columns - batch.columns
    if missing:
        batch.seen = torch.nn.functional.pad(batch.seen, (missing, 0))
        for layer in batch.cache.layers:
            layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, missing, 0))
            layer.values = torch.nn.functional.pad(layer.values, (0, 0, missing, 0))


def _joined(first: Batch, second: Batch) -> Batch:
    """The rows of both, of equally many columns, in the first one's cache."""
    for layer, other in zip(first.cache.layers, second.cache.layers, strict=True):
        layer.keys, layer.values = torch.cat([layer.keys, other.keys]), torch.cat([layer.values, other.values])
    return Batch(
        first.cache,
        torch.cat([first.seen, second.seen]),
        torch.cat([first.allowed, second.allowed]),
        torch.cat([first.logits, second.logits]),
    )
