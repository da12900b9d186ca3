"""The ways to run one picture network on a processor: torch, ONNX Runtime, OpenVINO, in 32, 16 and 8 bits.

All are functions over uint8 batches. What is not installed is named, not missed. Eight bits: static quantisation, one
scale a channel of the weights, in QDQ form, which ONNX Runtime and OpenVINO both read (Jacob et al., arXiv 1712.05877).
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.backends import Backend, Network, Pictures
from models.folding import folded
from models.gate import Gate
from models.locate import Locator

OPSET = 17
CALIBRATED_AT_ONCE = 16
QUANTISED = {"Conv", "Gemm", "Add", "AveragePool", "Relu", "Resize"}
EXACT = "heads"
"""The locator's last layer keeps its 32 bits, and so does all that is computed of its maps and, before the first
convolution, of pixels: eight bits would round places to a whole cell's share."""
PACKAGES = {"onnxruntime": ("onnx", "onnxruntime"), "openvino": ("openvino",)}


@dataclass(frozen=True)
class Subject:
    """A network as trained, pictures to calibrate eight bits on, and a folder for its files."""

    name: str
    module: nn.Module
    calibration: Pictures
    folder: Path

    @property
    def exact(self) -> Path:
        return self.folder / f"{self.name}.onnx"

    @property
    def quantised(self) -> Path:
        return self.folder / f"{self.name}.int8.onnx"


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
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # who waits must not slow the next one
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda pictures: np.asarray(session.run(None, {"pictures": pictures})[0], np.float32)


def _openvino_exact(subject: Subject, threads: int) -> Network:
    return Backend("openvino", threads=threads, precision="f32").network(subject.module, subject.calibration[:1])


def _openvino_halved(subject: Subject, threads: int) -> Network:
    return Backend("openvino", threads=threads, precision="bf16").network(subject.module, subject.calibration[:1])


def _openvino_quantised(subject: Subject, threads: int) -> Network:
    core: Any = importlib.import_module("openvino").Core()
    hints: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
                             "ENABLE_CPU_PINNING": False}  # fmt: skip
    request = core.compile_model(core.read_model(str(quantised(subject))), "CPU", hints).create_infer_request()

    def run(pictures: Pictures) -> Any:
        request.infer([pictures], share_inputs=True)
        return np.array(request.get_output_tensor(0).data, np.float32)

    return run


WAYS: dict[str, Way] = {
    "torch_fp32": _eager, "torch_folded_fp32": _folded, "torch_folded_bf16": _halved,
    "onnxruntime_fp32": _onnx_exact, "onnxruntime_int8": _onnx_quantised,
    "openvino_fp32": _openvino_exact, "openvino_bf16": _openvino_halved, "openvino_int8": _openvino_quantised,
}  # fmt: skip


def exported(subject: Subject) -> Path:
    """The network, folded, as an ONNX file for any number of pictures; written once."""
    if subject.exact.is_file():
        return subject.exact
    any_number = {"pictures": {0: "count"}, "out": {0: "count"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of the checks of shapes, which hold for every batch
        torch.onnx.export(
            folded(subject.module), (torch.from_numpy(subject.calibration[:2]),), str(subject.exact), dynamo=False,
            opset_version=OPSET, input_names=["pictures"], output_names=["out"], dynamic_axes=any_number,
        )  # fmt: skip
    return subject.exact


def quantised(subject: Subject) -> Path:
    """The network in eight bits, its ranges seen on the calibration pictures; written once."""
    if subject.quantised.is_file():
        return subject.quantised
    quantisation: Any = importlib.import_module("onnxruntime.quantization")
    graph = importlib.import_module("onnx").load(str(exported(subject))).graph
    with _quiet():
        quantisation.quantize_static(
            str(subject.exact), str(subject.quantised), _Calibration(subject.calibration),
            quant_format=quantisation.QuantFormat.QDQ, per_channel=True, activation_type=quantisation.QuantType.QUInt8,
            weight_type=quantisation.QuantType.QInt8, nodes_to_quantize=[n.name for n in graph.node if in_eight_bits(n)],
            calibrate_method=quantisation.CalibrationMethod.MinMax,
        )  # fmt: skip
    return subject.quantised


def in_eight_bits(node: Any) -> bool:
    """Whether a node of the graph is a layer of the network and not arithmetic before or after it ("/Add", say)."""
    within_a_part = str(node.name).count("/") >= 2
    return node.op_type in QUANTISED and within_a_part and EXACT not in node.name


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser logs advice as warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Calibration:
    """Batches of pictures, in the form that ONNX Runtime's quantiser asks for."""

    def __init__(self, pictures: Pictures) -> None:
        starts = range(0, len(pictures), CALIBRATED_AT_ONCE)
        self._batches = iter([pictures[start : start + CALIBRATED_AT_ONCE] for start in starts])

    def get_next(self) -> dict[str, Pictures] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"pictures": batch}
