"""`generation.Writing` for a language model that has a flat step (`flat_llama`): the same words at a fifth of the cost.

What all rows remember lies in one list of columns. A row takes as many as it may need when it joins and gives them back when it
leaves; nothing is padded, moved or copied meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from models.flat_llama import FlatStep, FlatTokens
from models.generation import Asked, Row, Written, chosen
from models.llama_step import Floats, Integers
from models.prompt_cache import PromptCache

COLUMNS = 128
"""Columns that there is room for at first."""


@dataclass
class FlatRow(Row):
    """A row and the columns of its positions, of those to come as well."""

    columns: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    known: int = 0
    """Positions at the prompt's beginning that a cached prompt had."""


class FlatWriting:
    """Prompts being continued. `join` and `leave` at any time, `step` adds one token to every row. One thread only."""

    def __init__(self, step: FlatStep, end_id: int, prompts: PromptCache) -> None:
        self._step, self._end_id, self._prompts = step, end_id, prompts
        self._rows: list[FlatRow] = []
        shape = step.sizes.layers, 0, step.sizes.dim
        self._keys, self._values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._free: list[int] = []
        self._allowed = self._logits = torch.zeros(0, step.sizes.vocabulary)
        self._table: Integers = np.zeros((0, 0), np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def columns(self) -> int:
        """Columns that there is room for."""
        return int(self._keys.shape[1])

    def join(self, asked: Sequence[Asked]) -> None:
        """Reads the prompts (none may be empty), each behind its cached beginning; the rows speak from the next step."""
        assert all(one.prompt for one in asked), "a prompt must not be empty"
        if not asked:
            return
        joined = [self._begun(one) for one in asked]
        logits = torch.from_numpy(self._read(joined))
        allowed = torch.stack([one.allowed for one in asked])
        if self._rows:
            logits, allowed = torch.cat([self._logits, logits]), torch.cat([self._allowed, allowed])
        self._rows, self._logits, self._allowed = [*self._rows, *joined], logits, allowed
        self._table = _table(self._rows)
        for row in joined:
            self._remember(row)

    def leave(self, keys: Collection[int]) -> None:
        """Ends rows without a word; keys that are not here are left out."""
        self._keep([place for place, row in enumerate(self._rows) if row.asked.key not in keys])

    def step(self) -> list[tuple[int, Written]]:
        """One token more in every row; the rows that end with it, which have left."""
        if not self._rows:
            return []
        finished, going = chosen(self._rows, self._logits, self._allowed, self._end_id)
        self._keep(going)
        if self._rows:
            self._advance()
        return finished

    def _advance(self) -> None:
        """Feeds every row its newest id; leaves its next logits."""
        every = np.arange(len(self._rows))
        ids, positions = ([row.ids[-1] for row in self._rows], [row.position for row in self._rows])
        tokens = FlatTokens(np.array(ids), every, np.array(positions), every)
        self._logits = torch.from_numpy(self._step(tokens, self._table, (self._keys, self._values)))
        for row in self._rows:
            row.position += 1

    def _begun(self, asked: Asked) -> FlatRow:
        """A row with its columns, where the cached beginning of its prompt lies already."""
        length, states = self._prompts.longest(asked.prompt, asked.adapter)
        row = FlatRow(asked, len(asked.prompt), columns=self._taken(len(asked.prompt) + asked.longest), known=length)
        for keys, values in states or []:
            self._keys[:, row.columns[:length]], self._values[:, row.columns[:length]] = keys.numpy(), values.numpy()
        return row

    def _read(self, rows: list[FlatRow]) -> Floats:
        """Runs what is not known of the prompts: logits after their last tokens."""
        parts = [row.asked.prompt[row.known :] for row in rows]
        counts = [len(part) for part in parts]
        tokens = FlatTokens(
            np.array([token for part in parts for token in part]),
            np.repeat(np.arange(len(rows)), counts),
            np.concatenate([np.arange(row.known, row.position) for row in rows]),
            np.cumsum(counts) - 1,
        )
        return self._step(tokens, _table(rows), (self._keys, self._values))

    def _remember(self, row: FlatRow) -> None:
        if row.asked.remember:
            own = row.columns[: row.position]
            states = (torch.from_numpy(self._keys[:, own]), torch.from_numpy(self._values[:, own]))
            self._prompts.put(row.asked.prompt, row.asked.adapter, [states])

    def _keep(self, places: list[int]) -> None:
        """Drops all other rows."""
        if len(places) == len(self._rows):
            return
        for place in set(range(len(self._rows))).difference(places):
            self._free += self._rows[place].columns.tolist()
        self._rows = [self._rows[place] for place in places]
        self._logits, self._allowed, self._table = self._logits[places], self._allowed[places], self._table[places]

    def _taken(self, count: int) -> Integers:
        """Columns that nobody has; where there are too few, there will be twice as many."""
        if count > len(self._free):
            before = self._keys.shape[1]
            more = max(COLUMNS, before, count)
            room = ((0, 0), (0, more), (0, 0))
            self._keys, self._values = np.pad(self._keys, room), np.pad(self._values, room)
            self._free += range(before, before + more)
        taken, self._free = self._free[:count], self._free[count:]
        return np.array(taken, np.int64)


def _table(rows: Sequence[FlatRow]) -> Integers:
    """Which column each position of a row is in (rows, positions)."""
    table = np.zeros((len(rows), max(len(row.columns) for row in rows)), np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row.columns)] = row.columns
    return table
