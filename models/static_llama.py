"""LLaMA for many sessions at once with nothing that changes shape: a fixed batch, a fixed cache, greedy, in CUDA graphs.

The same function as transformers' LlamaForCausalLM (tested), with queries, keys and values as one product, gate and up
as another, a cache that is written in place, and the chosen token fed back on the device: the host launches one graph a
token and waits for none. LoRA on queries and values stays beside the weights, which may be in 4 bits (bitsandbytes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

from models.captured import CapturedStep, compiled
from models.config import Config
from models.layers.rotary import Rotation, rotate


@dataclass(frozen=True, kw_only=True)
class LlamaSizes(Config):
    """The defaults are LLaMA-2-7B's; every head has keys and values of its own."""

    dim: int = 4096
    layers: int = 32
    heads: int = 32
    hidden: int = 11008
    vocabulary: int = 32_000
    eps: float = 1e-5
    rotary_base: float = 10_000.0
    lora_rank: int = 16  # 0: no adapter, or one merged into the weights

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        self._at_least(1, "dim", "layers", "heads", "hidden", "vocabulary")
        self._at_least(0, "lora_rank")
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim is a multiple of 2 * heads, but got dim {self.dim}, heads {self.heads}")

    @property
    def parameters(self) -> int:
        """Of the matrices that every token passes; the embedding table and norms left out."""
        return self.layers * (4 * self.dim**2 + 3 * self.dim * self.hidden) + self.dim * self.vocabulary


Matrix = Tensor | Callable[[Tensor], Tensor]
"""A weight (outputs, inputs), or what stands for one that is stored in fewer bits."""


class Layer(NamedTuple):
    """Weights of one block; `lora_in` (2 rank, dim) and `lora_out` (3 dim, 2 rank) are for queries and values."""

    norm1: Tensor
    qkv: Matrix
    out: Matrix
    norm2: Tensor
    gate_up: Matrix
    down: Matrix
    lora_in: Tensor | None = None
    lora_out: Tensor | None = None


@dataclass(frozen=True)
class Llama:
    """Weights; `embedding` and `head` are (vocabulary, dim)."""

    sizes: LlamaSizes
    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    head: Tensor

    @classmethod
    def random(cls, sizes: LlamaSizes, device: torch.device, dtype: torch.dtype) -> Llama:
        """Random weights, made where they are used; for measurements of speed."""

        def drawn(*shape: int) -> Tensor:
            return torch.empty(shape, device=device, dtype=dtype).normal_(0, 0.02)

        dim, hidden, rank = sizes.dim, sizes.hidden, sizes.lora_rank

        def layer() -> Layer:
            plain = Layer(1 + drawn(dim), drawn(3 * dim, dim), drawn(dim, dim), 1 + drawn(dim),
                          drawn(2 * hidden, dim), drawn(dim, hidden))  # fmt: skip
            return plain._replace(lora_in=drawn(2 * rank, dim), lora_out=drawn(3 * dim, 2 * rank)) if rank else plain

        vocabulary = (sizes.vocabulary, dim)
        return cls(
            sizes, drawn(*vocabulary), [layer() for _ in range(sizes.layers)], 1 + drawn(dim), drawn(*vocabulary)
        )

    @classmethod
    def of(cls, model: Any) -> Llama:
        """The weights of a LlamaForCausalLM, with a peft adapter of LoRA on q_proj and v_proj or without.

        Raises ValueError for shared key heads and for adapters of other matrices.
        """
        named = {_plain_name(name): tensor.detach() for name, tensor in model.state_dict().items()}
        shape = model.config
        if shape.num_key_value_heads != shape.num_attention_heads:
            raise ValueError("expected as many key heads as heads (LLaMA-2-7B, 13B): use transformers for this model")
        adapter = getattr(model, "peft_config", {}).get("default")
        sizes = LlamaSizes(
            dim=shape.hidden_size, layers=shape.num_hidden_layers, heads=shape.num_attention_heads,
            hidden=shape.intermediate_size, vocabulary=shape.vocab_size, eps=shape.rms_norm_eps,
            rotary_base=float(shape.rope_parameters["rope_theta"]), lora_rank=adapter.r if adapter else 0,
        )  # fmt: skip
        scale = adapter.lora_alpha / adapter.r if adapter else 0.0
        layers = [_layer(named, f"layers.{index}.", scale) for index in range(sizes.layers)]
        return cls(sizes, named["embed_tokens.weight"], layers, named["norm.weight"], named["lm_head.weight"])

    def in_four_bits(self) -> Llama:
        """The blocks' matrices in bitsandbytes' NF4; raises ImportError without it."""
        return Llama(self.sizes, self.embedding, [_four_bits(layer) for layer in self.layers], self.norm, self.head)

    @property
    def stored_bytes(self) -> int:
        """What one token's pass reads of weights."""
        matrices = [part for layer in self.layers for part in layer if part is not None]
        return sum(_bytes(part) for part in (*matrices, self.norm, self.head))


