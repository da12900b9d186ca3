"""A vision transformer's class token, fast: DINOv2's and ViT's weights behind one forward that is written for speed.

What differs from transformers' Dinov2Model and ViTModel, with equal results (tested):
the patch embedding is a matrix product, queries, keys and values are one, LayerScale is folded into the weights before
it, and in the last layer only the class token is carried on, since nothing else of that layer is read (7 % less work
for ViT-B). A block takes the residual stream and what is to be added to it, so that the sum fuses with the norm.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, pad, scaled_dot_product_attention

from models.captured import compiled
from models.config import Config
from models.vit_weights import Layer, of_transformers

TILE = 64  # patches that our own attention takes at a time
PATCH_ALIGNMENT = 64  # values of a patch are padded to a multiple of this: tensor cores want aligned rows


@dataclass(frozen=True, kw_only=True)
class VisionConfig(Config):
    """Sizes of the transformer; the defaults are DINOv2 ViT-B/14 at 224 px."""

    picture_px: int = 224
    patch_px: int = 14
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    eps: float = 1e-6

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        self._at_least(1, "picture_px", "patch_px", "dim", "layers", "heads", "hidden")
        if self.picture_px % self.patch_px or self.dim % self.heads:
            raise ValueError(
                f"picture_px is a multiple of patch_px and dim of heads, but got {self.picture_px}/{self.patch_px} and "
                f"{self.dim}/{self.heads}"
            )

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.picture_px // self.patch_px) ** 2 + 1

    @property
    def patch_values(self) -> int:
        """Numbers in one patch, padding included."""
        return -(-3 * self.patch_px**2 // PATCH_ALIGNMENT) * PATCH_ALIGNMENT

    @property
    def flops(self) -> int:
        """Floating-point operations of one picture in products of matrices, two a multiply-add; padding not counted."""
        dim, tokens, hidden = self.dim, self.tokens, self.hidden
        embedding = 2 * (tokens - 1) * 3 * self.patch_px**2 * dim
        layer = 2 * tokens * (4 * dim**2 + 2 * dim * hidden) + 4 * tokens**2 * dim
        last = 2 * tokens * 2 * dim**2 + 2 * (2 * dim**2 + 2 * dim * hidden) + 4 * tokens * dim
        return embedding + (self.layers - 1) * layer + last


@dataclass(frozen=True)
class Way:
    """How the blocks are computed; all ways agree but for rounding, the device decides which is quickest.

    `whole` attention is the kernel that PyTorch picks; `triton` our own (models/patch_attention.py, on CUDA alone) where
    patches fill its tiles, and else PyTorch's. `epilogue` GELU is computed by the matrix product itself, on CUDA in its
    tanh form: off by at most 5e-4, below bf16's rounding.
    """

    attention: Literal["whole", "triton"] = "whole"
    gelu: Literal["exact", "epilogue"] = "exact"
    compiled: bool = False


class VisionTransformer:
    """Patches (pictures, tokens - 1, patch_values), as `patches.cut` gives them -> class tokens (pictures, dim).

    For inference alone. `way` may be changed at any time before a graph is captured.
    """

    def __init__(self, config: VisionConfig, weights: Mapping[str, Any], way: Way = Way()) -> None:
        self.config, self.way = config, way
        self.patch: Tensor = weights["patch"]
        self.first: Tensor = weights["first"]  # position embeddings; class token and patch bias are in them
        self.norm: Tensor = weights["norm"]
        self.norm_bias: Tensor = weights["norm_bias"]
        self.layers: list[Layer] = weights["layers"]

    @classmethod
    def random(cls, config: VisionConfig, device: torch.device, dtype: torch.dtype) -> VisionTransformer:
        """Random weights, made where they are used; for measurements of speed."""

        def drawn(*shape: int) -> Tensor:
            return torch.empty(shape, device=device, dtype=dtype).normal_(0, 0.02)

        dim, hidden = config.dim, config.hidden

        def layer() -> Layer:
            return Layer(
                1 + drawn(dim), drawn(dim), drawn(3 * dim, dim), drawn(3 * dim), drawn(dim, dim), drawn(dim),
                1 + drawn(dim), drawn(dim), drawn(hidden, dim), drawn(hidden), drawn(dim, hidden), drawn(dim),
            )  # fmt: skip

        weights = {"patch": drawn(dim, config.patch_values), "first": drawn(config.tokens, dim), "norm": 1 + drawn(dim)}
        return cls(config, {**weights, "norm_bias": drawn(dim), "layers": [layer() for _ in range(config.layers)]})

    @classmethod
    def of(
        cls, model: Any, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> VisionTransformer:
        """The weights of a Dinov2Model (without SwiGLU) or ViTModel of transformers, whichever version named them."""
        sizes = model.config
        config = VisionConfig(
            picture_px=int(sizes.image_size), patch_px=int(sizes.patch_size), dim=int(sizes.hidden_size),
            layers=int(sizes.num_hidden_layers), heads=int(sizes.num_attention_heads),
            hidden=int(getattr(sizes, "intermediate_size", sizes.hidden_size * getattr(sizes, "mlp_ratio", 4))),
            eps=float(sizes.layer_norm_eps),
        )  # fmt: skip
        return cls(config, _on(of_transformers(model, config.patch_values), device, dtype))

    @torch.no_grad()
    def __call__(self, patches: Tensor) -> Tensor:
        """Class tokens (pictures, dim) after the last norm."""
        if self.way.attention == "triton":
            importlib.import_module("models.patch_attention")  # makes the operator known; needs Triton
        mix, widen = self._maybe_compiled(_MIX[self.way.attention]), _WIDEN[self.way.gelu]
        stream = self._maybe_compiled(_begin)(patches, self.patch, self.first)
        added = torch.zeros_like(stream)
        for layer in self.layers[:-1]:
            stream, normed = mix(stream, added, layer, self.config.heads, self.config.eps)
            added = linear(widen(normed, layer), layer.narrow, layer.narrow_bias)
        last = self._maybe_compiled(_last)
        token = last(stream, added, self.layers[-1], self.config.heads, self.config.eps)
        return layer_norm(token, token.shape[-1:], self.norm, self.norm_bias, self.config.eps)

    def to(self, dtype: torch.dtype) -> VisionTransformer:
        """A copy with weights of another type, where these are."""
        return VisionTransformer(self.config, _on(self._named(), self.first.device, dtype), self.way)

    def _named(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("patch", "first", "norm", "norm_bias", "layers")}

    def _maybe_compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return compiled(function) if self.way.compiled else function


def _attend(joined: Tensor) -> Tensor:
    """Attention of queries, keys and values (pictures, tokens, 3, heads, channels) -> (pictures, tokens, dim)."""
    queries, keys, values = joined.permute(2, 0, 3, 1, 4).unbind(0)
    return scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)


def _attend_triton(joined: Tensor) -> Tensor:
    """The same in tiles of patches."""
    fills = (joined.shape[1] - 1) % TILE == 0
    mixed: Tensor = torch.ops.signbind.attend_patches(joined) if fills else _attend(joined)
    return mixed


def _begin(patches: Tensor, embedding: Tensor, first: Tensor) -> Tensor:
    """The residual stream before the first block."""
    return first + pad(linear(patches, embedding), (0, 0, 1, 0))


def _mix_whole(stream: Tensor, added: Tensor, layer: Layer, heads: int, eps: float) -> tuple[Tensor, Tensor]:
    return _mixed(stream, added, layer, heads, eps, _attend)


def _mix_triton(stream: Tensor, added: Tensor, layer: Layer, heads: int, eps: float) -> tuple[Tensor, Tensor]:
    return _mixed(stream, added, layer, heads, eps, _attend_triton)


_MIX = {"whole": _mix_whole, "triton": _mix_triton}


def _mixed(
    stream: Tensor, added: Tensor, layer: Layer, heads: int, eps: float, attend: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """A block up to its feed-forward: the residual stream, and the norm of it; both (pictures, tokens, dim)."""
    pictures, tokens, dim = stream.shape
    stream = stream + added
    normed = layer_norm(stream, (dim,), layer.norm1, layer.norm1_bias, eps)
    joined = linear(normed, layer.qkv, layer.qkv_bias).view(pictures, tokens, 3, heads, dim // heads)
    stream = stream + linear(attend(joined), layer.out, layer.out_bias)
    return stream, layer_norm(stream, (dim,), layer.norm2, layer.norm2_bias, eps)


def _widen_exact(normed: Tensor, layer: Layer) -> Tensor:
    return gelu(linear(normed, layer.wide, layer.wide_bias))


def _widen_epilogue(normed: Tensor, layer: Layer) -> Tensor:
    flat = torch._addmm_activation(layer.wide_bias, normed.flatten(0, -2), layer.wide.t(), use_gelu=True)
    return flat.view(*normed.shape[:-1], -1)


_WIDEN = {"exact": _widen_exact, "epilogue": _widen_epilogue}


def _last(stream: Tensor, added: Tensor, layer: Layer, heads: int, eps: float) -> Tensor:
    """The last block for the class token alone, (pictures, dim): all tokens are keys and values, one asks."""
    pictures, tokens, dim = stream.shape
    stream = stream + added
    normed = layer_norm(stream, (dim,), layer.norm1, layer.norm1_bias, eps)
    query = linear(normed[:, :1], layer.qkv[:dim], layer.qkv_bias[:dim])
    both = linear(normed, layer.qkv[dim:], layer.qkv_bias[dim:]).view(pictures, tokens, 2, heads, -1)
    keys, values = both.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = scaled_dot_product_attention(query.view(pictures, 1, heads, -1).transpose(1, 2), keys, values)
    token = stream[:, 0] + linear(mixed.flatten(1), layer.out, layer.out_bias)
    normed = layer_norm(token, (dim,), layer.norm2, layer.norm2_bias, eps)
    return token + linear(_widen_exact(normed, layer), layer.narrow, layer.narrow_bias)


def _on(weights: dict[str, Any], device: torch.device | str, dtype: torch.dtype) -> dict[str, Any]:
    moved = {name: value.to(device, dtype) for name, value in weights.items() if isinstance(value, Tensor)}
    layers = [Layer(*(tensor.to(device, dtype).contiguous() for tensor in layer)) for layer in weights["layers"]]
    return {**moved, "layers": layers}
