"""The long-lived parts that every stream shares, started and ended together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType

from app.engine.pool import Pool
from app.ingest.frame_buffer import ring_capacity
from app.ingest.supervisor import Supervisor
from app.metrics import Metrics
from app.settings import Settings


@dataclass(frozen=True)
class Services:
    settings: Settings
    metrics: Metrics
    pool: Pool
    supervisor: Supervisor
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server is about to end: it drains, running segments are finished and nothing new begins."""

    @classmethod
    def create(cls, settings: Settings) -> Services:
        """Takes the shared memory; processes start by `async with`."""
        metrics = Metrics()
        pool = Pool(settings, metrics, ring_capacity(settings.live_backlog_ms))
        return cls(settings, metrics, pool, Supervisor(settings))

    def drain(self) -> None:
        """From now on nothing new begins, and what runs is finished."""
        self.closing.set()
        self.pool.end_soon()

    async def __aenter__(self) -> Services:
        self.pool.start()
        self.supervisor.prepare()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.gather(self.supervisor.aclose(), self.pool.aclose())
