"""Several GPUs: one process each, as `torchrun` or `accelerate launch` starts them; alone, everything here does nothing.

Gradients are averaged by DistributedDataParallel around the loss. The loop counts time, so all processes read the clock
of the first one: they take the same number of steps and end together. The first process alone writes checkpoints.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from models.training.loop import Loss, Run

T = TypeVar("T")
PATIENCE = timedelta(hours=3)
"""How long processes wait for the first one, which measures and writes alone."""


@dataclass(frozen=True)
class Ranks:
    """This process among all; `device` is its own."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @staticmethod
    def begin(device: torch.device) -> Ranks:
        """Joins the others where the environment names any (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT)."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return Ranks(device=device)
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
        return Ranks(distributed.get_rank(), world, device)

    def end(self) -> None:
        """Leaves the others."""
        if self.world > 1:
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            distributed.barrier()

    def clock(self) -> float:
        """The first process's clock, in seconds."""
        now = torch.tensor([time.monotonic()], dtype=torch.float64, device=self.device)
        if self.world > 1:
            distributed.broadcast(now, 0)
        return float(now)

    def told(self, work: Callable[[], T]) -> T:
        """What the first process alone computes, known to all; the others wait for it."""
        held: list[Any] = [work() if self.first else None]
        if self.world > 1:
            distributed.broadcast_object_list(held, 0, device=self.device)
        value: T = held[0]
        return value

    def share(self, things: Sequence[T]) -> Sequence[T]:
        """Every world-th of them; all, where there are fewer things than processes."""
        return things[self.rank :: self.world] or things

    def say(self, line: str) -> None:
        """A line of the log, written once."""
        if self.first:
            print(line, flush=True)


@dataclass
class SharedRun(Run):
    """A run of all processes together."""

    ranks: Ranks = field(default_factory=Ranks)

    def save(self) -> None:
        if self.ranks.first:
            super().save()
        self.ranks.wait()


class Losing(nn.Module):
    """A module and its loss in one forward, which is what DistributedDataParallel wants to wrap."""

    def __init__(self, module: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, batch: Any) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        return self.loss(self.module, batch)


def together(run: SharedRun, loss: Loss) -> Loss:
    """`loss` with gradients averaged over all processes; itself where there is one."""
    if run.ranks.world == 1:
        return loss
    everywhere = DistributedDataParallel(Losing(run.module, loss), broadcast_buffers=False)

    def joined(_module: nn.Module, batch: Any) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        value: tuple[Tensor, Mapping[str, Tensor | float]] = everywhere(batch)
        return value

    return joined
