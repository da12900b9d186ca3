"""`signbind bench paper` at reduced size on a CPU: every part runs, and one that fails costs only itself."""

import json
import sys
from pathlib import Path

import pytest
import torch

from models.captured import CapturedStep
from models.clock import CHUNK_FRAMES, CHUNK_MS
from models.evaluation import paper
from models.evaluation.paper_load import Camera, LiveRun, Load
from models.evaluation.paper_rates import Sighted, ways_tried
from models.paper import PaperConfig, PaperSight, PaperTemporal
from models.paper_engine import PaperEngine, Ticket
from models.vit import Way

CPU = torch.device("cpu")
CONFIG = PaperConfig.reduced()
FIGURES = {
    "device", "matrix_tflops", "utilisation", "efficiency", "max_streams", "lag_ms_p95", "final_caption_ms_p95",
    "test_set_s", "goals_met",
}  # fmt: skip


def test_the_whole_bench_runs_reduced(tmp_path: Path) -> None:
    said: list[str] = []
    so_far = tmp_path / "so_far.json"
    report = paper.measure("cpu", seconds=0.4, partial=so_far, say=said.append)
    assert report.keys() >= FIGURES
    assert report["reduced"] is True and report["device"].startswith("CPU")
    assert set(report["absent"]) <= {"four_bit"}, "only bitsandbytes may be missing"
    assert report["final_caption_ms_p95"] >= report["sentence_ms_p95"] > 0
    assert report["test_set_s"] > report["test_set_s_sight"] > 0
    assert report["sight"]["relative_error_against_fp32"] < 1e-4
    assert report["goals_met"]["final_caption_ms_p95"] == (report["final_caption_ms_p95"] <= 700)
    assert json.loads(so_far.read_text(), parse_constant=pytest.fail)["max_streams"] == report["max_streams"]
    assert any("live" in line for line in said)


def test_a_part_that_fails_is_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(paper.PaperTemporal, "__init__", breaks)
    report = paper.measure("cpu", seconds=0.2, say=lambda _: None)
    assert report["absent"]["offline"] == "RuntimeError: out of memory"
    assert report["absent"]["live"] == "AssertionError: offline failed"
    assert report["sentence_ms_p95"] > 0
    assert report["test_set_s"] is None and not report["goals_met"]["test_set_s"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="PyTorch sees none: choose cpu"):
        paper.measure("cuda")


def test_live_streams_keep_real_time_and_every_chunk_is_taken_once() -> None:
    engine = PaperEngine(PaperSight.random(CONFIG, CPU, torch.float32), PaperTemporal(CONFIG, 3, CPU), (1, 2))
    halfway: list[bool] = []
    load = LiveRun(engine, Camera(CONFIG, CPU, 4), streams=3, seconds=1.5).run(lambda: halfway.append(True))
    due = 3 * 1500 / CHUNK_MS
    assert due - 3 - len(load.batches) < sum(load.batches) <= due + 3
    assert max(load.batches) <= 2
    assert all(lag > 0 for lag in load.lags_ms)
    assert halfway == [True]


def test_a_failure_beside_the_streams_is_not_lost() -> None:
    engine = PaperEngine(PaperSight.random(CONFIG, CPU, torch.float32), PaperTemporal(CONFIG, 1, CPU), (1,))
    with pytest.raises(ZeroDivisionError):
        LiveRun(engine, Camera(CONFIG, CPU, 4), streams=1, seconds=0.3).run(lambda: [][1 // 0])


def test_a_growing_queue_is_not_carried() -> None:
    assert Load(2, [100.0] * 99, [200.0] * 9).carried
    assert not Load(2, [100.0] * 99, [300.0] * 9).carried
    assert not Load(2, [], []).carried, "nothing measured proves nothing"


def test_a_way_that_cannot_be_computed_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.evaluation.paper_rates.PLAIN_WAYS", (Way(attention="triton"),))
    monkeypatch.setitem(sys.modules, "models.patch_attention", None)  # as where there is no Triton
    sight = PaperSight.random(CONFIG, CPU, torch.float32)
    found = ways_tried(Sighted(sight, Camera(CONFIG, CPU, 4), 2), 0.05, lambda _: None)
    assert str(found["triton, exact gelu, eager"]).startswith("failed: ")
    assert sight.large.way == Way()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_graphs_on_a_gpu_give_what_the_cpu_gives() -> None:
    torch.manual_seed(0)
    sight = PaperSight.random(CONFIG, torch.device("cuda"), torch.float32)
    frames = torch.randint(0, 256, (CHUNK_FRAMES, CONFIG.height, CONFIG.width, 3), dtype=torch.uint8, device="cuda")
    boxes = Camera(CONFIG, CPU, 1).boxes(1)[0].cuda()
    torch.testing.assert_close(
        CapturedStep(sight, (frames, boxes))(frames, boxes)[0], sight(frames, boxes), atol=1e-3, rtol=1e-3
    )


def test_a_device_that_does_not_come_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Never:
        def query(self) -> bool:
            return False

    monkeypatch.setattr("models.paper_engine.PATIENCE_S", 0.01)
    with pytest.raises(TimeoutError, match="the device hangs"):
        Ticket(torch.zeros(1), torch.zeros(1), Never()).wait()
