"""The ways to run one picture network on a processor: torch, ONNX Runtime, OpenVINO, in 32, 16 and 8 bits.

All are functions over uint8 batches. What is not installed is named, not missed. Eight bits: static quantisation, one
scale a channel of the weights, in QDQ form, which ONNX Runtime and OpenVINO both read (Jacob et al., arXiv 1712.05877).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.backends import Backend, Network, Pictures
from models.eight_bits import Subject, exported, quantised
from models.folding import folded
from models.gate import Gate
from models.graphs import session_options
from models.locate import Locator

PACKAGES = {"onnxruntime": ("onnx", "onnxruntime"), "openvino": ("openvino",)}


Way = Callable[[Subject, int], Network]
"""(what to run, threads) -> how."""


def missing(way: str) -> list[str]:
    """The packages that a way of WAYS needs and that are not installed."""
    engine, bits = way.split("_", 1)
    needed = PACKAGES.get(engine, ()) + (PACKAGES["onnxruntime"] if bits == "int8" else ())
    return sorted({name for name in needed if importlib.util.find_spec(name) is None})


def prepared(subject: Subject, threads: int) -> Iterator[tuple[str, Network]]:
    """Every way that can be had here."""
    for name, way in WAYS.items():
        if not missing(name):
            yield name, way(subject, threads)


def in_bfloat16(module: nn.Module) -> nn.Module:
    """A copy whose layers hold bfloat16 and cast what comes to them; the locator's maps and the gate come out in 32 bits."""
    module = deepcopy(module)
    for part in module.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Linear, nn.LayerNorm)):
            part.to(torch.bfloat16).register_forward_pre_hook(_cast)
        elif isinstance(part, nn.BatchNorm1d):
            part.register_forward_pre_hook(_cast_back)
        elif isinstance(part, (Locator, Gate)):
            part.register_forward_hook(lambda _, __, out: out.float())
    return module


def _cast(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].to(torch.bfloat16), *inputs[1:])


def _cast_back(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].float(), *inputs[1:])


def _eager(subject: Subject, threads: int) -> Network:
    return _torch(subject.module, threads)


def _folded(subject: Subject, threads: int) -> Network:
    return _torch(folded(subject.module).to(memory_format=torch.channels_last), threads)  # type: ignore[call-overload]


def _halved(subject: Subject, threads: int) -> Network:
    halved = in_bfloat16(folded(subject.module))
    return _torch(halved.to(memory_format=torch.channels_last), threads)  # type: ignore[call-overload]


def _torch(module: nn.Module, threads: int) -> Network:
    module = module.eval()

    @torch.inference_mode()
    def run(pictures: Pictures) -> Any:
        torch.set_num_threads(threads)
        out: Tensor = module(torch.from_numpy(pictures))
        return out.float().numpy()

    return run


def _onnx_exact(subject: Subject, threads: int) -> Network:
    return _onnxruntime(exported(subject), threads)


def _onnx_quantised(subject: Subject, threads: int) -> Network:
    return _onnxruntime(quantised(subject), threads)


def _onnxruntime(path: Path, threads: int) -> Network:
    runtime: Any = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(str(path), session_options(threads), providers=["CPUExecutionProvider"])
    return lambda pictures: np.asarray(session.run(None, {"pictures": pictures})[0], np.float32)


def _openvino_exact(subject: Subject, threads: int) -> Network:
    return Backend("openvino", threads=threads, precision="f32").network(subject.module, subject.calibration[:1])


def _openvino_halved(subject: Subject, threads: int) -> Network:
    return Backend("openvino", threads=threads, precision="bf16").network(subject.module, subject.calibration[:1])


def _openvino_quantised(subject: Subject, threads: int) -> Network:
    return Backend("openvino", threads=threads).network(subject.module, subject.calibration[:1], quantised(subject))


WAYS: dict[str, Way] = {
    "torch_fp32": _eager, "torch_folded_fp32": _folded, "torch_folded_bf16": _halved,
    "onnxruntime_fp32": _onnx_exact, "onnxruntime_int8": _onnx_quantised,
    "openvino_fp32": _openvino_exact, "openvino_bf16": _openvino_halved, "openvino_int8": _openvino_quantised,
}  # fmt: skip
