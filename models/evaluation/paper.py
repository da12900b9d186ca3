"""`signbind bench paper`: what one GPU carries of the paper's networks at full size, with random weights.

Parts: the matrix rate, the encoders each way, the whole tick offline, live streams, captions of 64 segments that end at
once (alone and beside live load), the time for a test set of How2Sign's size. A part that fails is named in the report
with its reason, the others go on; after every part the report so far is written where `partial` says.

Not counted, and said so in the report: decoding, finding the signer, the CTC search on the host.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from models.clock import FRAME_RATE_HZ
from models.evaluation.paper_load import Camera, LiveRun, Load, most_streams
from models.evaluation.paper_rates import Sighted, matrix_rate, offline_rate, other_mouth, ways_tried
from models.evaluation.paper_sentences import Burst, burst_summary
from models.paper import PaperConfig, PaperSight, PaperTemporal
from models.paper_engine import IN_FLIGHT, PaperEngine, Ticket
from models.percentile import percentile
from models.static_llama import Llama

TEST_SET = {"clips": 2349, "frames": 504_000}
GOALS = {
    "max_streams": 128, "utilisation": 0.6, "efficiency": 0.75, "final_caption_ms_p95": 700, "test_set_s": 180,
}  # fmt: skip
NOT_COUNTED = ["decoding", "finding the signer (boxes are given)", "CTC search on the host"]


@dataclass(frozen=True)
class Plan:
    """How large and how long."""

    config: PaperConfig
    dtype: torch.dtype
    slots: int
    batches: tuple[int, ...]
    matrix_side: int
    sentences: int
    bursts: int
    seconds: float
    limit_s: float = 420.0  # no part begins later

    @classmethod
    def of(cls, small: bool, seconds: float) -> Plan:
        """At full size in bf16, or reduced in fp32."""
        if small:
            return cls(PaperConfig.reduced(), torch.float32, 16, (1, 2, 4), 256, 4, 2, min(seconds, 0.5))
        return cls(PaperConfig(), torch.bfloat16, 192, (8, 16, 32), 8192, 64, 6, seconds)


def measure(
    device: str,
    small: bool | None = None,
    seconds: float = 6.0,
    *,
    partial: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """The report, for JSON. Sizes are reduced if `small`, and always on a CPU; `seconds` is the length of each live run.

    `partial` is a file for the report so far; `say` gets a line of progress (stderr if not given). Raises ValueError for
    a device that is not there.
    """
    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "expected a CUDA device, but PyTorch sees none: choose cpu, or install a CUDA build of PyTorch"
        )
    reduced = place.type == "cpu" or bool(small)  # at full size a processor would take hours
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")  # the networks over time: fp32 in memory, TF32 in products
    try:
        return Bench(Plan.of(reduced, seconds), place, reduced, partial, say or _to_stderr).run()
    finally:
        torch.set_float32_matmul_precision(before)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Bench:
    """Runs the parts in order and keeps the report."""

    def __init__(
        self, plan: Plan, device: torch.device, reduced: bool, partial: Path | None, say: Callable[[str], None]
    ) -> None:
        self.plan, self.device, self.partial = plan, device, partial
        self._say, self._begun = say, time.perf_counter()
        self.report: dict[str, Any] = {**_machine(device), **_sizes(plan), "reduced": reduced, "absent": {}}
        self.camera = Camera(plan.config, device, 4 if reduced else 48)
        self.engine: PaperEngine | None = None
        self.sight: PaperSight | None = None

    def run(self) -> dict[str, Any]:
        """All parts; those that others need come first."""
        for name, part in (
            ("matrix_tflops", self._matrix), ("sight", self._sight), ("offline", self._offline), ("live", self._live),
            ("sentences", self._language), ("four_bit", self._four_bit), ("mouth_224", self._large_mouth),
        ):  # fmt: skip
            self._part(name, part)
        self.report["goals"] = GOALS
        self.report["goals_met"] = _met(self.report)
        self.report["seconds"] = time.perf_counter() - self._begun
        self._write()
        return {name: plain(value) for name, value in self.report.items()}

    def say(self, line: str) -> None:
        """A line of progress with the seconds so far."""
        self._say(f"[{time.perf_counter() - self._begun:6.1f} s] {line}")

    def _part(self, name: str, part: Callable[[], None]) -> None:
        if time.perf_counter() - self._begun > self.plan.limit_s:
            self.report["absent"][name] = f"not begun: {self.plan.limit_s:.0f} s had passed"
            return
        self.say(f"{name} ...")
        try:
            part()
        except Exception as error:  # hours of a lent GPU must not be lost to one part: the reason is in the report
            self.report["absent"][name] = f"{type(error).__name__}: {str(error)[:300]}"
            self.say(f"{name} is left out: {self.report['absent'][name]}")
        self._write()

    def _write(self) -> None:
        if self.partial is not None:
            self.partial.write_text(json.dumps(plain(self.report), indent=1))

    def _matrix(self) -> None:
        rate = matrix_rate(self.device, self.plan.dtype, self.plan.matrix_side, min(1.5, self.plan.seconds))
        self.report["matrix_tflops"] = rate / 1e12
        self.say(f"matrix products: {rate / 1e12:.4g} TFLOP/s")

    def _sight(self) -> None:
        sight = PaperSight.random(self.plan.config, self.device, self.plan.dtype)
        sighted = Sighted(sight, self.camera, self.plan.batches[1])
        rates = ways_tried(sighted, min(1.0, self.plan.seconds), self.say)
        self.sight = sight
        best = max((rate for rate in rates.values() if isinstance(rate, float)), default=math.nan)
        self.report["sight"] = {
            "frames_per_s": rates, "chosen": asdict(sight.large.way), "utilisation": self._utilisation(best),
            "relative_error_against_fp32": sighted.error(),
        }  # fmt: skip

    def _offline(self) -> None:
        assert self.sight is not None, "sight failed"
        temporal = PaperTemporal(self.plan.config, self.plan.slots, self.device)
        self.engine = PaperEngine(self.sight, temporal, self.plan.batches)
        self.say("captured")
        rates = {}
        for chunks in self.plan.batches:
            rates[str(chunks)] = offline_rate(self.engine, self.camera, chunks, min(3.0, self.plan.seconds))
            self.say(f"offline, batches of {chunks} chunks: {rates[str(chunks)]['frames_per_s']:.0f} frames/s")
        best = max(rate["frames_per_s"] for rate in rates.values())
        self.report["offline"] = {"by_chunks_in_a_batch": rates, "frames_per_s": best}
        self.report["utilisation"] = self._utilisation(best)
        encoders = [rate for rate in self.report["sight"]["frames_per_s"].values() if isinstance(rate, float)]
        self.report["efficiency"] = best / max(encoders)
        self.report["test_set_s_sight"] = TEST_SET["frames"] / best

    def _live(self) -> None:
        assert self.engine is not None, "offline failed"
        offline = self.report["offline"]
        rates = {int(chunks): rate["frames_per_s"] for chunks, rate in offline["by_chunks_in_a_batch"].items()}
        tried = most_streams(self.engine, self.camera, rates, self.plan.seconds, self.say)
        best = max((load for load in tried if load.carried), key=lambda load: load.streams, default=Load(0))
        self.report["live"] = {
            "limit_streams": offline["frames_per_s"] / FRAME_RATE_HZ,
            "tried": [load.summary() for load in tried],
        }
        self.report["max_streams"] = best.streams
        self.report["lag_ms_p95"] = percentile(best.lags_ms, 0.95)
        self.report["utilisation_live"] = self._utilisation(best.streams * FRAME_RATE_HZ)

    def _language(self) -> None:
        llama = Llama.random(self.plan.config.language, self.device, self.plan.dtype)
        self.say("language model made")
        figures = {}
        for name, use_compiled in (("eager", False), ("compiled", True))[: 2 if self.device.type == "cuda" else 1]:
            try:
                burst = Burst(llama, self.plan.sentences, use_compiled)
                figures[name] = (burst_summary(burst, llama, self.plan.bursts), burst)
            except Exception as error:  # the other way may do
                self.report["absent"][f"sentences {name}"] = f"{type(error).__name__}: {str(error)[:300]}"
            else:
                self.say(f"sentences, {name}: p95 {figures[name][0]['ms_p95']:.0f} ms")
        name = min(figures, key=lambda name: figures[name][0]["ms_p95"])
        summary, burst = figures[name]
        self.report["sentences"] = {"chosen": name, **{key: value[0] for key, value in figures.items()}}
        self.report["sentence_ms_p95"] = summary["ms_p95"]
        self._finals(burst)
        self._test_set(summary["whole_burst_s"])

    def _finals(self, burst: Burst) -> None:
        """From the last frames of 64 segments to their sentences; then the sentences beside live streams."""
        engine = self.engine
        if engine is None:
            return
        times = [value for _ in range(self.plan.bursts) for value in self._ended_at_once(engine, burst)]
        self.report["final_caption_ms_p50"] = 1e3 * percentile(times, 0.5)
        self.report["final_caption_ms_p95"] = 1e3 * percentile(times, 0.95)
        self.say(f"captions of {burst.rows} at once: p95 {self.report['final_caption_ms_p95']:.0f} ms")
        beside: list[float] = []
        streams = max(1, round(0.75 * self.report.get("max_streams", 0)))
        run = LiveRun(engine, self.camera, streams, max(1.0, self.plan.seconds))
        load = run.run(lambda: beside.extend(burst.seconds()))
        self.report["beside_live"] = {
            **load.summary(), "sentence_ms_p95": 1e3 * percentile(beside, 0.95),
            "lag_and_sentence_ms_p95": percentile(load.lags_ms, 0.95) + 1e3 * percentile(beside, 0.95),
        }  # fmt: skip

    def _ended_at_once(self, engine: PaperEngine, burst: Burst) -> list[float]:
        begun, boxes = time.perf_counter(), self.camera.boxes(engine.largest)
        tickets: list[Ticket] = []
        for first in range(0, burst.rows, engine.largest):
            if len(tickets) >= IN_FLIGHT:
                tickets[-IN_FLIGHT].wait()
            rows = list(range(first, min(burst.rows, first + engine.largest)))
            tickets.append(engine.submit([self.camera.chunk(row, 0) for row in rows], boxes, rows))
        for ticket in tickets:
            ticket.wait()
        heard = time.perf_counter() - begun
        return [heard + value for value in burst.seconds()]

    def _test_set(self, burst_s: float) -> None:
        batches = math.ceil(TEST_SET["clips"] / self.plan.sentences)
        sight_s = self.report.get("test_set_s_sight", math.nan)
        self.report["test_set_s"] = sight_s + batches * burst_s
        self.report["test_set"] = {**TEST_SET, "sight_s": sight_s, "sentences_s": batches * burst_s,
                                   "how": "extrapolated from the offline rate and one burst"}  # fmt: skip
        self.say(f"a test set of How2Sign's size: {self.report['test_set_s']:.0f} s")

    def _four_bit(self) -> None:
        llama = Llama.random(self.plan.config.language, self.device, self.plan.dtype).in_four_bits()
        burst = Burst(llama, self.plan.sentences, False)
        self.report["four_bit"] = burst_summary(burst, llama, self.plan.bursts)
        self.say(f"sentences in 4 bits: p95 {self.report['four_bit']['ms_p95']:.0f} ms")

    def _large_mouth(self) -> None:
        """The encoders alone with the mouth at the size of the other crops."""
        assert self.sight is not None, "sight failed"
        config = self.plan.config
        other = other_mouth(self.sight, config.body_and_hands.picture_px)
        rate = Sighted(other, self.camera, self.plan.batches[1]).rate(min(1.0, self.plan.seconds))
        self.report["mouth_224"] = {"sight_frames_per_s": rate, "gflop_per_frame": other.config.sight_flops / 1e9}

    def _utilisation(self, frames_per_s: float) -> float:
        """Share of the matrix rate that the encoders' arithmetic takes; all else is not counted as work."""
        rate = float(self.report.get("matrix_tflops", math.nan))
        return frames_per_s * self.plan.config.sight_flops / 1e12 / rate


def plain(value: Any) -> Any:
    """For JSON, which has no NaN: what was not measured is null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _met(report: dict[str, Any]) -> dict[str, bool]:
    """Which goals the figures reach; what was not measured reaches none."""
    at_least, at_most = ("max_streams", "utilisation", "efficiency"), ("final_caption_ms_p95", "test_set_s")
    return {name: report.get(name, math.nan) >= GOALS[name] for name in at_least} | {
        name: report.get(name, math.nan) <= GOALS[name] for name in at_most
    }


def _machine(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return {"device": name, "torch": torch.__version__, "not_counted": NOT_COUNTED}


def _sizes(plan: Plan) -> dict[str, Any]:
    return {
        "sizes": asdict(plan.config), "dtype": str(plan.dtype).removeprefix("torch."),
        "gflop_per_frame": plan.config.sight_flops / 1e9, "language_parameters": plan.config.language.parameters,
        "weights": "random",
    }  # fmt: skip
