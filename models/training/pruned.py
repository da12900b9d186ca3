"""A narrower hand encoder that begins with the weightiest channels of a wide one (Li et al. 2017, by the scale of batch norm)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.features import Block, CompactBackbone, HandEncoder


@torch.no_grad()
def begin_as(student: HandEncoder, teacher: HandEncoder) -> None:
    """Copies what fits of the teacher into a student with the same blocks and stem and no more channels; both compact."""
    small, wide = student.backbone, teacher.backbone
    assert isinstance(small, CompactBackbone) and isinstance(wide, CompactBackbone)
    small.stem.load_state_dict(wide.stem.state_dict())
    small.norm.load_state_dict(wide.norm.state_dict())
    kept = torch.arange(wide.stem.out_channels)
    stage: list[tuple[Block, Block]] = []
    for one, other in zip(small.stages, wide.stages, strict=True):
        assert isinstance(one, Block) and isinstance(other, Block)
        if isinstance(other.shortcut, nn.Sequential) and stage:
            kept, stage = _copied(stage, kept), []
        stage.append((one, other))
    kept = _copied(stage, kept)
    mean, variance = teacher.norm.running_mean, teacher.norm.running_var
    assert mean is not None and variance is not None
    scale = (variance + teacher.norm.eps).rsqrt()  # the student's own last normalisation changes nothing
    student.project.weight.copy_(scale[:, None] * teacher.project.weight[:, kept])
    student.project.bias.copy_(scale * (teacher.project.bias - mean))


def _copied(stage: list[tuple[Block, Block]], inputs: Tensor) -> Tensor:
    """Fills the blocks of one stage, whose channels are added to each other and so chosen together; returns those."""
    count = stage[0][0].second_norm.num_features
    scale = sum((wide.second_norm.weight.abs() for _, wide in stage), torch.zeros(()))
    kept = _largest(scale, count)
    for small, wide in stage:
        inner = _largest(wide.first_norm.weight.abs(), small.first_norm.num_features)
        _fill(small.first, small.first_norm, wide.first, wide.first_norm, (inner, inputs))
        _fill(small.second, small.second_norm, wide.second, wide.second_norm, (kept, inner))
        if isinstance(small.shortcut, nn.Sequential) and isinstance(wide.shortcut, nn.Sequential):
            _fill(small.shortcut[1], small.shortcut[2], wide.shortcut[1], wide.shortcut[2], (kept, inputs))
        inputs = kept
    return kept


def _largest(scale: Tensor, count: int) -> Tensor:
    return scale.topk(count).indices.sort().values


def _fill(
    small: nn.Module, small_norm: nn.Module, wide: nn.Module, wide_norm: nn.Module, kept: tuple[Tensor, Tensor]
) -> None:
    """`kept` (outputs, inputs) of a convolution, and its norm's."""
    outputs, inputs = kept
    assert isinstance(small, nn.Conv2d) and isinstance(wide, nn.Conv2d)
    small.weight.copy_(wide.weight[outputs][:, inputs])
    held = {name: value if value.ndim == 0 else value[outputs] for name, value in wide_norm.state_dict().items()}
    small_norm.load_state_dict(held)
