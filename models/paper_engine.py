"""One GPU's tick at the paper's sizes: copy, sight and the networks over time on three streams, two batches in flight.

While one batch is encoded the next one's frames cross from pinned memory, and the last one's experts run beside. On a
CPU the same calls run one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.captured import CapturedStep
from models.clock import CHUNK_FRAMES
from models.paper import PaperSight, PaperTemporal

IN_FLIGHT = 2
PATIENCE_S, POLL_S = 20.0, 2e-4


@dataclass(frozen=True)
class Ticket:
    """A batch on its way; `wait` returns when its symbols are in the host's memory."""

    log_probs: Tensor
    symbols: Tensor
    done: Any = None

    def wait(self) -> None:
        """Sleeps, not spins, until the batch is done; raises TimeoutError where the device does not come back."""
        given_up_s = time.perf_counter() + PATIENCE_S
        while self.done is not None and not self.done.query():
            if time.perf_counter() > given_up_s:
                raise TimeoutError(f"a batch was not done after {PATIENCE_S:.0f} s: the device hangs")
            time.sleep(POLL_S)


class Lane:
    """A CUDA stream, or nothing on a CPU."""

    def __init__(self, device: torch.device, priority: int = 0) -> None:
        self.stream: Any = None
        if device.type == "cuda":
            self.stream = torch.cuda.Stream(device, priority=priority)  # type: ignore[no-untyped-call]

    def use(self) -> AbstractContextManager[Any]:
        """Work given inside goes to this lane."""
        return torch.cuda.stream(self.stream) if self.stream is not None else nullcontext()

    def after(self, other: Lane) -> None:
        """What comes next here waits for all that was given there."""
        if self.stream is not None:
            self.stream.wait_stream(other.stream)

    def keeps(self, *tensors: Tensor) -> None:
        """Memory of tensors that other lanes made stays theirs until this one has used it."""
        if self.stream is not None:
            for tensor in tensors:
                tensor.record_stream(self.stream)


class PaperEngine:
    """`submit` takes the chunks of up to max(batches) streams; a batch is padded to the next captured size."""

    def __init__(self, sight: PaperSight, temporal: PaperTemporal, batches: Sequence[int]) -> None:
        self.sight, self.temporal, self.batches = sight, temporal, sorted(batches)
        self.device, self.slots = temporal.device, temporal.slots
        self._copy, self._see, self._hear = Lane(self.device), Lane(self.device), Lane(self.device, priority=-1)
        sizes, largest = sight.config, self.batches[-1]
        shape = (largest, CHUNK_FRAMES, sizes.height, sizes.width, 3)
        self._staging = [torch.zeros(shape, dtype=torch.uint8, device=self.device) for _ in range(IN_FLIGHT)]
        self._boxes = [torch.zeros(largest, CHUNK_FRAMES, 4, 4, device=self.device) for _ in range(IN_FLIGHT)]
        self._turn = 0
        self._pools = [torch.cuda.graph_pool_handle() if self.device.type == "cuda" else None for _ in range(2)]
        with self._see.use():
            self._sights = {size: self._sight_step(size) for size in self.batches}
        with self._hear.use():
            self._temporals = {size: self._temporal_step(size) for size in self.batches}
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def largest(self) -> int:
        """Most chunks in one batch."""
        return self.batches[-1]

    def fitting(self, due: int) -> int:
        """How many of `due` chunks to take now: what fills a captured size, and the rest in the next batch; padding
        costs as much as chunks do. Fewer than the smallest size are padded."""
        return max((size for size in self.batches if size <= due), default=due)

    def submit(self, chunks: Sequence[Tensor], boxes: Tensor, rows: Sequence[int]) -> Ticket:
        """Starts a batch: `chunks` are (CHUNK_FRAMES, height, width, 3) uint8 on the host, pinned on a CUDA machine;
        `boxes` (largest, CHUNK_FRAMES, 4, 4) likewise; `rows` are the chunks' slots. At most IN_FLIGHT may be open.
        """
        assert 0 < len(chunks) == len(rows) <= self.largest, (len(chunks), len(rows))
        size = next(size for size in self.batches if size >= len(chunks))
        staging, places = self._staging[self._turn], self._boxes[self._turn]
        self._turn = (self._turn + 1) % IN_FLIGHT
        with self._copy.use():
            for index, chunk in enumerate(chunks):
                staging[index].copy_(chunk, non_blocking=True)
            places.copy_(boxes, non_blocking=True)
            numbers = torch.tensor([*rows, *[self.slots] * (size - len(rows))])
            numbers = self._pinned(numbers).to(self.device, non_blocking=True)
        self._see.after(self._copy)
        with self._see.use():
            (features,) = self._sights[size](staging[:size].flatten(0, 1), places[:size].flatten(0, 1))
        self._hear.after(self._see)
        self._hear.keeps(features, numbers)
        with self._hear.use():
            log_probs, symbols = self._temporals[size](features, numbers)
            return self._ticket(log_probs, symbols)

    def _ticket(self, log_probs: Tensor, symbols: Tensor) -> Ticket:
        if self.device.type != "cuda":
            return Ticket(log_probs, symbols)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ticket = Ticket(self._to_host(log_probs), self._to_host(symbols), done)
        done.record()
        return ticket

    def _to_host(self, part: Tensor) -> Tensor:
        return torch.empty(part.shape, dtype=part.dtype, pin_memory=True).copy_(part, non_blocking=True)

    def _pinned(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def _sight_step(self, size: int) -> CapturedStep:
        frames, boxes = self._staging[0][:size].flatten(0, 1), self._boxes[0][:size].flatten(0, 1)
        return CapturedStep(self.sight, (frames, boxes), pool=self._pools[0])

    def _temporal_step(self, size: int) -> CapturedStep:
        features = torch.zeros(size * CHUNK_FRAMES, self.temporal.config.manual + self.temporal.config.mouth.dim,
                               dtype=self.sight.dtype, device=self.device)  # fmt: skip
        rows = torch.full((size,), self.slots, device=self.device)
        return CapturedStep(self.temporal, (features, rows), state=self.temporal.state, pool=self._pools[1])
