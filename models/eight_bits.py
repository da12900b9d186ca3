"""A picture network in eight bits: static quantisation, one scale a channel of the weights, in QDQ form, which ONNX Runtime and
OpenVINO both read (Jacob et al., arXiv 1712.05877). Making it needs the extra `bench`; OpenVINO alone runs it.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.backends import Pictures
from models.checkpoint import EIGHT_BITS
from models.folding import folded

OPSET = 17
CALIBRATED_AT_ONCE = 16
QUANTISED = {"Conv", "Gemm", "Add", "AveragePool", "Relu", "Resize"}
EXACT = "heads"
"""The locator's last layer keeps its 32 bits, and so does all that is computed of its maps and, before the first
convolution, of pixels: eight bits would round places to a whole cell's share."""


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
        return self.folder / f"{self.name}{EIGHT_BITS}"


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
