"""What it means to be incremental: which steps a step may see, and state that belongs to slots.

A step sees its whole own chunk and the `lookback` chunks before it. The rest of the chunk is the only look-ahead,
however many layers there are. The offline forward applies the same rule as a mask, so chunk by chunk gives the
offline answer.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from models.clock import CHUNK_FRAMES


@dataclass(frozen=True)
class Window:
    """How far attention sees: own chunk and `lookback` chunks before it."""

    chunk: int = CHUNK_FRAMES
    lookback: int = 8

    @classmethod
    def draw(cls, rng: random.Random) -> "Window":
        """A random window for one training batch, so that the network does not lean on one cut."""
        return cls(chunk=rng.choice((4, 8, 8, 12, 16)), lookback=rng.randint(3, 12))

    def allowed(self, steps: int, device: torch.device | None = None) -> Tensor:
        """Which step (row) sees which (column): bool (steps, steps)."""
        chunks = torch.arange(steps, device=device) // self.chunk
        distance = chunks[:, None] - chunks[None, :]
        return (distance >= 0) & (distance <= self.lookback)


class StreamState:
    """Base of all state dataclasses: tensors whose first axis is the slot, other states, and lists of either."""

    def reset(self, mask: Tensor) -> None:
        """Empty the slots where `mask` (slots,) is true; leave the others as they are."""
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            _reset(getattr(self, field.name), mask)


def _reset(value: Any, mask: Tensor) -> None:
    if isinstance(value, StreamState):
        value.reset(mask)
    elif isinstance(value, Tensor) and value.device.type == "cpu":
        for row in mask.nonzero()[:, 0].tolist():
            value[row].zero_()  # a quarter of `index_fill_`'s time
    elif isinstance(value, Tensor):
        value.masked_fill_(rows(mask, value), 0)  # needs no word from the device
    else:
        assert isinstance(value, list), type(value)
        for item in value:
            _reset(item, mask)


def rows(mask: Tensor, like: Tensor) -> Tensor:
    """A mask (slots,) shaped to broadcast over the further axes of `like`."""
    return mask.to(like.device).view(-1, *([1] * (like.dim() - 1)))


def keep(state: Tensor, new: Tensor, active: Tensor) -> None:
    """Write `new` into `state`, in place, for the active slots only."""
    state.copy_(torch.where(rows(active, state), new, state))


def chunks_of(steps: Tensor, chunk: int) -> Iterator[Tensor]:
    """Cut (slots, n * chunk, channels) into its n chunks."""
    if steps.shape[1] == 0 or steps.shape[1] % chunk:
        raise ValueError(
            f"expected whole chunks of {chunk} steps, but got {steps.shape[1]} steps: keep the rest for the next chunk"
        )
    yield from torch.split(steps, chunk, dim=1)


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Mask for attention: 0 where allowed, -inf elsewhere."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, float("-inf"))
