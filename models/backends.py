"""What runs the picture networks: torch, or OpenVINO in bfloat16 where it is installed (the extra `fast`).

A backend turns a module over uint8 pictures into a function over numpy batches of any size. Batches are cut and padded to
a few fixed sizes, so that every shape is prepared once, before the first stream.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.captured import CapturedStep
from models.folding import folded

Pictures = NDArray[np.uint8]
Network = Callable[[Pictures], NDArray[np.float32]]
"""uint8 (N, ...) -> float32 (N, ...); any N, also 0."""
Function = Callable[..., tuple[Tensor, ...]]
BackendName = Literal["auto", "torch", "openvino"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
SIZES = (8, 16, 24, 32, 48, 64)
"""Batches that are prepared: a chunk has 8 frames and up to 16 hands."""


@dataclass(frozen=True)
class Backend:
    """`name` is one of BACKENDS, `precision` "f32" or "bf16" (OpenVINO on a CPU), `threads` those of one call."""

    name: BackendName = "auto"
    device: str = "cpu"
    threads: int = 1
    precision: Literal["f32", "bf16"] = "bf16"

    def __post_init__(self) -> None:
        if self.name not in BACKENDS:
            raise ValueError(f"a backend is one of {', '.join(BACKENDS)}, got {self.name!r}")
        if self.name == "openvino" and not has_openvino():
            raise ValueError("the backend openvino needs its package: pip install 'signbind[fast]', or choose torch")
        if self.name == "openvino" and self.device != "cpu":
            raise ValueError(f"the backend openvino is for the CPU, got device {self.device!r}: choose torch")

    @property
    def chosen(self) -> Literal["torch", "openvino"]:
        """What "auto" comes to on this machine."""
        if self.name != "auto":
            return self.name
        return "openvino" if self.device == "cpu" and has_openvino() else "torch"

    def network(self, module: nn.Module, example: Pictures) -> Network:
        """The module, folded, as a function; `example` is one picture as it comes, (1, ...)."""
        prepared = folded(module)
        if self.chosen == "openvino":
            return Sized(_openvino(prepared, example, self), example)
        return Sized(_torch(prepared, self.device), example)

    def function(self, module: nn.Module, example: tuple[Tensor, ...]) -> Function:
        """The module as a function of tensors: on a GPU a captured graph, for shapes like the example's.

        Always torch: the networks over time are bound by reading their weights, and OpenVINO read them no faster.
        """
        module = module.eval()
        if self.device == "cpu":
            return torch.inference_mode()(module)
        return CapturedStep(module, example, device=self.device)


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


class Sized:
    """Cuts and pads batches to SIZES, every one of which has run once when the object is made."""

    def __init__(self, run: Network, example: Pictures) -> None:
        self._run = run
        self._outputs = run(np.repeat(example, SIZES[0], 0)).shape[1:]
        for size in SIZES[1:]:
            run(np.repeat(example, size, 0))

    def __call__(self, pictures: Pictures) -> NDArray[np.float32]:
        if not len(pictures):
            return np.zeros((0, *self._outputs), np.float32)
        largest = SIZES[-1]
        parts = [self._part(pictures[start : start + largest]) for start in range(0, len(pictures), largest)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, pictures: Pictures) -> NDArray[np.float32]:
        count = len(pictures)
        size = next(size for size in SIZES if size >= count)
        if size > count:
            padded = np.zeros((size, *pictures.shape[1:]), np.uint8)
            padded[:count] = pictures
            pictures = padded
        return self._run(pictures)[:count]


def _torch(module: nn.Module, device: str) -> Network:
    module = module.to(device)

    @torch.inference_mode()
    def run(pictures: Pictures) -> NDArray[np.float32]:
        out: Tensor = module(torch.from_numpy(pictures).to(device))
        return out.float().cpu().numpy()

    return run


def _openvino(module: nn.Module, example: Pictures, backend: Backend) -> Network:
    request = _request(module, example, backend)

    def run(pictures: Pictures) -> NDArray[np.float32]:
        request.infer([pictures], share_inputs=True)
        return np.array(request.get_output_tensor(0).data, np.float32)

    return run


def _request(module: nn.Module, example: Pictures, backend: Backend) -> Any:
    """A compiled model's request for pictures like the example, any number of them."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # else it reports its use to Intel
    import openvino

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of the checks of shapes, which hold for every batch
        model = openvino.convert_model(module, example_input=torch.from_numpy(np.repeat(example, 2, 0)))
    model.reshape({0: openvino.PartialShape([-1, *example.shape[1:]])})
    hints: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": backend.precision, "INFERENCE_NUM_THREADS": backend.threads, "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # other processes need their cores as well
    }  # fmt: skip
    return openvino.Core().compile_model(model, "CPU", hints).create_infer_request()
