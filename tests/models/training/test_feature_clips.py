"""Cached features: batching, mirroring, variation, and the file they are kept in."""

from pathlib import Path

import numpy as np
import pytest

from models.layout import GEOMETRY, HAND, MANUAL, MOUTH
from models.training.feature_clips import IGNORED, FeatureClip, Targets, collate, load, mirrored, save, varied


@pytest.fixture
def clip() -> FeatureClip:
    rng = np.random.default_rng(0)
    manual = rng.normal(size=(20, MANUAL)).astype(np.float32)
    manual[:, 2 * HAND] = manual[:, 2 * HAND + 6] = 1
    symbols = ["NAME"] * 6 + ["?"] * 2 + ["#A"] * 4 + [""] * 8
    routes = np.array([0] * 8 + [1] * 4 + [2] * 8, np.int8)
    return FeatureClip(manual, rng.normal(size=(20, MOUTH)).astype(np.float32), routes, tuple(symbols),
                       ("NAME", "#A"), ("EY",), "A.")  # fmt: skip


@pytest.fixture
def targets() -> Targets:
    return Targets.of(("NAME", "WANT"))


def test_each_expert_gets_its_own_targets(clip: FeatureClip, targets: Targets) -> None:
    assert collate([clip], "sign", targets).targets == [[1]]
    assert collate([clip], "fingerspelling", targets).targets == [[1]]
    fused = collate([clip], "fusion", targets)
    assert fused.targets == [[1, 3]]
    assert fused.frames[0].tolist() == [1] * 6 + [IGNORED] * 2 + [3] * 4 + [0] * 8
    assert collate([clip], "sign", targets).frames[0, 8:12].tolist() == [0] * 4


def test_padding_is_not_trained(clip: FeatureClip, targets: Targets) -> None:
    longer = FeatureClip(np.tile(clip.manual, (2, 1)), np.tile(clip.mouth, (2, 1)), np.tile(clip.routes, 2),
                         clip.symbols * 2, clip.tokens * 2, clip.phonemes)  # fmt: skip
    batch = collate([clip, longer], "fusion", targets)
    assert batch.lengths.tolist() == [20, 40]
    assert (batch.frames[0, 20:] == IGNORED).all() and (batch.routes[0, 20:] == IGNORED).all()


def test_a_mirror_twice_is_the_clip(clip: FeatureClip) -> None:
    assert np.array_equal(mirrored(mirrored(clip)).manual, clip.manual)


def test_a_mirror_swaps_hands_and_turns_x(clip: FeatureClip) -> None:
    turned = mirrored(clip).manual
    assert np.array_equal(turned[:, :HAND], clip.manual[:, HAND : 2 * HAND])
    assert np.array_equal(turned[:, 2 * HAND + 1], -clip.manual[:, 2 * HAND + 7])
    assert np.array_equal(turned[:, 2 * HAND + 2], clip.manual[:, 2 * HAND + 8])


def test_variation_keeps_targets_and_step_counts_together(clip: FeatureClip) -> None:
    taken = varied(clip, np.random.default_rng(1))
    assert taken.tokens == clip.tokens
    assert len(taken.manual) == len(taken.mouth) == len(taken.symbols) == len(taken.routes)
    assert taken.manual.shape[1] == 2 * HAND + GEOMETRY and taken.manual.dtype == np.float32
    order = [symbol for symbol in taken.symbols if symbol not in ("", "?")]
    assert order == sorted(order, key=lambda symbol: symbol.startswith("#"))


def test_saved_clips_come_back(clip: FeatureClip, tmp_path: Path) -> None:
    save([clip, clip], tmp_path / "clips.pt")
    back = load(tmp_path / "clips.pt")
    assert len(back) == 2 and back[0].symbols == clip.symbols and back[1].english == "A."
    assert np.allclose(back[0].manual, clip.manual, atol=2e-3)
