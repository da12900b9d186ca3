"""A function of tensors with fixed shapes, recorded once as a CUDA graph and replayed: one launch instead of hundreds.

On any other device the function is simply called, so callers have one code path and tests reach all of it. Shapes and
dtypes are checked on every device, since a graph that was fed something else would compute nonsense without a word.

What the function may do: tensor work whose shapes never depend on values; no `.item()`, no `.cpu()`, no counting in
Python (a replay runs no Python). Tensors that it writes in place between calls, such as the rings of a streaming
network, are its `state`: they are put back after the warm-up, so that recording leaves no trace in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from models.streaming import StreamState

Step = Callable[..., Tensor | tuple[Tensor, ...]]

WARM_UPS = 3
"""Calls before recording: lazy initialisation, compilation and the choice of kernels happen in them."""


class CapturedStep:
    """`function` with the shapes of `example_inputs`: call it with tensors like these, get a tuple of tensors.

    Inputs may lie in pinned host memory: they are copied into the graph's own buffers without blocking, so the caller
    leaves them alone until the step has run. The outputs are copies of the graph's own buffers. Graphs that never run
    at the same time may share one memory `pool` (`torch.cuda.graph_pool_handle()`). Everything runs on the caller's
    current stream; no gradients. Steps that run beside each other are made on different streams too: what cuBLAS works in
    belongs to the stream of the recording, and two graphs must not write there at once.

    Weights must stay where they are after recording; a module that was moved or reloaded needs a new CapturedStep.
    """

    def __init__(
        self,
        function: Step,
        example_inputs: tuple[Tensor, ...],
        *,
        device: torch.device | str | None = None,
        state: Sequence[Tensor] = (),
        pool: Any = None,
    ) -> None:
        self._function = function
        self.device = torch.device(device) if device is not None else _device(example_inputs, state)
        self._kinds = [(tensor.shape, tensor.dtype) for tensor in example_inputs]
        self._graph: torch.cuda.CUDAGraph | None = None
        if self.device.type == "cuda":
            with torch.cuda.device(self.device), torch.inference_mode(False), torch.no_grad():
                self._inputs = [tensor.detach().to(self.device, copy=True) for tensor in example_inputs]
                self._warm_up(state)
                self._record(pool)

    @property
    def captured(self) -> bool:
        """True where a graph is replayed, false where the function is called."""
        return self._graph is not None

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """One step; raises ValueError for inputs of another shape or dtype than the examples."""
        self._check(inputs)
        if self._graph is None:
            return _as_tuple(self._function(*(tensor.to(self.device) for tensor in inputs)))
        for buffer, tensor in zip(self._inputs, inputs, strict=True):
            if buffer.data_ptr() != tensor.data_ptr():
                buffer.copy_(tensor, non_blocking=True)
        self._graph.replay()
        return tuple(output.clone() for output in self._outputs)

    def _check(self, inputs: tuple[Tensor, ...]) -> None:
        kinds = [(tensor.shape, tensor.dtype) for tensor in inputs]
        if kinds != self._kinds:
            raise ValueError(
                f"expected inputs {_said(self._kinds)}, but got {_said(kinds)}: pad to the captured shape, "
                "or capture a step for this one"
            )

    def _warm_up(self, state: Sequence[Tensor]) -> None:
        """Calls the function on a side stream, as recording asks for, and puts the state back."""
        kept = [tensor.clone() for tensor in state]
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side), torch.inference_mode():
            for _ in range(WARM_UPS):
                self._function(*self._inputs)
            for tensor, before in zip(state, kept, strict=True):
                tensor.copy_(before)
        torch.cuda.current_stream(self.device).wait_stream(side)
        torch.cuda.synchronize(self.device)

    def _record(self, pool: Any) -> None:
        """Records; nothing is computed, so the state stays as it is. Other threads may use the device meanwhile."""
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        stream = None if current == torch.cuda.default_stream(self.device) else current  # there nothing can be recorded
        recording = torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local")
        with recording, torch.inference_mode():
            self._outputs = _as_tuple(self._function(*self._inputs))
        self._graph = graph


SHAPES = 64  # of one compiled function; PyTorch's own limit of 8 would leave the ninth uncompiled
_COMPILED: dict[Callable[..., Any], Callable[..., Any]] = {}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` through torch.compile, once for all its callers: one compilation serves every layer.

    Weights go in as arguments, so that layers of equal shape share it. It fits inside a CapturedStep.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SHAPES)
    if function not in _COMPILED:
        _COMPILED[function] = torch.compile(function, dynamic=False)
    return _COMPILED[function]


def state_tensors(*states: Any) -> list[Tensor]:
    """Every tensor inside stream states, lists of them, and tensors: what to give as `state`."""
    found: list[Tensor] = []
    for state in states:
        if isinstance(state, Tensor):
            found.append(state)
        elif isinstance(state, StreamState):
            found += state_tensors(*(getattr(state, field.name) for field in fields(state)))  # type: ignore[arg-type]
        else:
            assert isinstance(state, list | tuple), type(state)
            found += state_tensors(*state)
    return found


def _device(inputs: Sequence[Tensor], state: Sequence[Tensor]) -> torch.device:
    """Where the step runs: with its state, else with its first input."""
    tensors = (*state, *inputs)
    if not tensors:
        raise ValueError(
            "expected a device, an input or a state tensor to know where to run, but got none: give `device`"
        )
    return tensors[0].device


def _as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _said(kinds: list[tuple[torch.Size, torch.dtype]]) -> str:
    return ", ".join(f"{str(dtype).removeprefix('torch.')} {tuple(shape)}" for shape, dtype in kinds) or "(none)"
