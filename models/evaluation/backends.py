"""`signbind bench backends`: every way to run the networks on this processor; what each costs, and how equal its answers are.

Times are of one picture in a batch of 32, the ways taking turns on the same pictures. Errors are against the networks as
trained in 32 bits: norm of the difference over norm of the answer. `best` is the way with the least processor time on
one thread among those whose error is at most FAITHFUL.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.backends import Network
from models.clock import HEIGHT, WIDTH
from models.eight_bits import Subject
from models.evaluation.letters import predict
from models.evaluation.networks import BUNDLED, Networks
from models.evaluation.over_time import measured_over_time
from models.evaluation.pictures import Frame, Pictures, pictures_of, sample_frames
from models.evaluation.rounds import Spent, in_turns
from models.evaluation.together import REFERENCE, measured_together
from models.evaluation.ways import WAYS, missing, prepared
from models.features import LETTERS, HandEncoder
from models.locate import Locator, PeakLocator

BATCH = 32
MOST_PICTURES = 128
"""So many at most are compared."""
FAITHFUL = {"locator": 0.002, "hand": 0.05, "mouth": 0.05}
"""Relative errors that change no token: a fifth of a pixel in the locator's places does, see `together`."""
Figures = dict[str, Any]
Say = Callable[[str], None]


def measure(seconds: float = 10.0, checkpoint: Path | None = None, letters: Path | None = None) -> Figures:
    """The report, for JSON; `seconds` is the time of each way over all networks and thread counts.

    `letters`, a folder LETTER/*.jpg of one signer's hands, adds the share of them that each way names right.
    """
    networks = Networks.load(checkpoint or BUNDLED)
    return measured(networks, sample_frames(), seconds, letters, _to_stderr)


def measured(
    networks: Networks, frames: Sequence[Frame], seconds: float, letters: Path | None = None, say: Say = lambda _: None,
    threads: Sequence[int] | None = None,
) -> Figures:  # fmt: skip
    """`measure` of these networks on these frames: the first half calibrates eight bits, the second is measured."""
    half = len(frames) // 2
    calibration, pictures = (pictures_of(part, networks.locator) for part in (frames[:half], frames[half:]))
    counts = tuple(threads or thread_counts())
    report: Figures = {"processor": processor(), "batch": BATCH, "threads": list(counts)}
    modules = {"locator": PeakLocator(networks.locator), "hand": networks.hand, "mouth": networks.mouth}
    with tempfile.TemporaryDirectory() as folder, threads_restored():
        subjects = []
        for (name, module), known, seen in zip(modules.items(), _three(calibration), _three(pictures), strict=True):
            say(f"{name}: {len(seen)} pictures, calibrated on {len(known)} others")
            subjects.append(Subject(name, module.eval(), known, Path(folder)))
            report[name] = Bench(subjects[-1], seen, counts).figures(seconds / len(modules), letters)
        say("all of them together, and the networks over time")
        torch.set_num_threads(1)
        report["together"] = measured_together(networks, subjects, frames[half:])
        report["over_time"] = measured_over_time(networks, frames, seconds / len(modules))
    report["best"] = {name: best(report[name], FAITHFUL[name]) for name in modules}
    return report


def _three(pictures: Pictures) -> tuple[Frame, Frame, Frame]:
    """In the order of the networks."""
    return spread(pictures.small), spread(pictures.hands), spread(pictures.mouths)


def spread(pictures: Frame, most: int = MOST_PICTURES) -> Frame:
    """`most` of the pictures, evenly, and at least a batch: the first ones again where there are too few."""
    wanted = max(BATCH, min(most, len(pictures)))
    places = np.linspace(0, len(pictures) - 1, min(wanted, len(pictures))).round().astype(int)
    return np.ascontiguousarray(pictures[np.resize(places, wanted)])


