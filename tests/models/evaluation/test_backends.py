"""Every way to run the picture networks, on small random ones: equal answers, what is absent, whose turn it is."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models.canvas import shrink
from models.evaluation import backends, over_time, pictures, together, ways
from models.evaluation.networks import Networks
from models.evaluation.rounds import in_turns

EQUAL = {"fp32": 1e-4, "bf16": 0.05, "int8": 0.3}
"""How far answers of random networks may lie apart; of noise, eight bits say less than of hands."""


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks.random()


def noise(count: int, seed: int = 0) -> list[np.ndarray]:
    """Smooth coloured noise on the canvas."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)
    return [np.asarray(cv2.resize(picture, (640, 480))) for picture in small]


def installed(way: str) -> bool:
    packages = {"onnxruntime": ["onnx", "onnxruntime"], "openvino": ["openvino"]}.get(way.split("_")[0], [])
    needed = packages + (["onnx", "onnxruntime"] if way.endswith("int8") else [])
    return all(importlib.util.find_spec(package) for package in needed)


def test_the_report_holds_every_way_or_says_what_is_absent(networks: Networks, tmp_path: Path) -> None:
    letters = tmp_path / "someone"
    for number, letter in enumerate("AB"):
        (letters / letter).mkdir(parents=True)
        cv2.imwrite(str(letters / letter / "0.jpg"), noise(1, number)[0])
    before = torch.get_num_threads()

    report = backends.measured(networks, noise(16), 0.01, letters, threads=(1,))

    assert torch.get_num_threads() == before
    assert json.loads(json.dumps(report)) == report
    assert report["batch"] == 32 and report["threads"] == [1] and report["processor"]
    for name in ("locator", "hand", "mouth"):
        assert report["best"][name] in report[name]
        assert list(report[name]) == list(ways.WAYS)
        for way, figures in report[name].items():
            if not installed(way):
                assert figures["absent"].startswith("not installed: on") or "openvino" in figures["absent"]
                continue
            if name != "locator" or way.endswith("fp32"):  # places of untrained peaks leap when they are rounded
                assert figures["relative_error"] <= EQUAL[way.rsplit("_", 1)[1]], (name, way, figures)
            assert figures["ms_cpu"] > 0 and figures["ms_wall"] > 0
            if name == "hand":
                assert 0 <= figures["letters_right"] <= 1
    assert report["hand"]["torch_folded_fp32"]["letters_agree"] == 1
    assert report["locator"]["torch_folded_fp32"]["centres_apart_px"] < 0.1
    assert report["locator"]["torch_folded_fp32"]["found_agree"] == 1
    for mix, figures in report["together"].items():
        assert 0 < figures["probabilities_apart"] < 1, mix
        assert figures["tokens_changed"] >= 0
    assert set(report["together"]) == {mix for mix, parts in together.MIXES.items() if all(map(installed, parts))}
    assert set(report["over_time"]["fp32"]) == {"1_streams", "4_streams", "12_streams"}
    assert 0 < report["over_time"]["bf16"]["probabilities_apart"] < 0.2


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, networks: Networks, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    gone = {"onnx", "openvino"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in gone else found(name))
    known = np.zeros((32, 40, 40), np.uint8)
    bench = backends.Bench(ways.Subject("mouth", networks.mouth, known, tmp_path), known, (1,))

    figures = bench.figures(0.001, None)

    assert figures["openvino_bf16"] == {"absent": "not installed: openvino"}
    assert "onnx" in figures["openvino_int8"]["absent"] and "openvino" in figures["openvino_int8"]["absent"]
    assert figures["onnxruntime_int8"]["absent"].startswith("not installed: onnx")
    assert backends.best(figures, 0.05).startswith("torch")
    assert set(figures["torch_fp32"]) == {"relative_error", "ms_cpu", "ms_wall"}


def test_bfloat16_layers_leave_the_original_alone(networks: Networks) -> None:
    small = torch.from_numpy(np.stack([shrink(frame) for frame in noise(2)]))
    with torch.inference_mode():
        before = networks.locator(small)
        halved = ways.in_bfloat16(networks.locator)
        out = halved(small)
        assert torch.equal(networks.locator(small), before)
    assert out.dtype == torch.float32
    assert {p.dtype for p in halved.parameters()} >= {torch.bfloat16}
    assert 0 < (out - before).abs().max() < 0.1


