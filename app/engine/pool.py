"""The server's side of the workers: streams are admitted to the worker with most room."""

from __future__ import annotations

import asyncio
from typing import Any

from app.engine.streams import EngineStream
from app.engine.workers import Place, Worker
from app.errors import failure
from app.metrics import Metrics
from app.settings import Settings
from models.hypothesis import StreamOptions


class Pool:
    """All workers of this machine."""

    def __init__(self, settings: Settings, metrics: Metrics, ring_capacity: int) -> None:
        self._settings, self._metrics = settings, metrics
        self.workers = [
            Worker(Place(index, device), settings, metrics, ring_capacity, self._report)
            for index, device in enumerate(settings.worker_devices)
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Begins to start the workers; `is_ready` says when one is."""
        self._tasks = [asyncio.create_task(worker.run(), name="worker") for worker in self.workers]
        self._report()

    @property
    def is_ready(self) -> bool:
        return any(worker.is_ready for worker in self.workers)

    @property
    def reason(self) -> str:
        """Why no worker is ready."""
        return "; ".join(sorted({worker.reason for worker in self.workers if not worker.is_ready}))

    @property
    def models(self) -> list[dict[str, Any]]:
        """What the ready workers have loaded, each checkpoint once."""
        found = {worker.model["id"]: worker.model for worker in self.workers if worker.model is not None}
        return list(found.values())

    @property
    def free_slots(self) -> int:
        return sum(worker.free_slots for worker in self.workers)

    async def until_ready(self, timeout_s: float, gives_up: bool = False) -> None:
        """Waits for the first ready worker; raises `not_ready`, with `gives_up` at the first that cannot start."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_ready:
                    if gives_up and any(worker.has_failed for worker in self.workers):
                        raise failure("not_ready", reason=self.reason)
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise failure("not_ready", reason=self.reason) from None

    def open(self, options: StreamOptions, refine_deadline_s: float) -> EngineStream:
        """Admits a stream to the least loaded worker; raises `not_ready`, `no_slot` or `overloaded` at once."""
        if not self.is_ready:
            raise failure("not_ready", reason=self.reason)
        roomy = [worker for worker in self.workers if worker.free_slots]
        if not roomy:
            raise failure("no_slot", retry_after_ms=2_000, slots=self._settings.total_slots)
        limit_ms = self._settings.max_queue_wait_ms
        quick = [worker for worker in roomy if worker.queue_wait_ms <= limit_ms]
        if not quick:
            wait_ms = min(worker.queue_wait_ms for worker in roomy)
            raise failure("overloaded", retry_after_ms=5_000, wait_ms=wait_ms, limit_ms=limit_ms)
        stream = least_loaded(quick).open(options, refine_deadline_s)
        assert stream is not None, "a worker with a free slot has none"
        return stream

    def end_soon(self) -> None:
        """No stream is opened any more."""
        for worker in self.workers:
            worker.is_ending = True

    async def aclose(self) -> None:
        """Ends every worker and waits until they are gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self.workers:
            worker.close_memory()

    def _report(self) -> None:
        for worker in self.workers:
            self._metrics.free_slots.labels(*worker.labels).set(worker.free_slots)
            self._metrics.ready_workers.labels(*worker.labels).set(worker.is_ready)
        self._changed.set()


def least_loaded(workers: list[Worker]) -> Worker:
    """The one with the largest share of its slots free; of several, the one where chunks wait least."""
    return min(workers, key=lambda worker: (-worker.free_slots / worker.table.slots, worker.queue_wait_ms))
