"""What runs the picture networks: torch, or OpenVINO in eight or sixteen bits where it is installed (extra `fast`).

A backend turns a module over uint8 pictures into a function over numpy batches of any size. Batches are cut and padded to
a few fixed sizes, so that every shape is prepared once, before the first stream.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import os
import queue
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.captured import CapturedStep
from models.folding import folded
from models.graphs import Graph, has_onnxruntime

log = logging.getLogger("signbind.backends")

Pictures = NDArray[np.uint8]
Network = Callable[[Pictures], NDArray[np.float32]]
"""uint8 (N, ...) -> float32 (N, ...); any N, also 0."""
Function = Callable[..., tuple[Tensor, ...]]
BackendName = Literal["auto", "torch", "openvino"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
SIZES = (1, 2, 3, *range(4, 65, 4))
"""Batches on a core: more pictures take no less time each."""
SMALL_SIZES = (*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32)
"""The same for a network whose pictures are few and dear."""
CAPTURED_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Batches on a GPU, a captured graph each; others are padded to the next."""


@dataclass(frozen=True)
class Backend:
    """`name` is one of BACKENDS, `precision` that of OpenVINO on a CPU; so many `threads` may call at the same time.

    "int8": eight bits where the checkpoint has a network in them, bfloat16 for the others. On a GPU the picture networks
    multiply in bfloat16, unless `precision` is "f32". `cache` is a folder where what OpenVINO made of those in eight bits is
    kept for the next process, which is ready with it in a fifth of the time.
    """

    name: BackendName = "auto"
    device: str = "cpu"
    threads: int = 1
    precision: Literal["f32", "bf16", "int8"] = "int8"
    cache: Path | None = None
    threads_a_step: int = 1
    """Cores of one step over time in ONNX Runtime: the others see the next pictures meanwhile."""

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

    def network(
        self, module: nn.Module, example: Pictures, eight_bits: Path | None = None, sizes: Sequence[int] = SIZES,
        *, measures: bool = False,
    ) -> Network:  # fmt: skip
        """The module, folded, as a function; `example` is one picture as it comes, (1, ...); `eight_bits` the same network
        in that form, if there is one; `sizes` its batches on a CPU. What `measures` places is never in bfloat16 on a GPU."""
        if self.device != "cpu":
            half = self.precision != "f32" and not measures
            captured = CapturedPictures(folded(module), torch.device(self.device), example, CAPTURED_SIZES, half)
            return Sized(captured, example, CAPTURED_SIZES)
        if self.chosen == "torch":
            return Sized(_torch(folded(module)), example, sizes)
        if self.precision == "int8" and eight_bits is not None and eight_bits.is_file():
            return Sized(_openvino(str(eight_bits), self, _kept(eight_bits, self.cache)), example, sizes)
        return Sized(_openvino(_converted(folded(module), example), self), example, sizes)

    def function(self, module: nn.Module, example: tuple[Tensor, ...], graph: Path | None = None) -> Function:
        """The module as a function of tensors: on a GPU a captured graph, for shapes like the example's; on a CPU for any
        number of rows, by ONNX Runtime with the `graph` that was written of it (`graphs.py`), or else by torch.

        Small steps are many small operations, which ONNX Runtime does in half of torch's time; OpenVINO in no less.
        """
        module = module.eval()
        if self.device != "cpu":
            return CapturedStep(module, example, device=self.device)
        if self.name != "torch" and graph is not None and graph.is_file() and has_onnxruntime():
            return Graph(graph, module, self.threads_a_step)
        return torch.inference_mode()(module)


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


