"""People who do not sign: they move, stay within reach, and nothing of what they do counts as signing."""

import numpy as np
import pytest

from models.clock import HEIGHT, WIDTH
from models.synthetic import not_signing
from models.synthetic.corpus import FIRST_HELD_OUT_SEED
from models.synthetic.scenes import SCENES
from models.vocabulary import REST

FRAMES = 200


@pytest.mark.parametrize("kind", sorted(not_signing.KINDS))
def test_the_truth_is_rest_and_every_value_is_a_number(kind: str) -> None:
    clip = not_signing.clip(5, FRAMES, kind)
    assert len(clip.script.motion) == FRAMES
    assert set(clip.script.routes.tolist()) == {REST}
    for name in ("joints", "position", "palm", "pointing", "mouth"):
        assert np.isfinite(getattr(clip.script.motion, name)).all(), name


@pytest.mark.parametrize(("kind", "hands", "lips"), [
    ("sitting", False, False), ("talking", False, True), ("gesturing", True, True), ("touching", True, False),
])  # fmt: skip
def test_each_kind_moves_what_it_says(kind: str, hands: bool, lips: bool) -> None:
    """Over some people: the highest that a hand rises, in shoulder widths, and how much the mouth opens."""
    motions = [not_signing.clip(seed, FRAMES, kind).script.motion for seed in range(6)]
    rises = [float((motion.position[..., 1].max(0) - motion.position[..., 1].min(0)).max()) for motion in motions]
    opens = [float(motion.mouth[:, 0].max()) for motion in motions]
    assert (np.median(rises) > 0.4) == hands
    assert (np.median(opens) > 0.3) == lips


def test_a_seed_is_a_person_and_held_out_people_are_asked_for() -> None:
    one, same, other = (not_signing.clip(seed, 20) for seed in (1, 1, 2))
    assert one.signer.background == same.signer.background != other.signer.background
    assert np.array_equal(one.script.motion.position, same.script.motion.position)
    with pytest.raises(ValueError, match="held-out clips alone"):
        not_signing.clip(FIRST_HELD_OUT_SEED, 20)


@pytest.mark.parametrize("kind", sorted(SCENES))
def test_scenes_are_canvas_frames(kind: str) -> None:
    frames = SCENES[kind](3)
    first, second = next(frames), next(frames)
    assert first.shape == (HEIGHT, WIDTH, 3) and first.dtype == np.uint8
    assert np.array_equal(first, second) == (kind in ("dark", "still"))
