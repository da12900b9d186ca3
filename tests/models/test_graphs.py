"""The networks over time as graphs: ONNX Runtime says what torch says, for any slots, with whatever weights they have now."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.backends import Backend
from models.clock import CHUNK_FRAMES
from models.evaluation.networks import BUNDLED, Networks
from models.graphs import Graph, graph_file, has_onnxruntime, write_graph
from models.layout import MANUAL, MOUTH
from models.temporal import Temporal

pytestmark = pytest.mark.skipif(not has_onnxruntime(), reason="the extra `fast` is not installed")
needs_onnx = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="the extra `bench` is not installed")
SLOTS, CHUNKS = 5, 12
FAST = Backend("auto")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bundled() -> Networks:
    return Networks.load(BUNDLED)


def compared(one: Temporal, other: Temporal, seed: int) -> float:
    """The largest difference of log posteriors while slots come and go; routes are equal."""
    torch.manual_seed(seed)
    rng, apart = np.random.default_rng(seed), [0.0]
    for chunk in range(CHUNKS):
        manual, mouth = torch.randn(SLOTS, CHUNK_FRAMES, MANUAL), torch.randn(SLOTS, CHUNK_FRAMES, MOUTH)
        active = rng.random(SLOTS) < 0.6
        active[chunk % SLOTS] = True
        if chunk == CHUNKS // 2:
            one.reset(active)
            other.reset(active)
        idle = ~active
        if idle.any():
            assert np.array_equal(one.route(manual, idle), other.route(manual, idle))
        first, second = one.step(manual, mouth, active), other.step(manual, mouth, active)
        assert np.array_equal(first.routes, second.routes)
        apart += [np.abs(first.log_probs - second.log_probs).max(), np.abs(first.alpha - second.alpha).max()]
    return max(apart)


@pytest.mark.parametrize("seed", range(3))
def test_the_bundled_graphs_are_of_this_code(bundled: Networks, seed: int) -> None:
    fast, plain = bundled.temporal(SLOTS, FAST), bundled.temporal(SLOTS, Backend("torch"))
    for part in (fast._route, fast._hear, fast._fuse):
        assert isinstance(part, Graph), "write the graphs again: signbind train int8"
    assert not isinstance(plain._hear, Graph)
    assert compared(fast, plain, seed) < 1e-4


def test_what_a_slot_says_does_not_depend_on_the_others(bundled: Networks) -> None:
    """A stream that is replayed alone, in another slot, tells the same."""
    torch.manual_seed(0)
    manual, mouth = torch.randn(CHUNKS, SLOTS, CHUNK_FRAMES, MANUAL), torch.randn(CHUNKS, SLOTS, CHUNK_FRAMES, MOUTH)
    many, alone = bundled.temporal(SLOTS, FAST), bundled.temporal(SLOTS, FAST)
    for chunk in range(CHUNKS):
        others = np.arange(SLOTS) <= chunk % SLOTS
        others[2] = True
        told = many.step(manual[chunk], mouth[chunk], others).log_probs[2]
        features = [part.roll(2, 0) for part in (manual[chunk], mouth[chunk])]
        again = alone.step(features[0], features[1], np.arange(SLOTS) == 4).log_probs[4]
        np.testing.assert_allclose(told, again, atol=1e-4)


@needs_onnx
def test_a_graph_takes_other_weights_of_the_same_sizes_and_no_other_sizes(tmp_path: Path) -> None:
    first, second = Networks.random(seed=0), Networks.random(seed=1)
    (tmp_path / "hear.00000000.onnx").write_bytes(b"of older networks")
    assert sorted(first.write_graphs(tmp_path)) == sorted(tmp_path.iterdir())
    second = replace(second, folder=tmp_path)
    fast, plain = second.temporal(SLOTS, FAST), second.temporal(SLOTS, Backend("torch"))
    assert isinstance(fast._fuse, Graph)
    assert compared(fast, plain, 3) < 1e-4


@needs_onnx
def test_equal_weights_stay_two(tmp_path: Path) -> None:
    """The exporter would make one of weights that happen to be equal when it traces."""

    def twins(*values: float) -> torch.nn.Module:
        module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
        for part, value in zip(module, values, strict=True):
            torch.nn.init.eye_(part.weight)
            torch.nn.init.constant_(part.bias, value)
        return Both(module)

    example = (torch.zeros(2, 3),)
    path = write_graph(tmp_path, "twins", twins(1.0, 1.0), example)
    assert path == graph_file(tmp_path, "twins", twins(2.0, 5.0), example)
    assert path != graph_file(tmp_path, "twins", twins(2.0, 5.0), (torch.zeros(2, 4),))
    (out,) = Graph(path, twins(2.0, 5.0))(torch.zeros(7, 3))
    assert out.tolist() == [[7.0] * 3] * 7


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux tells them")
def test_loading_reports_nothing_to_anybody_and_leaves_a_process_that_can_be_forked() -> None:
    """Where it may report, ONNX Runtime starts a thread for it when it is loaded."""
    code = "import os, models.backends as b; b.load_libraries(); print(len(os.listdir('/proc/self/task')))"
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    kept = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "CI")}
    done = subprocess.run([sys.executable, "-c", code], env=kept | alone, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


class Both(torch.nn.Module):
    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.module(rows),)
