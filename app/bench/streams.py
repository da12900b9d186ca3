"""signbind bench streams: levels of load until one fails, and the figures at the largest that passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.bench.clip import Clip
from app.bench.figures import NOTHING, line_through
from app.bench.level import Load, measured_level
from app.bench.rounds import Level, decided, measured, noise
from app.bench.search import largest
from app.bench.server import ENDING_S, OwnServer, free_port, running_server, settings_for
from app.cli_errors import CliError
from app.settings import load_settings, usable_cores

AT_LARGEST = (
    "compute_lag_ms_p50", "compute_lag_ms_p95", "compute_lag_ms_p99", "final_caption_ms_p50", "final_caption_ms_p95",
    "drafts", "captions", "frames_per_s", "frames_dropped", "server_lag_ms_p95", "queue_wait_ms_mean", "step_ms_mean",
    "server_cpu_share", "cpu_s_per_media_s", "generator_cpu_share", "generator_cpu_s_per_media_s", "others_cpu_share",
    "machine_cpu_share", "idle_cpu_share", "generator_late_ms_p95", "memory_mb", "gpu_memory_mb", "gpu_utilisation",
)  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """`url` None: a server of its own for every level, with just its slots; else the one that runs there."""

    clip: Clip
    seconds: float
    most: int
    first: int = 2
    rounds: int = 3
    checkpoint: Path | None = None
    device: str | None = None
    url: str | None = None
    api_key: str | None = None


def measured_streams(measure: Measure, report: Callable[[Level], None]) -> dict[str, Any]:
    """`max_streams`, the figures at it, and `curve`: every level tried. Each level is given to `report` as it ends."""
    curve: dict[int, Level] = {}

    def passes(streams: int) -> bool:
        level = curve[streams] = level_of(measure, streams)
        report(level)
        return bool(level["passed"])

    most = largest(passes, measure.most, min(measure.first, measure.most))
    return summary(curve, most)


def level_of(measure: Measure, streams: int) -> Level:
    """One level, of all its rounds on one server; CliError with the server's own words where it was the server's fault.

    Streams begin at other places and phases in each round, so that no lucky draw decides.
    """
    with server_of(measure, streams) as server:
        url, pid = (measure.url or "", None) if server is None else (server.url, server.pid)

        def once(number: int) -> Level:
            load = Load(measure.clip, url, streams, measure.seconds, pid, measure.api_key, seed=number)
            level = asyncio.run(measured_level(load))
            if server is not None:
                server.refuse_faults(0.0 if is_measured(level) else ENDING_S)
            if streams == 1 and not is_measured(level):
                raise CliError(f"Not even one stream went through: {level['why']}")
            return level

        return decided(measured(once, measure.rounds))


def is_measured(level: Level) -> bool:
    """Whether it came to figures: its streams were taken in and none ended."""
    return "frames_per_s" in level


def server_of(measure: Measure, streams: int) -> AbstractContextManager[OwnServer | None]:
    """A server for this level; None where one runs already."""
    if measure.url is not None:
        return nullcontext()
    settings = settings_for(streams, measure.device, load_settings().workers)
    return running_server(free_port(), measure.checkpoint, settings)


def summary(curve: dict[int, Level], most: int) -> dict[str, Any]:
    """The figures of the whole search; what stopped it is `why_not_more`."""
    at_largest = curve[max(1, most)]
    slope, fit = line_through([cores_used(level) for level in curve.values() if carried_all(level)])
    failed = [curve[streams] for streams in sorted(curve) if streams > most]
    return {
        "max_streams": most,
        **{name: at_largest.get(name, NOTHING) for name in AT_LARGEST},
        **noise(list(curve.values())),
        "memory_mb_per_stream": per_stream(curve, most, "memory_mb"),
        "gpu_memory_mb_per_stream": per_stream(curve, most, "gpu_memory_mb"),
        "cores_per_stream": slope,
        "cost_linearity_r2": fit,
        "why_not_more": failed[0]["why"] if failed else "no more were tried",
        "cores": usable_cores(),
        "curve": [curve[streams] for streams in sorted(curve)],
    }


def carried_all(level: Level) -> bool:
    """Whether the level's processor time is known and for all its frames: what is dropped costs nothing."""
    return level.get("cpu_s_per_media_s") is not None and not level["frames_dropped"]


def cores_used(level: Level) -> tuple[float, float]:
    return float(level["streams"]), float(level["streams"] * level["cpu_s_per_media_s"])


def per_stream(curve: dict[int, Level], most: int, figure: str) -> float:
    """What each stream after the first added; NaN where only one was carried."""
    one, many = curve[1].get(figure), curve[max(1, most)].get(figure)
    return (many - one) / (most - 1) if most > 1 and one is not None and many is not None else NOTHING
