"""Cached features: packing, batching, mirroring, takes, and the file they are kept in."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.layout import GEOMETRY, HAND, MANUAL, MOUTH
from models.training import feature_sets
from models.training.feature_clips import IGNORED, FeatureClip, FeatureStore, Targets
from models.training.feature_sets import Source, Takes, mirrored

STILL = Takes(strength=0.0, mirror=0.0)


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
def longer(clip: FeatureClip) -> FeatureClip:
    return FeatureClip(np.tile(clip.manual, (2, 1)), np.tile(clip.mouth, (2, 1)), np.tile(clip.routes, 2),
                       clip.symbols * 2, clip.tokens * 2, clip.phonemes)  # fmt: skip


@pytest.fixture
def targets() -> Targets:
    return Targets.of(("NAME", "WANT"))


def _whole(store: FeatureStore, name: str, targets: Targets) -> feature_sets.Batch:
    return Source.of(store, name, targets).take(torch.arange(len(store)), STILL)


def test_each_expert_gets_its_own_targets(clip: FeatureClip, targets: Targets) -> None:
    store = FeatureStore.of([clip], targets)
    assert _whole(store, "sign", targets).targets == [[1]]
    assert _whole(store, "fingerspelling", targets).targets == [[1]]
    fused = _whole(store, "fusion", targets)
    assert fused.targets == [[1, 3]]
    assert fused.frames[0].tolist() == [1] * 6 + [IGNORED] * 2 + [3] * 4 + [0] * 8
    assert _whole(store, "sign", targets).frames[0, 8:12].tolist() == [0] * 4
    assert _whole(store, "lips", targets).targets == [targets.phonemes.encode(["EY"])]


def test_padding_is_not_trained_and_a_still_take_is_the_clip(
    clip: FeatureClip, longer: FeatureClip, targets: Targets
) -> None:
    batch = _whole(FeatureStore.of([clip, longer], targets), "fusion", targets)
    assert batch.lengths.tolist() == [20, 40]
    assert (batch.frames[0, 20:] == IGNORED).all() and (batch.routes[0, 20:] == IGNORED).all()
    assert (batch.manual[0, 20:] == 0).all()
    assert np.allclose(batch.manual[0, :20], clip.manual, atol=4e-3)
    assert np.allclose(batch.manual[1], longer.manual, atol=4e-3)


def test_joined_and_parted_stores_hold_the_same_clips(clip: FeatureClip, longer: FeatureClip, targets: Targets) -> None:
    store = FeatureStore.joined([FeatureStore.of([clip], targets), FeatureStore.of([longer], targets)])
    again = store.part([1]).clip(0, targets)
    assert again.symbols == longer.symbols and again.tokens == longer.tokens and again.phonemes == longer.phonemes
    assert np.array_equal(again.manual, store.clip(1, targets).manual)


def test_a_mirror_swaps_hands_and_turns_x_and_twice_is_the_clip(clip: FeatureClip) -> None:
    manual = torch.from_numpy(clip.manual)
    assert torch.equal(mirrored(mirrored(manual)), manual)
    turned = mirrored(manual)
    assert torch.equal(turned[:, :HAND], manual[:, HAND : 2 * HAND])
    assert torch.equal(turned[:, 2 * HAND + 1], -manual[:, 2 * HAND + 7])
    assert torch.equal(turned[:, 2 * HAND + 2], manual[:, 2 * HAND + 8])


def test_takes_differ_but_keep_order_and_targets(clip: FeatureClip, longer: FeatureClip, targets: Targets) -> None:
    source = Source.of(FeatureStore.of([clip, longer], targets), "fusion", targets)
    torch.manual_seed(0)
    taken = [source.take(torch.tensor([0]), Takes()) for _ in range(20)]
    assert len({int(batch.lengths[0]) for batch in taken}) > 2
    for batch in taken:
        assert batch.targets == [[1, 3]] and batch.manual.shape[2] == 2 * HAND + GEOMETRY
        said = [symbol for symbol in batch.frames[0].tolist() if symbol > 0]
        assert said == sorted(said)
        assert torch.isfinite(batch.manual).all() and torch.isfinite(batch.mouth).all()
    assert not torch.equal(taken[0].manual[:, :8], taken[1].manual[:, :8])


def test_batches_keep_the_shares_of_their_groups(clip: FeatureClip, longer: FeatureClip, targets: Targets) -> None:
    source = Source.of(FeatureStore.of([clip] * 6 + [longer] * 3, targets), "fusion", targets)
    stream = feature_sets.batches(source, [(list(range(6)), 0.75), ([6, 7, 8], 0.25)], seed=0, takes=STILL)
    lengths = torch.cat([next(stream).lengths for _ in range(30)])
    assert 0.2 < float((lengths == 40).float().mean()) < 0.3


def test_validation_sees_every_clip_once(clip: FeatureClip, longer: FeatureClip, targets: Targets) -> None:
    source = Source.of(FeatureStore.of([longer, clip, longer], targets), "fusion", targets)
    assert sorted(n for batch in feature_sets.validation(source, 2) for n in batch.lengths.tolist()) == [20, 40, 40]


def test_saved_stores_come_back_and_missing_ones_are_said(clip: FeatureClip, targets: Targets, tmp_path: Path) -> None:
    FeatureStore.of([clip, clip], targets).save(tmp_path / "clips.pt")
    back = FeatureStore.read(tmp_path / "clips.pt")
    assert len(back) == 2 and back.clip(0, targets).symbols == clip.symbols and back.english == ["A.", "A."]
    with pytest.raises(ValueError, match="signbind train features"):
        FeatureStore.read(tmp_path / "none.pt")


def test_features_outlive_a_lexicon_that_grows(clip: FeatureClip, targets: Targets, tmp_path: Path) -> None:
    FeatureStore.of([clip], targets).save(tmp_path / "clips.pt")
    grown = Targets.of(("APPLE", "NAME", "THINK", "WANT"))
    back = FeatureStore.read(tmp_path / "clips.pt", grown)
    assert back.clip(0, grown).symbols == clip.symbols and back.clip(0, grown).tokens == clip.tokens
    assert _whole(back, "fusion", grown).targets == [[2, 5]]
    assert _whole(back, "sign", grown).frames[0, 6].item() == IGNORED
    with pytest.raises(ValueError, match="'NAME'"):
        FeatureStore.read(tmp_path / "clips.pt", Targets.of(("WANT",)))
    with pytest.raises(ValueError, match="same glosses"):
        FeatureStore.joined([back, FeatureStore.of([clip], targets)])
