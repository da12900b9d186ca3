"""The recipe of the experts: what each learns from, and that it says what is missing."""

from pathlib import Path

import numpy as np
import pytest

from models.checkpoint import load
from models.experts import Expert
from models.layout import MANUAL, MOUTH
from models.training import experts_stage
from models.training.feature_clips import FeatureClip, FeatureStore, Targets
from models.vocabulary import REST, SIGN

TARGETS = Targets.of(("NAME", "WANT"))


def clips(count: int, gloss: str, seed: int) -> FeatureStore:
    """Of 24 steps each, with a pattern of their gloss in the middle; scenes in which nobody signs where it is empty."""
    rng, made = np.random.default_rng(seed), list[FeatureClip]()
    for _ in range(count):
        manual = rng.normal(0, 0.3, (24, MANUAL)).astype(np.float32)
        manual[8:16, : MANUAL // 2] += {"NAME": 2, "WANT": -2, "": 0}[gloss]
        symbols = ("",) * 8 + (gloss,) * 8 + ("",) * 8
        routes = np.array([REST] * 8 + [SIGN if gloss else REST] * 8 + [REST] * 8, np.int8)
        tokens = (gloss,) if gloss else ()
        made.append(FeatureClip(manual, np.zeros((24, MOUTH), np.float32), routes, symbols, tokens, ()))
    return FeatureStore.of(made, TARGETS)


def test_the_sign_expert_learns_from_people_who_do_not_sign_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glosses.txt").write_text("NAME\nWANT\n")
    for name, seed in (("synthetic", 0), ("held_out", 1)):
        signed = FeatureStore.joined([clips(6, "NAME", seed), clips(6, "WANT", seed + 10)])
        signed.save(tmp_path / f"{name}.pt")
    with pytest.raises(ValueError, match=r"silent.pt.*run `signbind train silence`"):
        experts_stage.train(tmp_path, tmp_path, minutes=0.05, features=tmp_path)
    clips(4, "", 3).save(tmp_path / "silent.pt")
    figures = experts_stage.train(tmp_path, tmp_path, minutes=0.05, features=tmp_path)
    assert set(figures) == {"sign_error"}
    expert = load(Expert, tmp_path, "sign")
    assert expert.config.vocabulary == 3
    assert all(bool(weights.isfinite().all()) for weights in expert.parameters()), (
        "a target without signs spoils nothing"
    )
