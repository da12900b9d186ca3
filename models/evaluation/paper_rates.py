"""Rates: what the device can do in matrix products, and how quickly it encodes, computed each way that might be best."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch

from models.captured import CapturedStep
from models.clock import CHUNK_FRAMES
from models.evaluation.paper_load import Camera
from models.paper import PaperSight
from models.paper_engine import IN_FLIGHT, PaperEngine, Ticket
from models.percentile import percentile
from models.vit import Way

Say = Callable[[str], None]

WAYS = (Way("triton", "epilogue", compiled=True), Way("whole", "epilogue", compiled=True))
"""What may be best on a GPU; the plain way without compilation is tried as well."""
PLAIN_WAYS = (Way(gelu="epilogue"),)
"""On a CPU."""


def settle(device: torch.device) -> None:
    """Waits for all work given so far."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_a_call(function: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """Mean over about `seconds` of calls given without a pause, after one that is not counted."""
    function()
    settle(device)
    begun = time.perf_counter()
    function()
    settle(device)
    count = max(2, round(seconds / max(1e-6, time.perf_counter() - begun)))
    begun = time.perf_counter()
    for _ in range(count):
        function()
    settle(device)
    return (time.perf_counter() - begun) / count


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int, seconds: float) -> float:
    """Operations a second of one large matrix product on random numbers, kept up for `seconds` (a chip slows when hot)."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(left)
    return 2.0 * side**3 / seconds_a_call(lambda: torch.matmul(left, right, out=out), device, seconds)


class Sighted:
    """The encoders alone, over and over the same batch, in a graph where the device has them."""

    def __init__(self, sight: PaperSight, camera: Camera, chunks: int) -> None:
        self.sight, self.device = sight, camera.device
        self.frames = torch.cat([camera.chunk(stream, 0) for stream in range(chunks)]).to(camera.device)
        self.boxes = camera.boxes(chunks).flatten(0, 1).to(camera.device)

    def rate(self, seconds: float) -> float:
        """Frames a second, computed the way that the sight is set to."""
        step = CapturedStep(self.sight, (self.frames, self.boxes))
        return len(self.frames) / seconds_a_call(lambda: step(self.frames, self.boxes), self.device, seconds)

    def error(self) -> float:
        """|features - features in plain fp32| / |features in plain fp32|."""
        found = CapturedStep(self.sight, (self.frames, self.boxes))(self.frames, self.boxes)[0].float()
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            expected = self.sight.exact()(self.frames, self.boxes)
        finally:
            torch.set_float32_matmul_precision(precision)
        return float((found - expected).norm() / expected.norm())


def ways_tried(sighted: Sighted, seconds: float, say: Say) -> dict[str, float | str]:
    """Frames a second each way, or why a way is not to be had; leaves the sight set to the best one."""
    found: dict[str, float | str] = {}
    best, best_way = 0.0, Way()
    for way in (Way(), *(WAYS if sighted.device.type == "cuda" else PLAIN_WAYS)):
        sighted.sight.use(way)
        name = f"{way.attention}, {way.gelu} gelu, {'compiled' if way.compiled else 'eager'}"
        try:
            found[name] = rate = sighted.rate(seconds)
        except Exception as error:  # another way may do: which one failed and why is in the report
            found[name] = f"failed: {type(error).__name__}: {str(error)[:200]}"
        else:
            best, best_way = max((best, best_way), (rate, way), key=lambda pair: pair[0])
        say(f"sight, {name}: {found[name]}")
    sighted.sight.use(best_way)
    return found


def offline_rate(engine: PaperEngine, camera: Camera, chunks: int, seconds: float) -> dict[str, float]:
    """Frames a second of the whole tick, frames crossing from the host, with a batch of `chunks` always waiting."""
    boxes = camera.boxes(engine.largest)
    waiting: list[Ticket] = []
    times: list[float] = []
    begun = warm = time.perf_counter()
    for batch in itertools.count():
        if len(waiting) == IN_FLIGHT:
            waiting.pop(0).wait()
            times.append(time.perf_counter())
        if batch == 2 * IN_FLIGHT:
            warm, times = time.perf_counter(), []
        if times and time.perf_counter() - begun > seconds:
            break
        rows = [(batch * chunks + row) % engine.slots for row in range(chunks)]
        waiting.append(engine.submit([camera.chunk(row, batch) for row in rows], boxes, rows))
    _wait(waiting)
    paces = [after - before for before, after in itertools.pairwise((warm, *times))]
    return {
        "frames_per_s": len(times) * chunks * CHUNK_FRAMES / (times[-1] - warm),
        "batch_ms_p50": 1e3 * percentile(paces, 0.5),
        "batch_ms_p95": 1e3 * percentile(paces, 0.95),
    }


def _wait(tickets: Iterable[Ticket]) -> None:
    for ticket in tickets:
        ticket.wait()


def other_mouth(sight: PaperSight, picture_px: int) -> PaperSight:
    """The same with the mouth seen at another size; fresh random weights for it."""
    config = replace(sight.config, mouth=replace(sight.config.mouth, picture_px=picture_px))
    other = PaperSight.random(config, sight.colours.device, sight.dtype)
    other.use(sight.large.way)
    return other
