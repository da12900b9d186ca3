"""`signbind bench window`: each frame encoded once, against the usual ways of reading a live stream, at equal outputs.

- incremental: a chunk of 8 new frames through the picture networks, then one step of the networks over time (this engine).
- overlapping: at every new frame the last 16 go through the picture networks again, and the networks over time run over
  these 16 steps, as published online recognisers do.
- growing: at every chunk all frames of the segment so far go through all networks again; also told for every frame.

All run on the same frames with the same weights, backend and threads, taking turns. The usual ways have their frames in one
batch, and are given the smoothed boxes' state for nothing. Compared in the same run: the features of every frame, and the
log posteriors of the growing segment and of a segment that is one window long. A later window's posteriors are others by
design, since it has forgotten what came before it. Windows whose features are compared begin with a chunk: which of its frames
a spelling hand is looked at closely in (`closer.LOOKED`) is counted from there. Those that are timed begin anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.backends import Backend
from models.canvas import shrink
from models.clock import CHUNK_FRAMES, FRAME_RATE_HZ
from models.evaluation.networks import BUNDLED, Networks
from models.evaluation.pictures import Frame, repeated, sample_frames
from models.evaluation.rounds import in_turns
from models.hypothesis import StreamOptions
from models.layout import MANUAL, MOUTH
from models.locate import BoxSmoother
from models.sight import Places, Seen

WINDOW_FRAMES = 16
TOLERANCE = 1e-4
SEGMENT_CHUNKS = StreamOptions().max_segment_ms * FRAME_RATE_HZ // 1000 // CHUNK_FRAMES
JUMP = 17
"""From one timed chunk to the next: soon all parts of the clip have been timed, those with two hands and with none."""
Figures = dict[str, Any]


def measure(seconds: float = 10.0, checkpoint: Path | None = None, device: str = "cpu") -> Figures:
    """The report, for JSON; `seconds` is the time of each of the three ways on each backend."""
    networks = Networks.load(checkpoint or BUNDLED, device)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return measured(networks, repeated(sample_frames(), SEGMENT_CHUNKS * CHUNK_FRAMES), seconds, device)
    finally:
        torch.set_num_threads(before)


def measured(networks: Networks, frames: Sequence[Frame], seconds: float, device: str = "cpu") -> Figures:
    """`measure` on one segment of whole chunks: torch in 32 bits first, then what "auto" comes to, if that is another."""
    exact = Ways(networks, frames, Backend("torch", device)).figures(seconds)
    report: Figures = {"frames": len(frames), "window_frames": WINDOW_FRAMES, "threads": 1, **exact}
    auto = Backend("auto", device)
    if auto.chosen != "torch":
        report[f"{auto.chosen}_{auto.precision}"] = Ways(networks, frames, auto).figures(seconds)
    return report


class Ways:
    """The three ways over one segment."""

    def __init__(self, networks: Networks, frames: Sequence[Frame], backend: Backend) -> None:
        assert len(frames) % CHUNK_FRAMES == 0, f"{len(frames)} frames are no whole chunks"
        assert len(frames) > WINDOW_FRAMES, f"{len(frames)} frames are no more than a window"
        self.frames, self.chunks, self.networks = frames, len(frames) // CHUNK_FRAMES, networks
        self.device = next(networks.fusion.parameters()).device
        self.temporal = networks.temporal(1, backend)
        self.sight = networks.sight(self.chunks, backend)
        self.kept: list[Places] = []
        """Where the signer was before each frame."""

    def figures(self, seconds: float) -> Figures:
        features, log_probs = self.read()
        apart = self.apart(features, log_probs)
        return {**self.rates(seconds), "apart": apart, "outputs_equal": max(apart.values()) <= TOLERANCE}

    def read(self) -> tuple[Tensor, NDArray[np.float32]]:
        """The segment incrementally, in order: features (1, steps, 312), log posteriors (steps, V)."""
        self.sight.reset(0)
        self.temporal.reset(np.ones(1, bool))
        found = [self.incremental(chunk) for chunk in range(self.chunks)]
        self.kept = list(self.places())
        self.sight.reset(0)
        return torch.cat([features for features, _ in found], 1), np.concatenate([said for _, said in found])

    def places(self) -> Iterator[Places]:
        """Where the signer is before each frame of the segment, in order."""
        smoother = BoxSmoother()
        for start in range(0, len(self.frames), CHUNK_FRAMES):
            for boxes in self.sight.find(np.stack([shrink(f) for f in self.frames[start : start + CHUNK_FRAMES]])):
                yield smoother.place.copy()
                smoother(boxes)

    def incremental(self, chunk: int) -> tuple[Tensor, NDArray[np.float32]]:
        """One chunk through everything."""
        start = chunk * CHUNK_FRAMES
        seen = self.sight.encode({0: self.frames[start : start + CHUNK_FRAMES]}, self.first(1))
        said = self.temporal.step(seen.manual[:1], seen.mouth[:1], np.ones(1, bool))
        return flat(seen, 1), said.log_probs[0]

    def again(self, start: int, length: int) -> tuple[Tensor, NDArray[np.float32]]:
        """Frames from `start` on through everything in one batch: a row of the batch for every eight of them."""
        rows = length // CHUNK_FRAMES
        starts = [start + row * CHUNK_FRAMES for row in range(rows)]
        for row, at in enumerate(starts):
            self.sight.places[row] = self.kept[at]
        chunks = {row: self.frames[at : at + CHUNK_FRAMES] for row, at in enumerate(starts)}
        features = flat(self.sight.encode(chunks, self.first(rows)), rows)
        manual, mouth = features[..., :MANUAL].to(self.device), features[..., MANUAL:].to(self.device)
        return features, self.networks.offline(manual, mouth)[0].cpu().numpy()

    def first(self, rows: int) -> NDArray[np.bool_]:
        return np.arange(self.chunks) < rows

    def apart(self, features: Tensor, log_probs: NDArray[np.float32]) -> dict[str, float]:
        """The largest differences from what was `read`: windows all over the segment, and segments of growing length."""
        found = {"overlapping_features": 0.0, "growing_features": 0.0, "growing_log_probs": 0.0}
        for start in range(0, len(self.frames) - WINDOW_FRAMES + 1, WINDOW_FRAMES + CHUNK_FRAMES):
            seen, said = self.again(start, WINDOW_FRAMES)
            note(found, "overlapping_features", seen - features[:, start : start + WINDOW_FRAMES])
            if start == 0:
                note(found, "overlapping_log_probs", said - log_probs[:WINDOW_FRAMES])
        for length in self.lengths():
            seen, said = self.again(0, length)
            note(found, "growing_features", seen - features[:, :length])
            note(found, "growing_log_probs", said - log_probs[:length])
        return found

    def lengths(self) -> list[int]:
        """Lengths in frames at which the growing segment is timed; between them the time is interpolated."""
        return sorted(
            {max(1, round(self.chunks * share)) * CHUNK_FRAMES for share in (0, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)}
        )

    def rates(self, seconds: float) -> Figures:
        """Frames a second and their ratios, by wall time and by processor time."""
        calls: dict[str, Callable[[], object]] = {"incremental": self.next_chunk(), "overlapping": self.next_window()}
        growing = {f"growing_{length}": self.growing(length) for length in self.lengths()}
        spent = in_turns(calls | growing, 3 * seconds / len(calls | growing))
        by_length = [spent[name] for name in growing]
        wall = self.ratios(spent["incremental"].wall_ms, spent["overlapping"].wall_ms, [t.wall_ms for t in by_length])
        cpu = self.ratios(spent["incremental"].cpu_ms, spent["overlapping"].cpu_ms, [t.cpu_ms for t in by_length])
        ratios = {f"{name}_by_cpu_time": value for name, value in cpu.items() if name.endswith("ratio")}
        return {**wall, **ratios}

    def next_chunk(self) -> Callable[[], object]:
        number = count(0, JUMP)
        return lambda: self.incremental(next(number) % self.chunks)

    def next_window(self) -> Callable[[], object]:
        number, places = count(0, JUMP * CHUNK_FRAMES + 1), len(self.frames) - WINDOW_FRAMES + 1
        return lambda: self.again(next(number) % places, WINDOW_FRAMES)

    def growing(self, length: int) -> Callable[[], object]:
        return lambda: self.again(0, length)

    def ratios(self, chunk_ms: float, window_ms: float, growing_ms: Sequence[float]) -> Figures:
        """Of one kind of time: a chunk, a window, and segments of `lengths`."""
        total = len(self.frames)
        every_chunk, every_frame = (
            float(np.interp(np.arange(stride, total + 1, stride), self.lengths(), growing_ms).sum())
            for stride in (CHUNK_FRAMES, 1)
        )
        incremental = 1e3 * CHUNK_FRAMES / chunk_ms
        return {
            "overlapping_ratio": incremental * window_ms / 1e3,
            "growing_ratio": incremental * every_chunk / 1e3 / total,
            "growing_every_frame_ratio": incremental * every_frame / 1e3 / total,
            "incremental_frames_per_s": incremental,
            "overlapping_frames_per_s": 1e3 / window_ms,
            "growing_frames_per_s": 1e3 * total / every_chunk,
        }


def flat(seen: Seen, rows: int) -> Tensor:
    """The first rows' chunks one after the other: (1, rows * CHUNK_FRAMES, 312)."""
    return torch.cat((seen.manual[:rows], seen.mouth[:rows]), -1).reshape(1, rows * CHUNK_FRAMES, MANUAL + MOUTH)


def note(found: dict[str, float], name: str, difference: Tensor | NDArray[np.float32]) -> None:
    found[name] = max(found.get(name, 0.0), float(np.abs(np.asarray(difference)).max()))
