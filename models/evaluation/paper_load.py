"""Live load without a network: streams at 25 frames a second whose chunks come due at moments of their own.

A chunk is due when its last frame is there; the engine takes what is due, oldest first, in batches of the captured sizes,
two in flight. Lag is from due to symbols in the host's memory, the wait for a place in a batch included.
"""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from models.clock import CHUNK_FRAMES, CHUNK_MS, FRAME_RATE_HZ
from models.paper import CROPS, PaperConfig
from models.paper_engine import IN_FLIGHT, PaperEngine, Ticket
from models.percentile import percentile

LAG_LIMIT_MS = 250.0
NEARLY = 0.985
POOL = 48  # different chunks in the host's memory; streams film them in turn


class Camera:
    """Chunks of random pixels in the host's memory, pinned for a GPU, and boxes of plausible sizes on them."""

    def __init__(self, config: PaperConfig, device: torch.device, pool: int = POOL) -> None:
        self.device = device
        shape = (pool, CHUNK_FRAMES, config.height, config.width, 3)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        self._chunks = pixels.pin_memory() if device.type == "cuda" else pixels
        plausible = torch.tensor(
            [[0.5, 0.55, 0.9, 1.0], [0.4, 0.6, 0.28, 1.0], [0.6, 0.6, 0.28, -1.0], [0.5, 0.35, 0.15, 1.0]]
        )
        assert len(plausible) == len(CROPS)
        self._plausible = plausible

    def chunk(self, stream: int, number: int) -> Tensor:
        """(CHUNK_FRAMES, height, width, 3) uint8."""
        return self._chunks[(7 * stream + number) % len(self._chunks)]

    def boxes(self, chunks: int) -> Tensor:
        """(chunks, CHUNK_FRAMES, 4 crops, 4) as `patches.cut` wants them."""
        boxes = self._plausible.expand(chunks, CHUNK_FRAMES, -1, -1).contiguous()
        return boxes.pin_memory() if self.device.type == "cuda" else boxes


@dataclass
class Load:
    """What one run of live streams gave."""

    streams: int
    lags_ms: list[float] = field(default_factory=list)
    last_lags_ms: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    @property
    def carried(self) -> bool:
        """Real time was kept: the lag is within its limit, at the end as well, where a growing queue would show."""
        return all(percentile(lags, 0.95) <= LAG_LIMIT_MS for lags in (self.lags_ms, self.last_lags_ms))

    def summary(self) -> dict[str, Any]:
        """For the report."""
        return {
            "streams": self.streams, "carried": self.carried, "chunks": len(self.lags_ms),
            "lag_ms_p50": percentile(self.lags_ms, 0.5), "lag_ms_p95": percentile(self.lags_ms, 0.95),
            "lag_ms_p99": percentile(self.lags_ms, 0.99), "lag_ms_p95_at_end": percentile(self.last_lags_ms, 0.95),
            "batch_mean": sum(self.batches) / max(1, len(self.batches)),
        }  # fmt: skip


class LiveRun:
    """`streams` paced streams for `seconds`; their phases are drawn, as cameras do not start together."""

    def __init__(
        self, engine: PaperEngine, camera: Camera, streams: int, seconds: float, largest: int | None = None
    ) -> None:
        assert streams <= engine.slots, (streams, engine.slots)
        self.largest = largest or engine.largest  # chunks in a batch: smaller ones are done sooner
        self.engine, self.camera, self.seconds = engine, camera, seconds
        self.load = Load(streams)
        self._boxes = camera.boxes(engine.largest)
        self._flying: deque[tuple[Ticket, list[float]]] = deque()
        drawn, self._begun = random.Random(0), time.perf_counter()
        self._due = [(self._begun + CHUNK_MS / 1000 * drawn.random(), stream, 0) for stream in range(streams)]
        heapq.heapify(self._due)

    def run(self, halfway: Callable[[], None] | None = None) -> Load:
        """Plays it to the end; `halfway` runs in a thread of its own from the middle on, and has ended on return."""
        with ThreadPoolExecutor(1) as beside:
            task: Future[None] | None = None
            while (passed := time.perf_counter() - self._begun) < self.seconds:
                if halfway is not None and task is None and passed > self.seconds / 2:
                    task = beside.submit(halfway)
                self._tick()
            while self._flying:
                self._land()
            if task is not None:
                task.result()
        return self.load

    def _tick(self) -> None:
        """Starts a batch of what is due; else finishes one, or sleeps until a chunk is due."""
        if len(self._flying) == IN_FLIGHT:
            self._land()
        due = self._take()
        if due:
            chunks = [self.camera.chunk(stream, number) for _, stream, number in due]
            ticket = self.engine.submit(chunks, self._boxes, [stream for _, stream, _ in due])
            self._flying.append((ticket, [moment for moment, _, _ in due]))
            self.load.batches.append(len(due))
        elif self._flying:
            self._land()
        else:
            time.sleep(max(0.0, self._due[0][0] - time.perf_counter()))

    def _take(self) -> list[tuple[float, int, int]]:
        """Chunks due by now, the oldest first; a stream has one chunk in a batch."""
        now, taken = time.perf_counter(), list[tuple[float, int, int]]()
        while len(taken) < self.largest and self._due and self._due[0][0] <= now:
            taken.append(heapq.heappop(self._due))
        fitting = self.engine.fitting(len(taken))
        for left in taken[fitting:]:
            heapq.heappush(self._due, left)
        del taken[fitting:]
        for moment, stream, number in taken:
            heapq.heappush(self._due, (moment + CHUNK_MS / 1000, stream, number + 1))
        return taken

    def _land(self) -> None:
        ticket, moments = self._flying.popleft()
        ticket.wait()
        now = time.perf_counter()
        for moment in moments:
            if moment > self._begun + self.seconds / 10:  # the first chunks meet cold caches
                self.load.lags_ms.append(1e3 * (now - moment))
            if moment > self._begun + self.seconds * 2 / 3:
                self.load.last_lags_ms.append(1e3 * (now - moment))


def most_streams(
    engine: PaperEngine, camera: Camera, rates: dict[int, float], seconds: float, say: Callable[[str], None]
) -> list[Load]:
    """Loads tried, from just under the offline rate downwards until one is carried.

    `rates` are frames a second by chunks in a batch; of sizes that are about equally quick the smallest is used.
    """
    largest = min(size for size, rate in rates.items() if rate >= NEARLY * max(rates.values()))
    limit = rates[largest] / FRAME_RATE_HZ
    tried: list[Load] = []
    for share in (0.98, 0.95, 0.92, 0.88, 0.84, 0.78, 0.7, 0.6, 0.5, 0.3):
        streams = max(1, min(engine.slots, math.floor(limit * share)))
        if tried and streams == tried[-1].streams:
            continue
        tried.append(LiveRun(engine, camera, streams, seconds, largest).run())
        lag = percentile(tried[-1].lags_ms, 0.95)
        say(
            f"live: {streams} streams, batches up to {largest}, lag p95 {lag:.0f} ms{'' if tried[-1].carried else ': too many'}"
        )
        if tried[-1].carried:
            break
    return tried
