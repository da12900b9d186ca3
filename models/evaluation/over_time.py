"""What the five networks over time cost a chunk, in 32 bits by torch and by ONNX Runtime, and with weights in bfloat16, for
one live stream and for many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from models.backends import Backend
from models.clock import CHUNK_FRAMES
from models.evaluation.networks import Networks
from models.evaluation.pictures import Frame
from models.evaluation.rounds import in_turns
from models.evaluation.ways import in_bfloat16
from models.layout import MANUAL, MOUTH
from models.sight import Seen
from models.temporal import Temporal

STREAMS = (1, 4, 12)
MOST_CHUNKS = 32
OVER_TIME = ("router", "sign", "fingerspelling", "lips", "fusion")


def halved(networks: Networks) -> Networks:
    """The networks over time with weights in bfloat16; those that see stay as they are."""
    parts: dict[str, Any] = {name: in_bfloat16(getattr(networks, name)) for name in OVER_TIME}
    return replace(networks, **parts)


def measured_over_time(networks: Networks, frames: Sequence[Frame], seconds: float) -> dict[str, Any]:
    """{fp32 | bf16 | onnxruntime: {"N_streams": {ms_cpu, ms_wall} a step}}, and how far posteriors are apart from fp32's on
    these frames. ONNX Runtime is there where it is installed and has graphs of these networks."""
    ways = {"fp32": networks.temporal(max(STREAMS)), "bf16": halved(networks).temporal(max(STREAMS))}
    served = networks.temporal(max(STREAMS), Backend())
    if served.by_graph:
        ways["onnxruntime"] = served
    found: dict[str, Any] = {name: {} for name in ways}
    for streams in STREAMS:
        calls = {name: _step(temporal, streams) for name, temporal in ways.items()}
        for name, spent in in_turns(calls, seconds / len(STREAMS)).items():
            found[name][f"{streams}_streams"] = {"ms_cpu": spent.cpu_ms, "ms_wall": spent.wall_ms}
    chunks = list(features_of(networks, frames[: MOST_CHUNKS * CHUNK_FRAMES]))
    for name in ways.keys() - {"fp32"}:
        found[name]["probabilities_apart"] = apart(ways["fp32"], ways[name], chunks)
    return found


def features_of(networks: Networks, frames: Sequence[Frame]) -> Iterator[Seen]:
    """What the eyes make of every whole chunk, in 32 bits."""
    sight, everyone = networks.sight(1, Backend("torch")), np.ones(1, bool)
    for start in range(0, len(frames) - CHUNK_FRAMES + 1, CHUNK_FRAMES):
        yield sight.encode({0: frames[start : start + CHUNK_FRAMES]}, everyone)


def apart(one: Temporal, other: Temporal, chunks: Iterable[Seen]) -> float:
    """Half the sum of differences between the posteriors of a step (0 equal, 1 wholly other), the mean of all steps."""
    active = np.arange(one.slots) < 1
    one.reset(active)
    other.reset(active)
    found = []
    for seen in chunks:
        features = [torch.zeros(one.slots, *part.shape[1:]) for part in (seen.manual, seen.mouth)]
        features[0][0], features[1][0] = seen.manual[0], seen.mouth[0]
        first, second = (temporal.step(features[0], features[1], active).log_probs[0] for temporal in (one, other))
        found.append(np.abs(np.exp(first) - np.exp(second)).sum(-1).mean() / 2)
    return float(np.mean(found))


def _step(temporal: Temporal, streams: int) -> Callable[[], object]:
    active = np.arange(temporal.slots) < streams
    manual, mouth = (torch.randn(temporal.slots, CHUNK_FRAMES, n) for n in (MANUAL, MOUTH))
    return lambda: temporal.step(manual, mouth, active)
