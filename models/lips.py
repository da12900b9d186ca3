"""Embeddings of mouth crops: the compact encoder trained here, or a ViT backbone behind the same interface.

An embedding is a function of its own frame alone; how lips move is the business of the lips expert behind it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from models.layout import MOUTH

MOUTH_SIZE = 40  # pixels, both sides of a mouth crop
LEAST_CONTRAST = 0.02  # of a crop whose grey runs from 0 to 1


@dataclass(frozen=True)
class MouthEncoderConfig:
    """`backbone` is "compact", or the name or folder of a ViT for transformers."""

    backbone: str = "compact"
    width: int = MOUTH
    stem: int = 16
    channels: tuple[int, ...] = (32, 64)  # each stage halves the picture
    blocks: tuple[int, ...] = (1, 1)
    picture_px: int = 224  # side to which a ViT's input is enlarged
    dropout: float = 0.0  # of the backbone's outputs, in training

    def __post_init__(self) -> None:
        """Refuse stages that make no network."""
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if len(self.channels) != len(self.blocks) or not self.channels:
            raise ValueError(
                f"channels and blocks name the same stages, but got {self.channels} and {self.blocks}: one entry a stage"
            )
        if min(self.width, self.stem, self.picture_px, *self.channels, *self.blocks) < 1:
            raise ValueError(f"every size of a mouth encoder is at least 1, but got {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is in [0, 1), but got {self.dropout}")


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, pictures: Tensor) -> Tensor:
        return relu(self.body(pictures) + self.shortcut(pictures), inplace=True)


class CompactBackbone(nn.Module):
    """(N, 1, 40, 40) standardised -> (N, outputs): all places kept, since a lip's place is what matters."""

    def __init__(self, config: MouthEncoderConfig) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, config.stem, 5, 2, 2, bias=False), nn.BatchNorm2d(config.stem), nn.ReLU(inplace=True)
        )
        stages: list[nn.Module] = []
        inputs, side = config.stem, MOUTH_SIZE // 2
        for channels, count in zip(config.channels, config.blocks, strict=True):
            side = (side + 1) // 2
            for number in range(count):
                stages.append(Block(inputs, channels, 2 if number == 0 else 1))
                inputs = channels
        self.stages = nn.Sequential(*stages)
        self.outputs = inputs * side * side

    def forward(self, pictures: Tensor) -> Tensor:
        places: Tensor = self.stages(self.stem(pictures.contiguous(memory_format=torch.channels_last)))
        return places.flatten(1)


class VitBackbone(nn.Module):
    """A ViT's class token of crops enlarged to `picture_px` (the paper's lips)."""

    def __init__(self, config: MouthEncoderConfig, model: nn.Module | None = None) -> None:
        super().__init__()
        self.picture_px = config.picture_px
        self.model: Any = model if model is not None else _pretrained(config.backbone)
        settings: Any = self.model.config
        self.outputs = int(settings.hidden_size)

    def forward(self, pictures: Tensor) -> Tensor:
        side = (self.picture_px, self.picture_px)
        enlarged = interpolate(pictures, size=side, mode="bilinear", align_corners=False)
        token: Tensor = self.model(pixel_values=enlarged.expand(-1, 3, -1, -1)).last_hidden_state[:, 0]
        return token


def _pretrained(name: str) -> nn.Module:
    from transformers import ViTModel

    try:
        return ViTModel.from_pretrained(name, add_pooling_layer=False)  # type: ignore[no-any-return]
    except OSError as error:
        raise ValueError(
            f'backbone is "compact" or a ViT\'s name or folder, but got {name!r} that transformers cannot load: '
            "give a downloaded folder, or allow the download"
        ) from error


class MouthEncoder(nn.Module):
    """Mouth crops, uint8 grey (N, 40, 40) -> float (N, width), each embedding with mean 0 and deviation 1."""

    def __init__(self, config: MouthEncoderConfig, model: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        compact = config.backbone == "compact"
        self.backbone = CompactBackbone(config) if compact else VitBackbone(config, model)
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Linear(self.backbone.outputs, config.width)
        self.norm = nn.LayerNorm(config.width, elementwise_affine=False)

    def forward(self, crops: Tensor) -> Tensor:
        if crops.dtype != torch.uint8 or crops.ndim != 3 or crops.shape[1:] != (MOUTH_SIZE, MOUTH_SIZE):
            raise ValueError(
                f"mouth crops are uint8 (count, {MOUTH_SIZE}, {MOUTH_SIZE}) grey, but got {crops.dtype} "
                f"{tuple(crops.shape)}: cut them with crops.mouth"
            )
        return self.embed(crops[:, None].float().div_(255.0))

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 1, 40, 40) in 0..1, as training mixes them -> (N, width)."""
        embedding: Tensor = self.norm(self.project(self.dropout(self.backbone(standardised(pictures)))))
        return embedding


def standardised(pictures: Tensor) -> Tensor:
    """Each picture with its own mean 0 and deviation 1: the room's light and the camera's contrast drop out."""
    deviation, mean = torch.std_mean(pictures, dim=(1, 2, 3), keepdim=True, correction=0)
    return (pictures - mean) / deviation.clamp(min=LEAST_CONTRAST)
