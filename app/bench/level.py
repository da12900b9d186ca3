"""One level of the load: N streams at their pace for some seconds, and what became of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from app.bench.clip import Clip
from app.bench.figures import mean, percentiles, ratio
from app.bench.machine import Memory, Spent, shares, watched_gpu
from app.bench.stream import Answer, Entry, PacedStream, Report
from app.client import LiveError
from app.settings import usable_cores
from models.clock import FRAME_RATE_HZ

GOAL_LAG_MS = 250.0
STARVED_SHARE = 0.8
"""Streams of which less than this share of the frames is worked off are starved, however late the few drafts are."""
WARM_S = 4.0
"""After the last stream is in: what was queued while decoders started is worked off, and nothing counts yet."""
AFTER_S = 1.3
"""After the last frame that counts: its drafts and a status of every stream come."""
JOIN_SPREAD_S = 1.0
JOIN_LIMIT_S = 30.0
"""For one stream, at most, and this again for every two."""


@dataclass(frozen=True)
class Load:
    """What a level sends where. `pid` is the server's process where it is this machine's to watch."""

    clip: Clip
    url: str
    streams: int
    seconds: float
    pid: int | None = None
    api_key: str | None = None
    seed: int = 0


def entries(load: Load) -> list[Entry]:
    """Each stream at a place of the clip and at a phase of its own; the same ones for the same load."""
    chance = random.Random(f"{load.seed} {load.streams}")
    return [
        Entry(load.url, chance.choice(load.clip.key_frames), chance.uniform(0, JOIN_SPREAD_S), load.api_key)
        for _ in range(load.streams)
    ]


async def measured_level(load: Load) -> dict[str, Any]:
    """The figures of one level, `passed` and, where it is false, `why` among them."""
    streams = [PacedStream(load.clip, entry) for entry in entries(load)]
    try:
        async with running(streams) as tasks:
            await unless_one_ends(tasks, WARM_S)
            figures = await measured_window(load, streams, tasks)
    except LiveError as error:
        return {"streams": load.streams, "passed": False, "why": str(error)}
    why = reason(figures, load.streams)
    return {"streams": load.streams, "passed": why is None, "why": why, **figures}


@asynccontextmanager
async def running(streams: list[PacedStream]) -> AsyncIterator[set[asyncio.Task[None]]]:
    """All streams taken in by the server, a few at a time; all closed in order at the end, also after a failure."""
    stop, door = asyncio.Event(), asyncio.Semaphore(max(1, usable_cores() // 2))
    tasks = {asyncio.create_task(stream.run(stop, door)): stream for stream in streams}
    try:
        await until_ready(streams, set(tasks))
        yield set(tasks)
        stop.set()
        await asyncio.gather(*tasks)
    finally:
        stop.set()
        for task, stream in tasks.items():
            if not stream.ready.is_set():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until_ready(streams: list[PacedStream], tasks: set[asyncio.Task[None]]) -> None:
    """LiveError when a stream fails, or the server does not take them all in time."""
    limit_s = JOIN_LIMIT_S * (1 + len(streams) // 2)
    all_in = asyncio.create_task(all_ready(streams))
    waited: set[asyncio.Future[Any]] = {all_in, *tasks}
    try:
        await asyncio.wait(waited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        await unless_one_ends(tasks, 0)
        if not all_in.done():
            raise LiveError(f"The server did not take {len(streams)} streams within {limit_s:.0f} s.")
    finally:
        all_in.cancel()
        await asyncio.gather(all_in, return_exceptions=True)


async def all_ready(streams: list[PacedStream]) -> None:
    for stream in streams:
        await stream.ready.wait()


async def unless_one_ends(tasks: set[asyncio.Task[None]], seconds: float) -> None:
    """Waits; at once LiveError when a stream ends, since none is due to."""
    ended, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        await task
        raise LiveError("A stream ended by itself; look at the server's log.")


async def measured_window(load: Load, streams: list[PacedStream], tasks: set[asyncio.Task[None]]) -> dict[str, Any]:
    counted, before = await server_counts(load.url), Spent.now(load.pid)
    with watched_gpu() as gpu:
        await unless_one_ends(tasks, load.seconds)
    after = Spent.now(load.pid)
    memory = None if load.pid is None else await asyncio.to_thread(Memory.of, load.pid)
    await unless_one_ends(tasks, AFTER_S)
    counts = {name: value - counted.get(name, 0.0) for name, value in (await server_counts(load.url)).items()}
    spent = shares(before, after)
    return {
        **answers_within(streams, before.at_s, after.at_s),
        **reports_within(streams, before.at_s, after.at_s),
        **engine_figures(counts),
        **spent,
        "cpu_s_per_media_s": cpu_per_media(spent["server_cpu_share"], load.streams),
        "generator_cpu_s_per_media_s": cpu_per_media(spent["generator_cpu_share"], load.streams),
        "memory_mb": None if memory is None else memory.own_mb,
        **gpu.figures,
    }


def cpu_per_media(share: float | None, streams: int) -> float | None:
    return None if share is None else share * usable_cores() / streams


def answers_within(streams: Iterable[PacedStream], begin_s: float, end_s: float) -> dict[str, float]:
    """Of the frames sent in that time: how late the drafts and final captions were that needed them."""
    records = [stream.record for stream in streams]

    def lags(answers: Iterable[Answer]) -> list[float]:
        return [answer.lag_ms for answer in answers if begin_s <= answer.sent_s < end_s]

    drafts = [lag for record in records for lag in lags(record.drafts)]
    finals = [lag for record in records for lag in lags(record.finals)]
    late_ms = [
        1e3 * late
        for record in records
        for sent, late in zip(record.sent_s, record.late_s, strict=True)
        if begin_s <= sent < end_s
    ]
    return {
        **percentiles("compute_lag_ms", drafts, 50, 95, 99), **percentiles("final_caption_ms", finals, 50, 95),
        "drafts": len(drafts), "captions": len(finals), **percentiles("generator_late_ms", late_ms, 95),
    }  # fmt: skip


def reports_within(streams: Iterable[PacedStream], begin_s: float, end_s: float) -> dict[str, float]:
    """What the server itself said of that time: its lag, the frames it worked off, those it dropped."""
    lags: list[float] = []
    frames_per_s, dropped = 0.0, 0
    for stream in streams:
        reports = stream.record.reports
        inside = [report for report in reports if begin_s <= report.at_s < end_s]
        lags += [report.lag_ms for report in inside]
        frames_per_s += mean([report.frames_per_s for report in inside]) if inside else 0.0
        dropped += dropped_since(reports, begin_s)
    return {**percentiles("server_lag_ms", lags, 95), "frames_per_s": frames_per_s, "frames_dropped": dropped}


def dropped_since(reports: list[Report], begin_s: float) -> int:
    """Frames lost since the last report before `begin_s`."""
    earlier = [report.dropped for report in reports if report.at_s < begin_s]
    return reports[-1].dropped - (earlier[-1] if earlier else 0) if reports else 0


def reason(figures: dict[str, Any], streams: int) -> str | None:
    """Why a level does not pass; None if it does."""
    if figures["worker_restarts"]:
        return "a worker of the engine died under it"
    if figures["frames_dropped"]:
        return f"{figures['frames_dropped']} frames were dropped"
    worked_off = figures["frames_per_s"] / (FRAME_RATE_HZ * streams)
    if worked_off < STARVED_SHARE:
        return f"only {worked_off:.0%} of the frames were worked off"
    if not figures["drafts"]:
        return "no draft came; measure for longer, or on a video with more signing"
    if figures["compute_lag_ms_p95"] > GOAL_LAG_MS:
        return f"the lag's p95 is {figures['compute_lag_ms_p95']:.0f} ms"
    return None


async def server_counts(url: str) -> dict[str, float]:
    """Sums of the server's Prometheus series by name, over their labels; nothing where they are not to be had."""
    try:
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.get(f"{url.rstrip('/')}/metrics")
    except httpx.HTTPError:
        return {}
    return summed(answer.text) if answer.status_code == 200 else {}


def summed(text: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def engine_figures(counts: dict[str, float]) -> dict[str, float]:
    """Means of the engine's own histograms; NaN where the server does not have them."""

    def mean_ms(name: str) -> float:
        return 1e3 * ratio(counts.get(f"{name}_sum", 0.0), counts.get(f"{name}_count", 0.0))

    return {
        "queue_wait_ms_mean": mean_ms("signbind_queue_wait_seconds"),
        "step_ms_mean": mean_ms("signbind_step_duration_seconds"),
        "worker_restarts": counts.get("signbind_worker_restarts_total", 0.0),
    }
