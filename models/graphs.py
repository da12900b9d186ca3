"""A module as a graph without weights (ONNX), which ONNX Runtime runs on a processor with the module's own weights.

The graph is a small file beside the weights, written in training with the extra `bench`; the extra `fast` runs it. Its name
says what sizes it was made for, so after training again with the same sizes it still holds, and of other sizes it is not
found. Results are those of the module but for rounding, whatever else is in the batch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when ONNX Runtime is loaded: else it reports its use to Microsoft

OPSET = 17
WEIGHTS = "the module's own"
"""Where the graph says that its weights lie: no file, they are handed over."""


def has_onnxruntime() -> bool:
    """Whether ONNX Runtime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def graph_file(folder: Path, name: str, module: nn.Module, example: tuple[Tensor, ...]) -> Path:
    """Where the graph of a module is that takes inputs like these, but for the first axis, which is free."""
    kinds = [(key, value.dtype, tuple(value.shape)) for key, value in sorted(module.state_dict().items())]
    kinds += [(_input(at), tensor.dtype, tuple(tensor.shape[1:])) for at, tensor in enumerate(example)]
    return folder / f"{name}.{hashlib.sha256(repr(kinds).encode()).hexdigest()[:8]}.onnx"


@torch.inference_mode()
def write_graph(folder: Path, name: str, module: nn.Module, example: tuple[Tensor, ...]) -> Path:
    """Traces the module, in place of older graphs of this name. The example has at least two rows, so that none is taken
    for one that is always alone."""
    assert len(example[0]) > 1, example[0].shape
    onnx: Any = importlib.import_module("onnx")
    inputs = [_input(at) for at in range(len(example))]
    outputs = [f"out{at}" for at in range(len(module(*example)))]
    path = graph_file(folder, name, module, example)
    fresh = path.with_suffix(".new")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of the checks of shapes, which hold for every batch
        torch.onnx.export(
            _with_other_weights(module), example, str(fresh), dynamo=False, opset_version=OPSET, input_names=inputs,
            output_names=outputs, dynamic_axes={key: {0: "rows"} for key in inputs + outputs}, export_params=False,
            do_constant_folding=False,
        )  # fmt: skip
    model = onnx.load(str(fresh), format="protobuf")
    _without_weights(model.graph, module, onnx)
    fresh.write_bytes(model.SerializeToString())
    for old in folder.glob(f"{name}.*.onnx"):
        old.unlink()
    return fresh.replace(path)


def _with_other_weights(module: nn.Module) -> nn.Module:
    """A copy in which no two weights are equal: the exporter would make one of them, and others may not be equal."""
    other = deepcopy(module)
    for value in other.state_dict().values():
        assert value.is_floating_point(), value.dtype
        nn.init.normal_(value)
    return other


def _without_weights(graph: Any, module: nn.Module, onnx: Any) -> None:
    """What came as inputs with the weights' names become weights that lie elsewhere; where in the code a node was traced is
    left out."""
    weights = module.state_dict()
    for value in [value for value in graph.input if value.name in weights]:
        tensor = graph.initializer.add(
            name=value.name, dims=weights[value.name].shape, data_type=value.type.tensor_type.elem_type,
            data_location=onnx.TensorProto.EXTERNAL,
        )  # fmt: skip
        tensor.external_data.add(key="location", value=WEIGHTS)
        graph.input.remove(value)
    lost = set(weights) ^ {tensor.name for tensor in graph.initializer}
    assert not lost, f"in the graph or the module alone: {sorted(lost)}"
    for node in graph.node:
        node.ClearField("doc_string")


def session_options(threads: int) -> Any:
    """ONNX Runtime's, for a network that shares the processor: who waits must not slow the next one."""
    options = importlib.import_module("onnxruntime").SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class Graph:
    """A written graph with the weights of `module`, as a function of tensors: any number of rows, also from many threads at
    once, each on `threads` cores."""

    def __init__(self, path: Path, module: nn.Module, threads: int = 1) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = session_options(threads)
        options.log_severity_level = 3
        # Held here as well: the session reads some of them where they lie.
        self._weights = {key: value.detach().contiguous().numpy() for key, value in module.state_dict().items()}
        held = [runtime.OrtValue.ortvalue_from_numpy(value) for value in self._weights.values()]
        options.add_external_initializers(list(self._weights), held)
        self._session = runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        fed = {_input(at): tensor.numpy() for at, tensor in enumerate(inputs)}
        return tuple(torch.from_numpy(output) for output in self._session.run(None, fed))


def _input(at: int) -> str:
    return f"in{at}"
