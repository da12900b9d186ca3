"""All stages in one go: clips are drawn while what needs none of them trains, then experts side by side, then fusion.

On a GPU it takes minutes, on a CPU hours; the stages are the same. What was drawn and trained lies in runs/, so a run that
was stopped goes on. The locator is not trained here: all else looks through its eyes (`signbind train locate` first).
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch

from models.backends import has_openvino
from models.checkpoint import remove
from models.closer import CLOSER
from models.training import (
    closer_stage,
    features_stage,
    landmark_weights,
    seen_clips,
    silence_stage,
    spelling_stage,
)
from models.training.loop import best_device
from models.training.seen_clips import CLIPS, FIRST_HELD_OUT_SEED, HELD_OUT_CLIPS

SPAWN = multiprocessing.get_context("spawn")
HELD_OUT, MOST_CLIPS = 150, 12_000
ENCODING = max(1, (os.cpu_count() or 2) // 3)  # processes that encode drawn clips
LATE_S = 15.0  # that it may take beyond its time before its last saved weights are taken


@dataclass(frozen=True)
class Shares:
    """When things end, in shares of the whole time."""

    language: float = 0.38
    encoder: float = 0.45
    lips: float = 0.50
    drawing: float = 0.50
    experts: float = 0.80
    fusion: float = 0.95


@dataclass(frozen=True)
class Stage:
    """A recipe: its module in models.training, the options that are its own, how long it reads before it trains."""

    module: str
    options: dict[str, object] = field(default_factory=dict)
    reading_s: float = 8.0


STAGES = {
    "encoder": Stage("encoder_stage", reading_s=12),
    "lips": Stage("lips_stage", reading_s=40),
    "language": Stage("language_stage"),
    "sign": Stage("experts_stage", {"only": "sign"}),
    "fingerspelling": Stage("experts_stage", {"only": "fingerspelling"}),
    "router": Stage("routing_stage"),
    "fusion": Stage("fusion_stage"),
}


@dataclass(frozen=True)
class Plan:
    """What a whole run works with; `begun_s` is a reading of `time.monotonic()`."""

    data: Path
    out: Path
    minutes: float
    shares: Shares
    device: torch.device
    seed: int
    begun_s: float

    def at(self, share: float) -> float:
        """When a share of the whole time is over."""
        return self.begun_s + 60 * self.minutes * share


class Running:
    """A stage in a process of its own. It imports and wakes the GPU at once, and trains when told to begin."""

    def __init__(self, stage: Stage, data: Path, out: Path, options: dict[str, object]) -> None:
        self.stage = stage
        self._begin: Event = SPAWN.Event()
        self._minutes = SPAWN.Value("d", 0.0)
        work = (stage, data, out, {**stage.options, **options}, self._begin, self._minutes)
        self._process: SpawnProcess = SPAWN.Process(target=_run, args=work)
        self._process.start()

    def begin(self, until_s: float) -> None:
        """Lets it train until a reading of `time.monotonic()`."""
        self._until_s = until_s
        self._minutes.value = max(0.05, (until_s - time.monotonic() - self.stage.reading_s) / 60)
        self._begin.set()

    def stop(self) -> None:
        """Ends it at once, wherever it is."""
        self._process.kill()
        self._process.join()

    def end(self) -> None:
        """Waits; a stage that is late is stopped, and what it saved last counts. ValueError for one that failed: what comes
        after it would go on with older weights as if they were its own."""
        self._process.join(max(0.0, self._until_s + LATE_S - time.monotonic()))
        if self._process.is_alive():
            print(f"{self.stage.module} is late and stopped", flush=True)
            self.stop()
        elif self._process.exitcode:
            raise ValueError(
                f"{self.stage.module} failed with exit code {self._process.exitcode}: mend what it says above, then run again, "
                "what is done is kept"
            )


def _run(stage: Stage, data: Path, out: Path, options: dict[str, Any], begin: Event, minutes: Any) -> None:
    torch.set_num_threads(1)
    train = importlib.import_module(f"models.training.{stage.module}").train
    torch.zeros(1, device=options.get("device", "cpu"))
    begin.wait()
    print(stage.module, stage.options, train(data, out, minutes=float(minutes.value), **options), flush=True)


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, device: str | None = None, workers: int | None = None,
    shares: Shares | None = None, most_clips: int = MOST_CLIPS,
) -> dict[str, float]:  # fmt: skip
    """Trains encoder, lips, language, experts, router and fusion into `out` within `minutes`; see `Shares`."""
    shares, where = shares or Shares(), best_device(device)
    plan = Plan(data, out, minutes, shares, where, seed, time.monotonic())
    processes: dict[str, Running] = {}
    try:
        for name, stage in STAGES.items():
            processes[name] = Running(stage, data, out, {"seed": seed, "device": str(where)})
        return _in_order(plan, processes, workers or max(1, (os.cpu_count() or 2) - 3), most_clips)
    finally:
        for running in processes.values():
            running.stop()


def _in_order(plan: Plan, processes: dict[str, Running], workers: int, most_clips: int) -> dict[str, float]:
    for name in ("encoder", "lips", "language"):
        processes[name].begin(plan.at(getattr(plan.shares, name)))
    with ProcessPoolExecutor(ENCODING, mp_context=SPAWN) as pool:
        awake = [pool.submit(_awake, str(plan.device)) for _ in range(ENCODING)]
        _draw_until(plan.at(plan.shares.drawing), plan, workers, most_clips)
        for job in awake:
            job.result()
        processes["encoder"].end()
        processes["lips"].end()
        said = _timed("closer", lambda: look_closer(plan))
        said |= _timed(
            "features", lambda: {"frames": float(features_stage.encode_kept(plan.out, plan.device, pool=pool))}
        )
    said |= _timed("silence", lambda: silence_stage.train(plan.data, plan.out, seed=plan.seed, workers=workers))
    processes["sign"].begin(plan.at(plan.shares.experts))
    device = str(plan.device)
    said |= _timed("spelling", lambda: spelling_stage.train(plan.data, plan.out, seed=plan.seed, device=device))
    for name in ("fingerspelling", "router"):
        processes[name].begin(plan.at(plan.shares.experts))
    for name in ("sign", "fingerspelling", "router"):
        processes[name].end()
    processes["fusion"].begin(plan.at(plan.shares.fusion))
    processes["fusion"].end()
    processes["language"].end()
    return said


def look_closer(plan: Plan) -> dict[str, float]:
    """Trains the closer look where its published trunk is at hand. One of an encoder before would say what no expert of this one
    knows, so without the trunk there is none."""
    if landmark_weights.PUBLISHED.is_file() and has_openvino():
        return closer_stage.train(plan.data, plan.out, minutes=plan.minutes, seed=plan.seed)
    print(f"no closer look at hands that spell: it wants {landmark_weights.PUBLISHED} and the extra `fast`", flush=True)
    remove(plan.out, CLOSER)
    return {}


def _awake(device: str) -> None:
    """Imports and wakes the device, so that it need not be waited for later."""
    torch.set_num_threads(1)
    torch.zeros(1, device=device)


def _timed(name: str, work: Callable[[], dict[str, float]]) -> dict[str, float]:
    begun = time.monotonic()
    figures = {f"{name}_{key}": value for key, value in work().items()}
    print(name, figures, f"{time.monotonic() - begun:.0f} s", flush=True)
    return figures


def _draw_until(until_s: float, plan: Plan, workers: int, most: int) -> None:
    """Draws clips in all workers until the time is over; those for validation first."""
    out, first = plan.out, plan.seed * 100_000
    seen_clips.draw_here(HELD_OUT_CLIPS, FIRST_HELD_OUT_SEED, out, held_out=True)  # compiles the renderer once for all
    kept_out = range(FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + HELD_OUT)
    with ProcessPoolExecutor(workers, mp_context=SPAWN) as pool:
        jobs = seen_clips.draw(HELD_OUT_CLIPS, kept_out, out, pool, held_out=True)
        jobs += seen_clips.draw(CLIPS, range(first, first + most), out, pool, data=plan.data)
        for job in jobs:
            if time.monotonic() > until_s:
                break
            job.result()
        done = sum(job.done() for job in jobs)
        pool.shutdown(cancel_futures=True)
    print(f"drawn: {done} clips", flush=True)