class Sized:
    """Cuts batches of any size into parts that are as large as each other, and pads those to `sizes`.

    A padded picture costs as much as one that is seen. But OpenVINO takes longer for the first batch of another size (4 to 30 ms,
    once in a worker's life) and 1 ms more for any that is not as large as the last, so not every size is one.
    """

    def __init__(self, run: Network, example: Pictures, sizes: Sequence[int] = SIZES) -> None:
        self._run, self._sizes = run, sizes
        self._outputs = run(np.repeat(example, sizes[0], 0)).shape[1:]

    def __call__(self, pictures: Pictures) -> NDArray[np.float32]:
        if not len(pictures):
            return np.zeros((0, *self._outputs), np.float32)
        most = self._sizes[-1]
        size = self._fitting(-(-len(pictures) // -(-len(pictures) // most)))  # parts of one size, as few as can be
        parts = [self._part(pictures[start : start + size]) for start in range(0, len(pictures), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, pictures: Pictures) -> NDArray[np.float32]:
        count = len(pictures)
        size = self._fitting(count)
        if size > count:
            padded = np.zeros((size, *pictures.shape[1:]), np.uint8)
            padded[:count] = pictures
            pictures = padded
        return self._run(pictures)[:count]

    def _fitting(self, count: int) -> int:
        return next(size for size in self._sizes if size >= count)


class CapturedPictures:
    """A module on a GPU, one captured graph for each of `sizes`; pictures cross from pinned memory. Batches have these sizes, and
    one thread calls at a time.

    `half`: products in bfloat16, with channels last, everything else in float32.
    """

    def __init__(
        self, module: nn.Module, device: torch.device, example: Pictures, sizes: Sequence[int], half: bool = True
    ) -> None:
        self._module: Any = module.to(device)
        self._half = torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False)
        if half:
            for part in module.modules():
                if isinstance(part, nn.Conv2d | nn.Linear):
                    part.to(torch.bfloat16)
            self._module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        on_gpu, shape = device.type == "cuda", example.shape[1:]
        self._pinned = {size: torch.zeros((size, *shape), dtype=torch.uint8, pin_memory=on_gpu) for size in sizes}
        pool = torch.cuda.graph_pool_handle() if on_gpu else None
        self._steps = {
            size: CapturedStep(self._run, (pinned,), device=device, pool=pool) for size, pinned in self._pinned.items()
        }

    def __call__(self, pictures: Pictures) -> NDArray[np.float32]:
        size = len(pictures)
        pinned = self._pinned[size]
        pinned.copy_(torch.from_numpy(pictures))
        (out,) = self._steps[size](pinned)
        return out.cpu().numpy()

    def _run(self, pictures: Tensor) -> Tensor:
        with self._half:
            out: Tensor = self._module(pictures)
        return out.float()


def _torch(module: nn.Module) -> Network:
    @torch.inference_mode()
    def run(pictures: Pictures) -> NDArray[np.float32]:
        out: Tensor = module(torch.from_numpy(pictures))
        return out.float().numpy()

    return run


def _openvino(model: Any, backend: Backend, kept: Mapping[str, str] | None = None) -> Network:
    """A model of OpenVINO's, or the name of its file, as a function of any number of pictures: each calling thread has a core
    to itself, which is quicker than several cores in one call, where every layer waits for the slowest.

    For as many threads as may call there are as many copies: one copy with a stream for each of them would run in threads of
    its own, and every call would be handed over and back.
    """
    openvino = quiet_openvino()
    hints: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32" if backend.precision == "f32" else "bf16",
        "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # other processes need their cores as well
        **(kept or {}),
    }  # fmt: skip
    core, free = openvino.Core(), queue.SimpleQueue[Any]()
    for _ in range(backend.threads):
        free.put(core.compile_model(model, "CPU", hints).create_infer_request())

    def run(pictures: Pictures) -> NDArray[np.float32]:
        request = free.get()
        try:
            request.infer({0: pictures}, share_inputs=True, share_outputs=True)
            return np.array(request.get_output_tensor(0).data, np.float32)
        finally:
            free.put(request)

    return run


def _kept(file: Path, cache: Path | None) -> dict[str, str]:
    """What tells OpenVINO to keep the compiled file, and to take it from there if it has it already; nothing where that
    cannot be. OpenVINO's own key knows the file's name, time and size, and not what is in it: so the folder's name does."""
    if cache is None:
        return {}
    folder = cache / hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        log.warning("compiled networks are not kept, so every start takes longer: %s", error)
        return {}
    return {"CACHE_DIR": str(folder)} if os.access(folder, os.W_OK | os.X_OK) else {}


def _converted(module: nn.Module, example: Pictures) -> Any:
    openvino = quiet_openvino()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of the checks of shapes, which hold for every batch
        model = openvino.convert_model(module, example_input=torch.from_numpy(np.repeat(example, 2, 0)))
    model.reshape({0: openvino.PartialShape([-1, *example.shape[1:]])})
    return model


def load_libraries() -> None:
    """Loads what backends and language models may need, and runs nothing of it: no thread is started."""
    if has_openvino():
        quiet_openvino()
    if has_onnxruntime():
        importlib.import_module("onnxruntime")
    transformers = importlib.import_module("transformers")
    for name in ("LlamaForCausalLM", "PreTrainedTokenizerFast"):
        getattr(transformers, name)  # each class is loaded when it is first named
    patterns = importlib.import_module("transformers.conversion_mapping")
    patterns.get_checkpoint_conversion_mapping("llama")  # builds hundreds of them, once a process, at the first model


def quiet_openvino() -> Any:
    """The package; its first import goes by here, so that it reports nothing to anybody."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # else it reports its use to Intel
    return importlib.import_module("openvino")
