"""The engine under full load against the bare networks on the same frames: `efficiency`.

The engine is the real one: its worker process, shared memory, scheduler, sight, search and sentences. Frames lie ready in
the streams' rings, so no decoder takes part; each stream gives its next chunk as soon as one is answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from app.bench.clip import canvases
from app.bench.figures import median, ratio
from app.cli_recipes import imported
from app.engine.messages import Stepped
from app.engine.pool import Pool
from app.engine.streams import EngineStream
from app.frames import Frame
from app.ingest.frame_buffer import IN_FLIGHT_CHUNKS, ring_capacity
from app.metrics import Metrics
from app.settings import Settings, usable_cores
from models.clock import CHUNK_FRAMES
from models.hypothesis import StreamOptions

STREAMS, ROUNDS = 12, 3
WARM_S = 2.0
REFINE_DEADLINE_S = 0.7


def measured_limit(file: Path, seconds: float, settings: Settings) -> dict[str, Any]:
    """The engine's and the bare networks' frames a second in turns, medians over the rounds, and their ratio."""
    return asyncio.run(_measured(canvases(file), seconds / (2 * ROUNDS), settings))


async def _measured(frames: Sequence[Frame], round_s: float, settings: Settings) -> dict[str, Any]:
    bare = await asyncio.to_thread(
        imported("models.evaluation.limit", "BareNetworks"),
        Path(settings.checkpoint), frames, settings.device, usable_cores(),
    )  # fmt: skip
    pool = Pool(settings, Metrics(), ring_capacity(settings.live_backlog_ms))
    pool.start()
    engine, limit = [], []
    try:
        await pool.until_ready(settings.worker_start_timeout_s, gives_up=True)
        await engine_rate(pool, frames, WARM_S)
        for _ in range(ROUNDS):
            engine.append(await engine_rate(pool, frames, round_s))
            limit.append(await asyncio.to_thread(bare.frames_per_s, round_s))
    finally:
        await pool.aclose()
    return {
        "efficiency": ratio(median(engine), median(limit)), "engine_frames_per_s": median(engine),
        "limit_frames_per_s": median(limit), "streams": STREAMS, "best_chunks_a_batch": bare.chunks,
        "cores": usable_cores(), "workers": len(pool.workers), "device": settings.device,
    }  # fmt: skip


async def engine_rate(pool: Pool, frames: Sequence[Frame], seconds: float) -> float:
    """Frames a second over all streams, each always with chunks waiting."""
    streams = [pool.open(StreamOptions(), REFINE_DEADLINE_S) for _ in range(STREAMS)]
    for number, stream in enumerate(streams):
        fill(stream, frames, number * len(frames) // STREAMS)
    begun = time.monotonic()
    try:
        done = sum(await asyncio.gather(*(driven(stream, begun + seconds) for stream in streams)))
        return done / (time.monotonic() - begun)
    finally:
        await asyncio.gather(*(stream.aclose() for stream in streams))


def fill(stream: EngineStream, frames: Sequence[Frame], first: int) -> None:
    for position in range(stream.ring.capacity):
        stream.ring.put(position, partial(np.copyto, src=frames[(first + position) % len(frames)]))


async def driven(stream: EngineStream, until_s: float) -> int:
    """Keeps the stream's chunks in flight until then; returns the frames that were answered."""
    places = stream.ring.capacity // CHUNK_FRAMES
    chunks = (tuple(range(CHUNK_FRAMES * (n % places), CHUNK_FRAMES * (n % places + 1))) for n in count())
    for _ in range(IN_FLIGHT_CHUNKS):
        stream.submit(next(chunks))
    done, waiting = 0, IN_FLIGHT_CHUNKS
    while waiting:
        if isinstance(await stream.messages.get(), Stepped):
            done, waiting = done + CHUNK_FRAMES, waiting - 1
            if time.monotonic() < until_s:
                stream.submit(next(chunks))
                waiting += 1
    return done
