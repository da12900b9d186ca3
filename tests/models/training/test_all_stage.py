"""All stages in one go: each in a process of its own, begun when its time comes, stopped whatever happens."""

import json
import time
from pathlib import Path

import pytest
import torch

from models.checkpoint import has
from models.closer import CLOSER
from models.training import landmark_weights
from models.training.all_stage import STAGES, Plan, Running, Shares, Stage, look_closer


def _captions(path: Path) -> Path:
    rows = [
        {
            "caption": {"posterior": n % 2 * 0.8 + 0.1},
            "right": n % 2,
            "words": [{"features": {"p": 0.5}, "right": n % 2}],
        }
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_stage_trains_when_told_to_and_leaves_its_weights(tmp_path: Path) -> None:
    running = Running(Stage("confidence_stage", reading_s=0), _captions(tmp_path / "confidence.jsonl"), tmp_path, {})
    running.begin(time.monotonic() + 40)
    running.end()
    assert (tmp_path / "confidence.json").is_file()


def test_a_stage_that_fails_ends_the_run(tmp_path: Path) -> None:
    running = Running(Stage("confidence_stage", reading_s=0), tmp_path / "absent.jsonl", tmp_path, {})
    running.begin(time.monotonic() + 40)
    with pytest.raises(ValueError, match="confidence_stage failed with exit code 1"):
        running.end()


def test_a_stage_that_was_never_begun_can_be_stopped(tmp_path: Path) -> None:
    running = Running(Stage("confidence_stage"), tmp_path, tmp_path, {})
    running.stop()
    assert not list(tmp_path.iterdir())


def test_times_are_shares_of_the_whole_in_the_order_of_need() -> None:
    shares = Shares()
    assert shares.encoder <= shares.drawing < shares.experts < shares.fusion < 1
    plan = Plan(Path(), Path(), 10.0, shares, torch.device("cpu"), 0, begun_s=100.0)
    assert plan.at(0.5) == 400.0
    assert set(STAGES) >= {"encoder", "lips", "language", "sign", "fingerspelling", "router", "fusion"}


def test_a_closer_look_of_another_encoder_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for ending in (".npz.xz", ".json"):
        (tmp_path / f"{CLOSER}{ending}").write_bytes(b"of the encoder before")
    monkeypatch.setattr(landmark_weights, "PUBLISHED", tmp_path / "absent.tflite")
    plan = Plan(tmp_path, tmp_path, 10.0, Shares(), torch.device("cpu"), 0, begun_s=0.0)
    assert look_closer(plan) == {}
    assert not has(tmp_path, CLOSER)
    assert "absent.tflite" in capsys.readouterr().out
