"""Gradient checkpointing of the networks over time: their blocks forget their activations and compute them again.

Blocks change their class in place, so that a copy of the network (the loop's averaged weights) stays a network of its
own, and names of weights stay as they are.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.layers.encoder import Block

M = TypeVar("M", bound=nn.Module)


class CheckpointedBlock(Block):
    """A block that keeps nothing but its input while it learns."""

    def forward(self, steps: Tensor, *shared: Any) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(steps, *shared)
        out: Tensor = checkpoint(super().forward, steps, *shared, use_reentrant=False)
        return out


def checkpointed(network: M) -> M:
    """The network itself, its blocks made frugal."""
    for module in network.modules():
        if type(module) is Block:
            module.__class__ = CheckpointedBlock
    return network
