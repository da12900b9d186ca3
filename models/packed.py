"""Weights on disk, small: matrices as whole numbers with a scale a row, all of it compressed; for what is read once."""

from __future__ import annotations

import io
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ENDING = ".npz.xz"
EIGHT_BITS = 127
"""Levels to either side of zero."""
Arrays = dict[str, NDArray[np.generic]]


def write(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    held = io.BytesIO()
    np.savez(held, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle
    path.write_bytes(lzma.compress(held.getvalue()))


def read(path: Path) -> Arrays:
    """ValueError for a file that is none of ours."""
    try:
        with np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as held:
            return dict(held)
    except (lzma.LZMAError, ValueError) as error:
        raise ValueError(f"expected packed weights in {path}, but it is broken ({error}): copy it anew") from error


def rounded(
    state: Mapping[str, Tensor], levels: Callable[[str], int] = lambda name: EIGHT_BITS, *, kernels: bool = False
) -> Arrays:
    """Tensors as arrays; matrices of more than one row, and with `kernels` those of convolutions, as int8 of at most
    `levels(name)`, beside NAME.scale (rows, 1, ...)."""
    held: Arrays = {}
    for name, tensor in state.items():
        value = tensor.detach().cpu()
        if value.is_floating_point() and (value.ndim == 2 or (kernels and value.ndim > 2)) and len(value) > 1:
            inner = tuple(range(1, value.ndim))
            scale = (value.float().abs().amax(inner, keepdim=True) / levels(name)).clamp(min=1e-8)
            held[name], held[f"{name}.scale"] = (value.float() / scale).round().to(torch.int8).numpy(), scale.numpy()
        else:
            held[name] = (value.float() if value.is_floating_point() else value).numpy()
    return held


def restored(held: Mapping[str, NDArray[np.generic]]) -> dict[str, Tensor]:
    """The reverse of `rounded`, in fp32."""
    tensors = {name: torch.from_numpy(value) for name, value in held.items()}
    return {
        name: value.float() * tensors[f"{name}.scale"] if value.dtype == torch.int8 else value
        for name, value in tensors.items()
        if not name.endswith(".scale")
    }
