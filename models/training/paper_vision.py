"""The paper's eyes while they are trained: DINOv2 on body and hands, ViT on the mouth, by transformers' own models.

Frames cross to the device as bytes and are cut there (`models/patches.py`), as live. What transformers calls
gradient checkpointing is on: a block's activations are computed again on the way back. `models/vit.py` runs the same
weights faster once they are trained (`VisionTransformer.of`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.config import Config
from models.paper import CROPS
from models.patches import Patching, colours, cut
from models.vit import VisionConfig

KINDS = ("dinov2", "vit")
MANUAL_CROPS, MOUTH_CROPS = (0, 1, 2), (3,)
AT_ONCE = 512  # pictures in one forward


@dataclass(frozen=True, kw_only=True)
class SeeingConfig(Config):
    """`crops` are places in `paper.CROPS`; the last `tuned` blocks learn, what is below them stays as it came."""

    kind: str = "dinov2"
    sizes: VisionConfig = VisionConfig()
    crops: tuple[int, ...] = MANUAL_CROPS
    tuned: int = 4

    def __post_init__(self) -> None:
        """Refuse an unknown kind and crops that nobody cuts."""
        if self.kind not in KINDS:
            raise ValueError(f"SeeingConfig.kind is one of {', '.join(KINDS)}, but got {self.kind!r}")
        if not self.crops or not set(self.crops) <= set(range(len(CROPS))):
            raise ValueError(f"SeeingConfig.crops are places in {CROPS}, but got {self.crops}")
        self._at_least(0, "tuned")

    @property
    def features(self) -> int:
        """Of one step."""
        return len(self.crops) * self.sizes.dim


class OtherModel(ValueError):
    """A model that can be loaded and is not the one that is needed."""


class Vision(nn.Module):
    """Frames (N, height, width, 3) uint8, boxes (N, 4, 4), seen (N, 4) -> features (N, crops * dim); 0 where unseen."""

    colours: Tensor

    def __init__(self, config: SeeingConfig) -> None:
        super().__init__()
        self.config = config
        self.model: Any = _model(config)
        self.register_buffer("colours", colours("cpu"), persistent=False)
        _freeze(self.model, config.tuned)
        if config.tuned:
            frugal(self.model)

    @property
    def learns(self) -> bool:
        return self.config.tuned > 0

    def forward(self, frames: Tensor, boxes: Tensor, seen: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.learns):
            found = [self._crop(frames, boxes[:, crop]) * seen[:, crop, None] for crop in self.config.crops]
        return torch.cat(found, dim=1)

    def _crop(self, frames: Tensor, boxes: Tensor) -> Tensor:
        parts = zip(torch.split(frames, AT_ONCE), torch.split(boxes, AT_ONCE), strict=True)
        tokens = [self.model(pixel_values=self._pixels(*part)).last_hidden_state[:, 0] for part in parts]
        return torch.cat(tokens)

    @torch.no_grad()
    def _pixels(self, frames: Tensor, boxes: Tensor) -> Tensor:
        """(N, 3, px, px), normalised: the patches of `cut`, put together again."""
        sizes = self.config.sizes
        px, side = sizes.picture_px, sizes.patch_px
        rows = px // side
        patches = cut(frames, boxes, self.colours, Patching(px, side, 3 * side * side, torch.float32))
        parts = patches.view(len(frames), rows, rows, side, side, 3)
        return parts.permute(0, 5, 1, 3, 2, 4).reshape(len(frames), 3, px, px)


def frugal(model: Any) -> None:
    """Turns on transformers' gradient checkpointing, whichever of its versions named it."""
    how = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=how)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)


def pretrained(config: SeeingConfig, name: str) -> Vision:
    """A `Vision` with the weights of a model by name or folder; ValueError with one sentence where they cannot be had, or are
    of another kind or size."""
    from transformers import AutoConfig, Dinov2Model, ViTModel

    try:
        _check(config, name, AutoConfig.from_pretrained(name))
        if config.kind == "dinov2":
            model: Any = Dinov2Model.from_pretrained(name)
        else:
            model = ViTModel.from_pretrained(name, add_pooling_layer=False)
    except OtherModel:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(
            f"expected a {config.kind} model at {name!r}, but transformers cannot load it: fetch it with "
            f"`hf download {name}`, or name a folder that holds it"
        ) from error
    weights = model.state_dict()
    place = "embeddings.position_embeddings"
    weights[place] = fitted(weights[place], config.sizes.picture_px // config.sizes.patch_px)
    vision = Vision(config)
    vision.model.load_state_dict(weights)
    return vision


def _check(config: SeeingConfig, name: str, found: Any) -> None:
    """OtherModel for weights that do not fit; transformers would leave networks of another kind at random without a word."""
    sizes = config.sizes
    wanted = {"model_type": config.kind, "hidden_size": sizes.dim, "num_hidden_layers": sizes.layers,
              "patch_size": sizes.patch_px}  # fmt: skip
    other = {key: value for key in wanted if (value := getattr(found, key, None)) != wanted[key]}
    if other:
        told = ", ".join(f"{key} {value} instead of {wanted[key]}" for key, value in other.items())
        raise OtherModel(f"the model at {name!r} has {told}: name a {config.kind} model of these sizes")


def fitted(positions: Tensor, rows: int) -> Tensor:
    """Position embeddings (1, 1 + n * n, dim) for another number of rows of patches, bicubic; the class token's stays."""
    side = round((positions.shape[1] - 1) ** 0.5)
    if side == rows:
        return positions
    grid = positions[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scaled = interpolate(grid.float(), size=(rows, rows), mode="bicubic", align_corners=False, antialias=side > rows)
    return torch.cat((positions[:, :1], scaled.permute(0, 2, 3, 1).flatten(1, 2).to(positions.dtype)), dim=1)


def _model(config: SeeingConfig) -> nn.Module:
    """Random weights at the config's sizes."""
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    sizes = config.sizes
    common: dict[str, Any] = {
        "hidden_size": sizes.dim, "num_hidden_layers": sizes.layers, "num_attention_heads": sizes.heads,
        "image_size": sizes.picture_px, "patch_size": sizes.patch_px, "layer_norm_eps": sizes.eps,
    }  # fmt: skip
    if config.kind == "vit":
        vit: nn.Module = ViTModel(ViTConfig(intermediate_size=sizes.hidden, **common), add_pooling_layer=False)
        return vit
    dino: nn.Module = Dinov2Model(Dinov2Config(mlp_ratio=sizes.hidden // sizes.dim, **common))
    return dino


def _freeze(model: nn.Module, tuned: int) -> None:
    """Only the last `tuned` blocks and the last norm learn."""
    model.requires_grad_(False)
    if not tuned:
        return
    blocks = next(module for module in model.modules() if isinstance(module, nn.ModuleList))
    for block in list(blocks)[-tuned:]:
        block.requires_grad_(True)
    norm: Any = model.layernorm
    norm.requires_grad_(True)
