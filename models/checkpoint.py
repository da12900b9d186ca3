"""Weights on disk: NAME.safetensors (parameters in half precision), or NAME.npz.xz (packed in eight bits), beside NAME.json (the
config); loading is strict."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models import packed
from models.config import from_dict

M = TypeVar("M", bound=nn.Module)


class CheckpointError(ValueError):
    """A checkpoint that is absent, broken, or belongs to another network."""


FORMS = (".safetensors", packed.ENDING)
"""What the name of a file of weights ends in."""
EIGHT_BITS = ".int8.onnx"
"""What the name of a network's file in eight bits ends in (`eight_bits.py`)."""


def save(module: nn.Module, config: Any, folder: Path, name: str) -> None:
    """Write weights and config; parameters as fp16, buffers (measured figures) as they are. Replaces what was there, and
    removes copies of it in eight bits, which would be of other weights."""
    half = {key: value.detach().to("cpu", torch.float16) for key, value in module.named_parameters()}
    tensors = {key: half.get(key, value.detach().cpu()).contiguous() for key, value in module.state_dict().items()}
    _replace(folder, name, ".safetensors", lambda path: save_file(tensors, path))
    _describe(module, config, folder, name)


def save_small(module: nn.Module, config: Any, folder: Path, name: str) -> None:
    """`save`, packed: matrices and kernels in eight bits with a scale a row, a third of the size (`models/packed.py`)."""
    arrays = packed.rounded(module.state_dict(), kernels=True)
    _replace(folder, name, packed.ENDING, lambda path: packed.write(path, arrays))
    _describe(module, config, folder, name)


def _replace(folder: Path, name: str, ending: str, write: Callable[[Path], None]) -> None:
    """Writes NAME`ending` in one move, and removes the same weights in other forms, which would be others now."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{name}{ending}.new"
    write(fresh)
    os.replace(fresh, folder / f"{name}{ending}")
    for other in {*FORMS, EIGHT_BITS} - {ending}:
        (folder / f"{name}{other}").unlink(missing_ok=True)


def _describe(module: nn.Module, config: Any, folder: Path, name: str) -> None:
    assert is_dataclass(config), config
    assert not isinstance(config, type), config
    described = {"module": type(module).__name__, "config": asdict(config)}
    fresh = folder / f"{name}.json.new"
    fresh.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    os.replace(fresh, folder / f"{name}.json")


def load(cls: type[M], folder: Path, name: str) -> M:
    """Make a `cls` of its config and weights, in evaluation mode; `cls` takes one argument, `config: SomeConfig`."""
    weights, beside = _paths(folder, name)
    for path in (beside, weights):
        if not path.is_file():
            raise CheckpointError(f"expected {name} at {path}, but there is no such file: train it, or copy it there")
    module = cls(_read_config(cls, beside))
    tensors = _read_tensors(weights)
    _check(name, module.state_dict(), tensors)
    module.load_state_dict(tensors)
    return module.eval()


def has(folder: Path, name: str) -> bool:
    """Whether there is such a part at all, whole or not."""
    return any(path.exists() for path in _paths(folder, name))


def remove(folder: Path, name: str) -> None:
    """Takes a part away, in all its forms."""
    for ending in (*FORMS, EIGHT_BITS, ".json"):
        (folder / f"{name}{ending}").unlink(missing_ok=True)


def weights_file(folder: Path, name: str) -> Path:
    """Where a part's weights lie, in the form that is there; where they would lie, if there are none."""
    plain, small = (folder / f"{name}{ending}" for ending in FORMS)
    return small if small.is_file() and not plain.exists() else plain


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    """Weights and config."""
    return weights_file(folder, name), folder / f"{name}.json"


def _read_config(cls: type[nn.Module], path: Path) -> Any:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        made_for, values = described["module"], described["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"expected a module and its config in {path}, but got {error!r}: copy it anew") from error
    if made_for != cls.__name__:
        raise CheckpointError(f"expected a {cls.__name__} in {path}, but it holds a {made_for}: is it the right name?")
    try:
        return from_dict(get_type_hints(cls.__init__)["config"], values)
    except ValueError as error:
        raise CheckpointError(f"the config in {path} is of another version: {error}") from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.name.endswith(packed.ENDING):
        return _read_packed(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"expected safetensors in {path}, but it is broken ({error}): copy it anew") from error


def _read_packed(path: Path) -> dict[str, Tensor]:
    try:
        return packed.restored(packed.read(path))
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _check(name: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing, surplus = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise CheckpointError(f"{name} lacks {len(missing)} tensors, first {missing[0]}: another version saved it")
    if surplus:
        raise CheckpointError(
            f"{name} has {len(surplus)} surplus tensors, first {surplus[0]}: another version saved it"
        )
    for key, tensor in wanted.items():
        if tensor.shape != found[key].shape:
            raise CheckpointError(
                f"{name}: {key} is {tuple(tensor.shape)} by its config, but {tuple(found[key].shape)} in the file: "
                "config and weights are of different trainings"
            )