def test_networks_over_time_in_bfloat16_remember_in_bfloat16(networks: Networks) -> None:
    halved = over_time.halved(networks)
    assert halved.locator is networks.locator
    assert halved.sign.new_state(1).rings.dtype == torch.bfloat16
    assert networks.sign.new_state(1).rings.dtype == torch.float32
    chunks = list(over_time.features_of(networks, noise(19)))
    assert len(chunks) == 2
    assert over_time.apart(networks.temporal(2), networks.temporal(2), chunks) == 0
    assert 0 < over_time.apart(networks.temporal(2), halved.temporal(2), chunks) < 0.2


def test_places_are_compared_in_pixels_where_both_found_them(networks: Networks) -> None:
    truth = np.zeros((1, 4, 4), np.float32)
    truth[0, :3, 0] = 1  # the mouth is not found
    answer = truth.copy()
    answer[0, 0, 1] += 0.1  # 64 pixels to the right
    answer[0, 1, 0] = 0  # a hand is lost: its place does not count
    answer[0, 1, 1] += 0.5
    compared = backends.places_compared(answer, truth, networks.locator)
    assert compared["centres_apart_px"] == pytest.approx(32)
    assert compared["found_agree"] == pytest.approx(0.75)


def test_the_best_is_the_cheapest_faithful_one() -> None:
    rows: dict[str, dict[str, Any]] = {
        "slow": {"relative_error": 0.0, "ms_cpu": 3.0}, "quick": {"relative_error": 0.04, "ms_cpu": 1.0},
        "wrong": {"relative_error": 0.4, "ms_cpu": 0.1}, "gone": {"absent": "not installed: it"},
    }  # fmt: skip
    assert backends.best(rows, 0.05) == "quick"
    assert backends.best(rows, 0.01) == "slow"


def test_tokens_and_posteriors_are_compared() -> None:
    truth = np.eye(3, dtype=np.float32)[[0, 1, 1, 0, 2, 2]]
    answer = np.eye(3, dtype=np.float32)[[0, 1, 1, 0, 0, 0]]
    assert together.compared(truth, truth) == {"probabilities_apart": 0, "tokens_changed": 0, "tokens": 2}
    found = together.compared(answer, truth)
    assert found == {"probabilities_apart": pytest.approx(2 / 6), "tokens_changed": 1, "tokens": 2}


def test_few_pictures_fill_a_batch_and_many_are_thinned_evenly() -> None:
    few, many = np.arange(5, dtype=np.uint8), np.arange(200, dtype=np.uint8)
    assert len(backends.spread(few)) == 32 and set(backends.spread(few)) == set(few)
    thinned = backends.spread(many, 100)
    assert len(thinned) == 100 and thinned[0] == 0 and thinned[-1] == 199


def test_ways_take_turns() -> None:
    said: list[str] = []
    spent = in_turns({"a": lambda: said.append("a"), "b": lambda: sum(range(100_000))}, 0.0, least=2)
    assert spent["b"].cpu_ms > spent["a"].cpu_ms > 0  # of the wall's time a busy machine takes its share
    assert spent["b"].wall_ms > 0 < spent["a"].wall_ms
    assert set(said) == {"a"}


def test_frames_are_drawn_where_the_sample_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "DRAWN", "hello")
    frames = pictures.sample_frames(tmp_path / "none.webm")
    assert len(frames) > 16 and frames[0].shape == (480, 640, 3)
    again = pictures.repeated(frames, len(frames) + 1)
    assert again[-1] is frames[0]


def test_a_locator_that_finds_nothing_is_told(networks: Networks) -> None:
    blind = Networks.random().locator
    with torch.no_grad():
        assert blind.heads.bias is not None
        blind.heads.bias.view(4, 4)[:, 0] = -20
    with pytest.raises(ValueError, match="found 0 hands and 0 mouths"):
        pictures.pictures_of(noise(2), blind)