@dataclass(frozen=True)
class Bench:
    """One picture network in all its ways, on pictures that did not calibrate it, on so many threads; one comes first."""

    subject: Subject
    pictures: Frame
    threads: tuple[int, ...]

    def figures(self, seconds: float, letters: Path | None) -> Figures:
        """{way: figures, or {"absent": why}} in the order of WAYS."""
        found: Figures = {name: {"absent": f"not installed: {', '.join(missing(name))}"} for name in WAYS}
        for threads in self.threads:
            ways = dict(prepared(self.subject, threads))
            if threads == 1:
                for name, figures in self.compared(ways, letters).items():
                    found[name] = figures
            for name, spent in self.timed(ways, seconds / len(self.threads)).items():
                found[name] |= suffixed(spent, threads)
        return found

    def timed(self, ways: Mapping[str, Network], seconds: float) -> dict[str, Spent]:
        batch = self.pictures[:BATCH]
        return in_turns({name: _call(run, batch) for name, run in ways.items()}, seconds)

    def compared(self, ways: Mapping[str, Network], letters: Path | None) -> dict[str, Figures]:
        """How far every way's answers are from the reference's."""
        truth = ways[REFERENCE](self.pictures)
        found: dict[str, Figures] = {}
        for name, run in ways.items():
            answer = run(self.pictures)
            found[name] = {"relative_error": relative_error(answer, truth)}
            module = self.subject.module
            if isinstance(module, PeakLocator):
                found[name] |= places_compared(answer, truth, module.locator)
            elif isinstance(module, HandEncoder):
                same = best_letters(module, answer) == best_letters(module, truth)
                found[name]["letters_agree"] = float(same.mean())
                if letters is not None:
                    found[name]["letters_right"] = letters_right(module, run, letters)
        return found


def _call(run: Network, batch: Frame) -> Callable[[], object]:
    return lambda: run(batch)


def suffixed(spent: Spent, threads: int) -> Figures:
    """Milliseconds a picture; those of several threads are named so."""
    ending = "" if threads == 1 else f"_{threads}_threads"
    return {f"ms_cpu{ending}": spent.cpu_ms / BATCH, f"ms_wall{ending}": spent.wall_ms / BATCH}


def relative_error(answer: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(answer - truth) / max(float(np.linalg.norm(truth)), 1e-12))


def places_compared(answer: NDArray[np.float32], truth: NDArray[np.float32], locator: Locator) -> Figures:
    """Of peaks (N, parts, 4): the mean distance of centres found by both, in pixels of the canvas, and the share of parts
    that both found or both did not."""
    seen, known = answer[..., 0] >= locator.config.threshold, truth[..., 0] >= locator.config.threshold
    apart = np.hypot(*((answer - truth)[..., 1:3] * (WIDTH, HEIGHT)).transpose(2, 0, 1))[seen & known]
    return {
        "centres_apart_px": float(apart.mean()) if apart.size else 0.0,
        "found_agree": float((seen == known).mean()),
    }


@torch.inference_mode()
def best_letters(encoder: HandEncoder, embedded: NDArray[np.float32]) -> NDArray[np.int64]:
    """Letter numbers of embeddings (N, width)."""
    return encoder.symbol_scores(torch.from_numpy(embedded))[:, :LETTERS].argmax(1).numpy()


class Through(HandEncoder):
    """An encoder whose crops go another way; its letters are read as ever."""

    def __init__(self, encoder: HandEncoder, run: Network) -> None:
        super().__init__(encoder.config)
        self.load_state_dict(encoder.state_dict())
        self._run = run

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._run(crops.numpy()))


def letters_right(encoder: HandEncoder, run: Network, folder: Path) -> float:
    """The share of one signer's photographs that are named right, as `evaluation.letters` names them."""
    from models.training.photographs import read_letters

    photographs = read_letters(folder.parent, folder.name)
    return float((predict(Through(encoder, run), photographs.pictures) == photographs.symbols).mean())


def best(ways: Mapping[str, Figures], most_error: float) -> str:
    """The cheapest way of those with so much relative error at most."""
    faithful = {name: row["ms_cpu"] for name, row in ways.items() if row.get("relative_error", 1.0) <= most_error}
    return min(faithful, key=lambda name: faithful[name])


def thread_counts() -> tuple[int, ...]:
    """One, and all cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (1, cores) if cores > 1 else (1,)


def processor() -> str:
    """The processor's name, as far as the system tells."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@contextmanager
def threads_restored() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