class Sentences:
    """Writes `rows` answers of `new` tokens at once, to prompts of up to `prompt` tokens."""

    def __init__(self, model: Llama, rows: int, prompt: int, new: int, use_compiled: bool = False) -> None:
        self.model, self.rows, self.prompt, self.new = model, rows, prompt, new
        sizes, device = model.sizes, model.head.device
        self.places = -(-(prompt + new) // 8) * 8  # masks of other lengths are slow on CUDA
        shape = (rows, sizes.heads, self.places, sizes.dim // sizes.heads)
        self._cache = [
            (
                torch.zeros(shape, device=device, dtype=model.head.dtype),
                torch.zeros(shape, device=device, dtype=model.head.dtype),
            )
            for _ in range(sizes.layers)
        ]
        self._token = torch.zeros(rows, dtype=torch.int64, device=device)
        self._position = torch.zeros(rows, dtype=torch.int64, device=device)
        self._turn = rotation(sizes, self.places, device)
        can_compile = use_compiled and all(isinstance(part, Tensor) for part in model.layers[0] if part is not None)
        self._read_block = compiled(_read) if can_compile else _read
        self._write_block = compiled(_write) if can_compile else _write
        state = [self._token, self._position, *(part for pair in self._cache for part in pair)]
        ids = torch.zeros(rows, prompt, dtype=torch.int64, device=device)
        self._read_step = CapturedStep(self._read_prompts, (ids, ids[:, 0] + 1), state=state)
        self._write_step = CapturedStep(self._write_token, (), state=state)

    def write(self, ids: Tensor, lengths: Tensor, after_token: Callable[[int], None] | None = None) -> Tensor:
        """Token ids (rows, new) that follow the prompts `ids` (rows, prompt), padded behind their `lengths` (rows,).

        `after_token(count)` is called when so many tokens a row are on their way: on CUDA, to record an event.
        """
        written = [self._read_step(ids, lengths)[0]]
        for count in range(1, self.new + 1):
            if after_token is not None:
                after_token(count)
            if count < self.new:
                written.append(self._write_step()[0])
        return torch.stack(written, 1)

    def _read_prompts(self, ids: Tensor, lengths: Tensor) -> Tensor:
        turn = Rotation(self._turn.cos[: self.prompt], self._turn.sin[: self.prompt])
        steps = self.model.embedding[ids]
        for layer, (keys, values) in zip(self.model.layers, self._cache, strict=True):
            steps = self._read_block(steps, layer, keys, values, turn, self.model.sizes.eps)
        self._position.copy_(lengths)
        return self._chosen(steps[torch.arange(self.rows, device=ids.device), lengths - 1])

    def _write_token(self) -> Tensor:
        at = self._position
        turn = Rotation(self._turn.cos[at][:, None, None], self._turn.sin[at][:, None, None])
        seen = (torch.arange(self.places, device=at.device) <= at[:, None])[:, None, None]
        steps = self.model.embedding[self._token][:, None]
        for layer, (keys, values) in zip(self.model.layers, self._cache, strict=True):
            steps = self._write_block(steps, layer, keys, values, turn, self.model.sizes.eps, at, seen)
        self._position.add_(1)
        return self._chosen(steps[:, 0])

    def _chosen(self, last: Tensor) -> Tensor:
        normed = rms_norm(last, last.shape[-1:], self.model.norm, self.model.sizes.eps)
        chosen = linear(normed, self.model.head).argmax(-1)
        self._token.copy_(chosen)
        return chosen


def _read(steps: Tensor, layer: Layer, keys: Tensor, values: Tensor, turn: Rotation, eps: float) -> Tensor:
    """One block over whole prompts (rows, prompt, dim); a row's padding lies behind it, where nothing looks."""
    query, key, value = _heads(steps, layer, keys.shape[1], turn, eps)
    keys[:, :, : key.shape[2]] = key
    values[:, :, : key.shape[2]] = value
    return _leave(steps, scaled_dot_product_attention(query, key, value, is_causal=True), layer, eps)


def _write(
    steps: Tensor, layer: Layer, keys: Tensor, values: Tensor, turn: Rotation, eps: float, at: Tensor, seen: Tensor
) -> Tensor:
    """One block for one token a row (rows, 1, dim), at the places `at` (rows,) of the cache."""
    query, key, value = _heads(steps, layer, keys.shape[1], turn, eps)
    rows = torch.arange(len(steps), device=steps.device)
    keys[rows, :, at] = key[:, :, 0]
    values[rows, :, at] = value[:, :, 0]
    return _leave(steps, scaled_dot_product_attention(query, keys, values, seen), layer, eps)


def _heads(steps: Tensor, layer: Layer, heads: int, turn: Rotation, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    rows, count, dim = steps.shape
    normed = rms_norm(steps, (dim,), layer.norm1, eps)
    joined = _times(normed, layer.qkv)
    if layer.lora_in is not None and layer.lora_out is not None:
        joined = joined + linear(linear(normed, layer.lora_in), layer.lora_out)
    query, key, value = joined.view(rows, count, 3, heads, dim // heads).permute(2, 0, 3, 1, 4).unbind(0)
    return rotate(query, turn), rotate(key, turn), value


def _leave(steps: Tensor, mixed: Tensor, layer: Layer, eps: float) -> Tensor:
    steps = steps + _times(mixed.transpose(1, 2).flatten(2), layer.out)
    gate, up = _times(rms_norm(steps, steps.shape[-1:], layer.norm2, eps), layer.gate_up).chunk(2, -1)
    return steps + _times(silu(gate) * up, layer.down)


def _times(inputs: Tensor, matrix: Matrix) -> Tensor:
    return linear(inputs, matrix) if isinstance(matrix, Tensor) else matrix(inputs)


def rotation(sizes: LlamaSizes, positions: int, device: torch.device) -> Rotation:
    """Of all positions, (positions, channels); channel i turns with channel i + channels / 2, as transformers has it."""
    channels = sizes.dim // sizes.heads
    half = torch.arange(channels // 2, device=device, dtype=torch.float64)
    angles = torch.arange(positions, device=device)[:, None] * sizes.rotary_base ** (-2 * half / channels)
    cos, sin = angles.cos().float(), angles.sin().float()
    return Rotation(torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1))


@dataclass(frozen=True)
class FourBits:
    """A matrix in NF4 blocks of bitsandbytes (Dettmers et al., arXiv 2305.14314)."""

    packed: Tensor
    scales: Any

    def __call__(self, inputs: Tensor) -> Tensor:
        """inputs (..., in) -> (..., out)."""
        from bitsandbytes.autograd._functions import matmul_4bit

        product: Tensor = matmul_4bit(inputs, self.packed.t(), quant_state=self.scales)
        return product


def _four_bits(layer: Layer) -> Layer:
    from bitsandbytes.functional import quantize_4bit

    def packed(matrix: Matrix) -> FourBits:
        assert isinstance(matrix, Tensor), "in four bits already"
        return FourBits(*quantize_4bit(matrix, quant_type="nf4"))

    return layer._replace(
        qkv=packed(layer.qkv), out=packed(layer.out), gate_up=packed(layer.gate_up), down=packed(layer.down)
    )


def _bytes(part: Any) -> int:
    tensor = part.packed if isinstance(part, FourBits) else part
    return int(tensor.numel() * tensor.element_size())


def _plain_name(name: str) -> str:
    return re.sub(r"^(base_model\.model\.)?(model\.)?|\.base_layer|\.default", "", name)


def _layer(named: Mapping[str, Tensor], at: str, scale: float) -> Layer:
    def joined(*parts: str) -> Tensor:
        return torch.cat([named[f"{at}{part}_proj.weight"] for part in parts])

    plain = Layer(
        named[f"{at}input_layernorm.weight"], joined("self_attn.q", "self_attn.k", "self_attn.v"),
        joined("self_attn.o"), named[f"{at}post_attention_layernorm.weight"], joined("mlp.gate", "mlp.up"),
        joined("mlp.down"),
    )  # fmt: skip
    adapted = {name.split(".")[-3] for name in named if name.startswith(at) and ".lora_A." in name}
    if not adapted:
        return plain
    if adapted != {"q_proj", "v_proj"}:
        raise ValueError(f"expected LoRA on q_proj and v_proj, but got {sorted(adapted)}: merge this adapter first")
    return _with_lora(plain, named, f"{at}self_attn.", scale)


def _with_lora(layer: Layer, named: Mapping[str, Tensor], at: str, scale: float) -> Layer:
    """Both pairs as one: what goes in side by side, what comes out at the places of queries and values."""
    query, value = (named[f"{at}{part}_proj.lora_B.weight"] * scale for part in "qv")
    dim, rank = query.shape
    out = query.new_zeros(3 * dim, 2 * rank)
    out[:dim, :rank], out[2 * dim :, rank:] = query, value
    inside = torch.cat([named[f"{at}{part}_proj.lora_A.weight"] for part in "qv"])
    return layer._replace(lora_in=inside, lora_out=out)
