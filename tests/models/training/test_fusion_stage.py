"""Fusion's recipe: frozen experts keep no graph, routes are drawn in half of the batches, and a run leaves its weights."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import load, weights_file
from models.fusion import Fusion
from models.hearing import Experts
from models.layout import MANUAL, MOUTH
from models.training import feature_sets, fusion_stage
from models.training.expert_loss import TAU_FIRST, TAU_LAST, temperature
from models.training.feature_clips import FeatureClip, FeatureStore, Targets
from models.vocabulary import FINGERSPELLING

BUNDLED = Path(__file__).parents[3] / "models" / "checkpoints" / "compact"


def spelled(targets: Targets, count: int, steps: int = 16) -> FeatureStore:
    """Clips of noise that spell one letter."""
    rng = np.random.default_rng(count)
    clip = FeatureClip(
        rng.standard_normal((steps, MANUAL)).astype(np.float32), rng.standard_normal((steps, MOUTH)).astype(np.float32),
        np.full(steps, FINGERSPELLING, np.int8), ("#A",) * steps, ("#A",), ("EY",), "A.",
    )  # fmt: skip
    return FeatureStore.of([clip] * count, targets)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    targets = Targets.of(feature_sets.glosses_of(BUNDLED / "glosses.txt"))
    for name, count in (("synthetic", 6), ("spelled", feature_sets.HELD_OUT_WORDS + 4), ("held_out", 3)):
        spelled(targets, count).save(tmp_path / "features" / f"{name}.pt")
    return tmp_path / "features"


def test_a_run_leaves_its_weights(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "weights"
    out.mkdir()
    shutil.copy(BUNDLED / "glosses.txt", out)
    for part in ("router", "sign", "fingerspelling", "lips"):
        shutil.copy(BUNDLED / f"{part}.json", out)
        shutil.copy(weights_file(BUNDLED, part), out)
    figures = fusion_stage.train(tmp_path, out, minutes=0.02, device="cpu", features=features)
    fusion = load(Fusion, out, "fusion")
    assert fusion.head.weight.abs().sum() > 0  # it starts at nothing
    assert set(figures) == {"experts_error", "fused_error", "spelled_error"}


def test_frozen_experts_keep_no_graph() -> None:
    steps = torch.randn(2, 16, MANUAL), torch.randn(2, 16, MANUAL), torch.randn(2, 16, MOUTH)
    mask = torch.ones(2, 16, dtype=torch.bool)
    experts = Experts.load(BUNDLED)
    assert experts.hear(steps, mask, None, 1.0).routes.requires_grad
    assert not any(part.requires_grad for part in experts.frozen().hear(steps, mask, None, 1.0))


def test_routes_are_drawn_in_half_of_the_batches_ever_colder() -> None:
    rng = random.Random(0)
    drawn = [temperature(rng, done / 100) for done in range(200)]
    taus = [tau for tau in drawn if tau is not None]
    assert 70 < len(taus) < 130 and taus == sorted(taus, reverse=True)
    assert taus[-1] == pytest.approx(TAU_LAST) and TAU_FIRST >= taus[0] > 0.9 * TAU_FIRST
