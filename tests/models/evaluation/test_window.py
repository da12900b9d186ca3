"""Incremental against the usual ways, on a small random translator: equal outputs, and ratios that follow from the times."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.backends import Backend
from models.closer import Closer, CloserConfig
from models.evaluation import window
from models.evaluation.networks import Networks
from models.evaluation.window import WINDOW_FRAMES, Ways

RATIOS = {"overlapping_ratio", "growing_ratio", "growing_every_frame_ratio"}


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(40)]


@pytest.fixture
def ways(frames: list[np.ndarray]) -> Ways:
    return Ways(Networks.random(), frames, Backend("torch"))


def test_the_report_has_the_ratios_at_equal_outputs(frames: list[np.ndarray]) -> None:
    report = window.measured(Networks.random(), frames, 0.01)
    assert json.loads(json.dumps(report)) == report
    assert report["outputs_equal"] and max(report["apart"].values()) <= 1e-4
    assert {name for name in report if name.endswith("ratio")} == RATIOS
    assert report["overlapping_ratio"] > 1 and report["growing_ratio"] > 1
    assert report["growing_every_frame_ratio"] > report["growing_ratio"]
    rates = report["incremental_frames_per_s"] / report["overlapping_frames_per_s"]
    assert report["overlapping_ratio"] == pytest.approx(rates)


def test_every_window_sees_what_was_seen_once(ways: Ways) -> None:
    features, _ = ways.read()
    seen_once = ways.sight.frames_encoded
    for start in range(len(ways.frames) - WINDOW_FRAMES + 1):
        seen, _ = ways.again(start, WINDOW_FRAMES)
        torch.testing.assert_close(seen, features[:, start : start + WINDOW_FRAMES], rtol=0, atol=1e-4)
    assert seen_once == len(ways.frames)
    assert ways.sight.frames_encoded - seen_once == WINDOW_FRAMES * (len(ways.frames) - WINDOW_FRAMES + 1)


def test_outputs_are_equal_where_hands_are_looked_at_closely_too(frames: list[np.ndarray]) -> None:
    """As in the bundled weights: which frames are looked at is counted from where a chunk begins."""
    closer = Closer(CloserConfig(picture_px=32, least=0.0)).eval()
    for convolution in closer.trunk.layers.convolutions():  # as they are made, they see the same in all hands
        torch.nn.init.kaiming_normal_(convolution.weight)
    ways = Ways(replace(Networks.random(), closer=closer), frames, Backend("torch"))
    features, log_probs = ways.read()
    plain, _ = Ways(Networks.random(), frames, Backend("torch")).read()
    assert (features - plain).abs().max() > 0.1, "hands were looked at closely"
    assert max(ways.apart(features, log_probs).values()) <= 1e-4


def test_another_answer_is_told(ways: Ways) -> None:
    features, log_probs = ways.read()
    log_probs[3, 0] += 0.01
    apart = ways.apart(features, log_probs)
    assert apart["growing_log_probs"] == pytest.approx(0.01, abs=1e-3)
    assert apart["overlapping_log_probs"] == pytest.approx(0.01, abs=1e-3)
    assert apart["growing_features"] <= 1e-4


def test_ratios_follow_from_the_times(ways: Ways) -> None:
    lengths = ways.lengths()
    assert lengths[0] == 8 and lengths[-1] == len(ways.frames)
    found = ways.ratios(8.0, 16.0, [float(length) for length in lengths])  # a millisecond a frame, whatever the way
    assert found["overlapping_ratio"] == pytest.approx(16)
    assert found["growing_ratio"] == pytest.approx((8 + 16 + 24 + 32 + 40) / 40)
    assert found["growing_every_frame_ratio"] == pytest.approx((7 * 8 + sum(range(8, 41))) / 40)


def test_segments_shorter_than_a_window_are_refused(frames: list[np.ndarray]) -> None:
    with pytest.raises(AssertionError, match="no more than a window"):
        Ways(Networks.random(), frames[:16], Backend("torch"))
    with pytest.raises(AssertionError, match="no whole chunks"):
        Ways(Networks.random(), frames[:33], Backend("torch"))
