"""The weights of transformers' Dinov2Model and ViTModel, as models/vit.py wants them: joined, folded, padded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Layer(NamedTuple):
    """Weights of one block."""

    norm1: Tensor
    norm1_bias: Tensor
    qkv: Tensor
    qkv_bias: Tensor
    out: Tensor
    out_bias: Tensor
    norm2: Tensor
    norm2_bias: Tensor
    wide: Tensor
    wide_bias: Tensor
    narrow: Tensor
    narrow_bias: Tensor


_NAMES = (
    (r"^(vit|dinov2)\.", ""),
    (r"^encoder\.", ""),
    (r"^layers?\.", "layer."),
    (r"attention\.(attention\.)?(query|q_proj)\.", "q."),
    (r"attention\.(attention\.)?(key|k_proj)\.", "k."),
    (r"attention\.(attention\.)?(value|v_proj)\.", "v."),
    (r"attention\.(output\.dense|o_proj)\.", "out."),
    (r"(mlp\.fc1|intermediate\.dense)\.", "wide."),
    (r"(mlp\.fc2|(?<!attention\.)output\.dense)\.", "narrow."),
    (r"layernorm_before\.", "norm1."),
    (r"layernorm_after\.", "norm2."),
    (r"layer_scale(\d)\.lambda1", r"scale\1"),
)


def plain_name(name: str) -> str:
    """One name for a weight that transformers calls differently in its versions and its two models."""
    for pattern, plain in _NAMES:
        name = re.sub(pattern, plain, name)
    return name


def of_transformers(model: Any, patch_values: int) -> dict[str, Any]:
    """What VisionTransformer wants, of a Dinov2Model or ViTModel; patches are padded to `patch_values` numbers."""
    named = {plain_name(name): tensor.detach() for name, tensor in model.state_dict().items()}
    kernel = named["embeddings.patch_embeddings.projection.weight"].permute(0, 2, 3, 1).flatten(1)
    first = named["embeddings.position_embeddings"][0].clone()
    first[0] += named["embeddings.cls_token"][0, 0]
    first[1:] += named["embeddings.patch_embeddings.projection.bias"]
    return {
        "patch": pad(kernel, (0, patch_values - kernel.shape[1])),
        "first": first,
        "norm": named["layernorm.weight"],
        "norm_bias": named["layernorm.bias"],
        "layers": [_layer(named, f"layer.{index}.") for index in range(int(model.config.num_hidden_layers))],
    }


def _layer(named: Mapping[str, Tensor], at: str) -> Layer:
    def joined(kind: str) -> Tensor:
        return torch.cat([named[f"{at}{part}.{kind}"] for part in "qkv"])

    def scaled(part: str, scale: str) -> tuple[Tensor, Tensor]:
        weight, bias = named[f"{at}{part}.weight"], named[f"{at}{part}.bias"]
        by = named.get(f"{at}{scale}", torch.ones_like(bias))
        return weight * by[:, None], bias * by

    def plain(part: str) -> tuple[Tensor, Tensor]:
        return named[f"{at}{part}.weight"], named[f"{at}{part}.bias"]

    qkv = (joined("weight"), joined("bias"))
    return Layer(
        *plain("norm1"), *qkv, *scaled("out", "scale1"), *plain("norm2"), *plain("wide"), *scaled("narrow", "scale2")
    )
