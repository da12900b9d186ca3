"""How much of a truth was read wrong: edits of sequences, over their length. Without torch and without a library."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(found: Sequence[Hashable], truth: Sequence[Hashable]) -> int:
    """Levenshtein distance of two sequences."""
    row = list(range(len(truth) + 1))
    for i, x in enumerate(found, start=1):
        previous, row[0] = row[0], i
        for j, y in enumerate(truth, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


class ErrorRate:
    """Edits over the length of the truth, summed over many pairs."""

    def __init__(self) -> None:
        self.edits = 0
        self.length = 0

    def add(self, found: Sequence[Hashable], truth: Sequence[Hashable]) -> None:
        self.edits += edit_distance(found, truth)
        self.length += len(truth)

    def miss(self, symbols: int) -> None:
        """Counts symbols of a truth that nothing can find, such as those that a vocabulary lacks."""
        self.edits += symbols
        self.length += symbols

    @property
    def value(self) -> float:
        """Share of wrong symbols (may pass 1); 0 when there was nothing to find."""
        return self.edits / max(1, self.length)

    @property
    def accuracy(self) -> float:
        """1 - error rate, not below 0."""
        return max(0.0, 1 - self.value)
