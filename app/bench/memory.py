"""signbind bench memory: streams come and go for long; does the server's memory stay where it was?

Like is compared with like: a reading counts only when for some seconds no stream came or went, and the two medians that
are compared are of readings with equally many streams and processes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from app.bench.clip import Clip
from app.bench.figures import median, ratio
from app.bench.machine import Memory
from app.bench.stream import Entry, PacedStream
from app.cli_errors import CliError

GOAL_RATIO = 1.02
SHORTEST_S, LONGEST_S = 10.0, 30.0
LONGEST_GAP_S = 2.0
SAMPLE_S = 2.0
CALM_S = 3.0
"""So long no stream may have come or gone before a reading: its part of memory is filled, or freed, in less."""
FIRST_AT, WINDOW = 1 / 6, 1 / 15
"""Of the whole time: when the first reading is (5 minutes of 30), and how long a reading's window lasts (2 of 30)."""
SHORTEST_WINDOW_S = 20.0


@dataclass(frozen=True)
class Sample:
    """One reading, `at_s` after the beginning."""

    at_s: float
    streams: int
    processes: int
    own_mb: float
    all_mb: float


class Census:
    """Which streams are live, and since when it is just those and the server has taken them all."""

    def __init__(self) -> None:
        self.streams: set[PacedStream] = set()
        self._changed_s = time.monotonic()

    def calm_s(self) -> float:
        """As far as the calls of this method saw."""
        now_s = time.monotonic()
        if not all(stream.ready.is_set() for stream in self.streams):
            self._changed_s = now_s
        return now_s - self._changed_s

    @contextmanager
    def counted(self, stream: PacedStream) -> Iterator[None]:
        self.streams.add(stream)
        self._changed_s = time.monotonic()
        try:
            yield
        finally:
            self.streams.discard(stream)
            self._changed_s = time.monotonic()


@dataclass(frozen=True)
class Coming:
    """What comes and goes: at most `streams` at a time, for `seconds`, at the server `url` with process `pid`."""

    clip: Clip
    url: str
    pid: int
    streams: int
    seconds: float
    seed: int = 0


async def sampled(coming: Coming) -> list[Sample]:
    """The readings of the whole time; LiveError where a stream fails."""
    census, end_s = Census(), time.monotonic() + coming.seconds
    async with asyncio.TaskGroup() as group:
        for place in range(coming.streams):
            group.create_task(one_after_the_other(coming, place, census, end_s))
        return await group.create_task(readings(coming, census, end_s))


async def one_after_the_other(coming: Coming, place: int, census: Census, end_s: float) -> None:
    """Streams of random length with random gaps, until the end."""
    chance = random.Random(f"{coming.seed} {place}")
    door = asyncio.Semaphore(1)
    while (left_s := end_s - time.monotonic()) > 0:
        stop = asyncio.Event()
        stream = PacedStream(coming.clip, Entry(coming.url, chance.choice(coming.clip.key_frames)))
        lasts_s = min(left_s, chance.uniform(SHORTEST_S, LONGEST_S))
        leaving = asyncio.get_running_loop().call_later(lasts_s, stop.set)
        try:
            with census.counted(stream):
                await stream.run(stop, door)
        finally:
            leaving.cancel()
        await asyncio.sleep(chance.uniform(0, LONGEST_GAP_S))


async def readings(coming: Coming, census: Census, end_s: float) -> list[Sample]:
    samples: list[Sample] = []
    begun_s = time.monotonic()
    while time.monotonic() < end_s - SAMPLE_S:
        await asyncio.sleep(SAMPLE_S)
        if census.calm_s() < CALM_S:
            continue
        live, memory = len(census.streams), await asyncio.to_thread(Memory.of, coming.pid)
        at_s = time.monotonic() - begun_s
        samples.append(Sample(round(at_s, 1), live, memory.processes, memory.own_mb, memory.all_mb))
    return samples


def figures_of(samples: Sequence[Sample], seconds: float) -> dict[str, Any]:
    """Memory after FIRST_AT of the time and at the end, and their ratio; CliError where too little was read."""
    window_s = min(max(SHORTEST_WINDOW_S, WINDOW * seconds), seconds / 2)
    first_s = FIRST_AT * seconds
    begin = [sample for sample in samples if abs(sample.at_s - first_s) <= window_s / 2]
    end = [sample for sample in samples if sample.at_s >= seconds - window_s]
    kind = most_common_kind(begin, end)
    before = [sample for sample in begin if kind_of(sample) == kind]
    after = [sample for sample in end if kind_of(sample) == kind]
    own_mb = median([sample.own_mb for sample in before]), median([sample.own_mb for sample in after])
    all_mb = median([sample.all_mb for sample in before]), median([sample.all_mb for sample in after])
    return {
        "memory_ratio": ratio(own_mb[1], own_mb[0]), "memory_ratio_goal": GOAL_RATIO,
        "memory_mb_first": own_mb[0], "memory_mb_end": own_mb[1], "first_after_s": first_s, "seconds": seconds,
        "streams": kind[0], "processes": kind[1], "readings_first": len(before), "readings_end": len(after),
        "pss_mb_first": all_mb[0], "pss_mb_end": all_mb[1], "pss_ratio": ratio(all_mb[1], all_mb[0]),
        "series": [asdict(sample) for sample in samples],
    }  # fmt: skip


def kind_of(sample: Sample) -> tuple[int, int]:
    return sample.streams, sample.processes


def most_common_kind(begin: Sequence[Sample], end: Sequence[Sample]) -> tuple[int, int]:
    """(streams, processes) of which both windows hold most readings."""
    first, last = Counter(map(kind_of, begin)), Counter(map(kind_of, end))
    shared = {kind: min(first[kind], last[kind]) for kind in first.keys() & last.keys()}
    if not shared:
        raise CliError("Too few moments were calm enough to read the memory; measure for longer: --minutes 5.")
    return max(shared, key=lambda kind: (shared[kind], kind))
