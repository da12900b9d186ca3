"""Keys and values of prompts that were read: a prompt that begins alike pays for its new tokens alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

CachedPrompt = list[tuple[Tensor, Tensor]]
"""Keys and values of one prompt, a pair a layer, each (heads, tokens, width)."""


class PromptCache:
    """The prompts seen last; what an adapter read is of no use to another. Counts tokens asked for and tokens found."""

    def __init__(self, capacity: int = 64) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str | None, tuple[int, ...]], CachedPrompt] = OrderedDict()
        self.tokens_asked = self.tokens_found = 0

    def longest(self, ids: Sequence[int], adapter: str | None = None) -> tuple[int, CachedPrompt | None]:
        """Length of the longest cached beginning of `ids` and its keys; at least one id stays to be computed."""
        best: tuple[str | None, tuple[int, ...]] | None = None
        length = 0
        for key in self._entries:
            if key[0] == adapter and (common := _common(key[1], ids[:-1])) > length:
                best, length = key, common
        self.tokens_asked += len(ids)
        self.tokens_found += length
        if best is None:
            return 0, None
        self._entries.move_to_end(best)
        return length, [(keys[:, :length], values[:, :length]) for keys, values in self._entries[best]]

    def put(self, ids: Sequence[int], adapter: str | None, states: CachedPrompt) -> None:
        self._entries[adapter, tuple(ids)] = states
        self._entries.move_to_end((adapter, tuple(ids)))
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forgets all prompts and counts."""
        self._entries.clear()
        self.tokens_asked = self.tokens_found = 0


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))
