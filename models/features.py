"""Embeddings of hand crops: the compact encoder trained here, or another backbone behind the same interface."""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layout import HAND

HAND_SIZE = 64  # pixels, both sides of a hand crop
SYMBOLS = 36  # A-Z, then 0-9: the classes of the letters head
LETTERS = 26


@dataclass(frozen=True)
class HandEncoderConfig:
    """`backbone` is "compact", one of SMALL, or the name or folder of a DINOv2 model for transformers."""

    backbone: str = "compact"
    width: int = HAND
    stem: int = 24
    channels: tuple[int, ...] = (64, 128, 192)
    blocks: tuple[int, ...] = (2, 2, 1)
    dropout: float = 0.2
    picture_px: int = 224  # side to which a DINOv2 backbone's input is enlarged

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if len(self.channels) != len(self.blocks):
            raise ValueError(
                f"channels and blocks must be equally long, got {self.channels} and {self.blocks}: one entry a stage"
            )


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2016, with the average-pooled shortcut of ResNet-D)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(x)), inplace=True)
        return F.relu(self.second_norm(self.second(inner)) + self.shortcut(x), inplace=True)


class CompactBackbone(nn.Module):
    """(N, 3, 64, 64) in about -1..1 -> (N, channels[-1])."""

    def __init__(self, config: HandEncoderConfig) -> None:
        super().__init__()
        self.outputs = config.channels[-1]
        self.stem = nn.Conv2d(3, config.stem, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(config.stem)
        stages: list[nn.Module] = []
        inputs = config.stem
        for channels, count in zip(config.channels, config.blocks, strict=True):
            for number in range(count):
                stages.append(Block(inputs, channels, 2 if number == 0 else 1))
                inputs = channels
        self.stages = nn.Sequential(*stages)

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(pictures.contiguous(memory_format=torch.channels_last))), inplace=True)
        pooled: Tensor = self.stages(x).mean((2, 3))
        return pooled


class DinoBackbone(nn.Module):
    """DINOv2's class token of crops enlarged to `picture_px` (the paper's features)."""

    MEAN = (0.485, 0.456, 0.406)
    DEVIATION = (0.229, 0.224, 0.225)

    def __init__(self, config: HandEncoderConfig, model: nn.Module | None = None) -> None:
        super().__init__()
        self.picture_px = config.picture_px
        backbone: Any = model if model is not None else _pretrained(config.backbone)
        self.model = backbone
        self.outputs = int(backbone.config.hidden_size)
        self.register_buffer("mean", torch.tensor(self.MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(self.DEVIATION).view(1, 3, 1, 1), persistent=False)

    mean: Tensor
    deviation: Tensor

    def forward(self, pictures: Tensor) -> Tensor:
        enlarged = F.interpolate(pictures, size=(self.picture_px,) * 2, mode="bilinear", align_corners=False)
        normal = ((enlarged + 1) / 2 - self.mean) / self.deviation
        token: Tensor = self.model(pixel_values=normal).last_hidden_state[:, 0]
        return token


class PooledBackbone(nn.Module):
    """A convolutional model of transformers: its pooled output."""

    def __init__(self, model: nn.Module, outputs: int) -> None:
        super().__init__()
        self.model, self.outputs = model, outputs

    def forward(self, pictures: Tensor) -> Tensor:
        pooled: Tensor = self.model(pixel_values=pictures).pooler_output.flatten(1)
        return pooled


def _tiny_dinov2(config: HandEncoderConfig) -> nn.Module:
    from transformers import Dinov2Config, Dinov2Model

    sizes = Dinov2Config(
        hidden_size=128, num_hidden_layers=6, num_attention_heads=4, image_size=HAND_SIZE, patch_size=8
    )
    return DinoBackbone(replace(config, picture_px=HAND_SIZE), Dinov2Model(sizes))


def _atto_convnext(config: HandEncoderConfig) -> nn.Module:
    from transformers import ConvNextV2Config, ConvNextV2Model

    del config
    sizes = ConvNextV2Config(hidden_sizes=[40, 80, 160, 320], depths=[2, 2, 6, 2], image_size=HAND_SIZE, patch_size=2)
    return PooledBackbone(ConvNextV2Model(sizes), 320)


def _small_mobilenet(config: HandEncoderConfig) -> nn.Module:
    from transformers import MobileNetV2Config, MobileNetV2Model

    del config
    return PooledBackbone(MobileNetV2Model(MobileNetV2Config(image_size=HAND_SIZE, depth_multiplier=0.75)), 1280)


SMALL = {"dinov2-tiny": _tiny_dinov2, "convnextv2-atto": _atto_convnext, "mobilenetv2-0.75": _small_mobilenet}
"""Small backbones of transformers, without weights of their own: what the compact one was compared with."""


def _backbone(config: HandEncoderConfig, model: nn.Module | None) -> nn.Module:
    if config.backbone == "compact":
        return CompactBackbone(config)
    return SMALL[config.backbone](config) if config.backbone in SMALL else DinoBackbone(config, model)


def _pretrained(name: str) -> nn.Module:
    from transformers import Dinov2Model

    try:
        return Dinov2Model.from_pretrained(name)  # type: ignore[no-any-return]
    except OSError as error:
        raise ValueError(
            f'backbone must be "compact" or a DINOv2 model\'s name or folder, got {name!r} that transformers cannot load: '
            "give a downloaded folder, or allow the download"
        ) from error


class HandEncoder(nn.Module):
    """Hand crops, uint8 RGB (N, 64, 64, 3), right hands or mirrored left ones -> float (N, width)."""

    def __init__(self, config: HandEncoderConfig, model: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        backbone: Any = _backbone(config, model)
        self.backbone = backbone
        self.project = nn.Linear(int(backbone.outputs), config.width)
        self.norm = nn.BatchNorm1d(config.width, affine=False)
        self.dropout = nn.Dropout(config.dropout)
        self.symbols = nn.Linear(config.width, SYMBOLS)

    def forward(self, crops: Tensor) -> Tensor:
        if crops.dtype != torch.uint8 or crops.ndim != 4 or crops.shape[-1] != 3:
            raise ValueError(
                f"hand crops must be uint8 (count, height, width, 3), got {crops.dtype} {tuple(crops.shape)}: "
                "cut them with crops.crop"
            )
        return self.embed(crops.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0))

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, 64, 64) already in -1..1, as training mixes them -> (N, width)."""
        embedding: Tensor = self.norm(self.project(self.backbone(pictures)))
        return embedding

    def symbol_scores(self, embedding: Tensor) -> Tensor:
        """Logits (N, 36) of A-Z, 0-9; letters and digits that look alike are told apart by nothing here."""
        scores: Tensor = self.symbols(self.dropout(embedding))
        return scores
