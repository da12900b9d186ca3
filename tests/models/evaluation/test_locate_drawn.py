"""The hands of drawn signers, by group."""

from pathlib import Path

import numpy as np

from models.checkpoint import load
from models.evaluation.locate_drawn import FRAMES, SKINS, draw, evaluate_drawn, groups_of
from models.locate import Locator


def test_groups_are_of_the_drawn_signers() -> None:
    drawn = draw(6)
    assert len(drawn.frames) == len(drawn.boxes) == len(drawn.signers) == 6 * FRAMES
    groups = groups_of(drawn.signers)
    assert (sum(groups[name].astype(int) for name in SKINS) == 1).all()
    assert (groups["close"] != groups["not close"]).all()
    brightness = [np.mean([drawn.signers[at].skin.mean() for at in np.flatnonzero(groups[name])]) for name in SKINS]
    assert brightness == sorted(brightness)


def test_most_hands_are_found_by_the_bundled_locator() -> None:
    found = evaluate_drawn(load(Locator, Path("models/checkpoints/compact"), "locate"), 6)
    assert found["hands_found, all"] > 0.75
    assert {f"hands_found, {name}" for name in ("all", *SKINS)} <= set(found)
