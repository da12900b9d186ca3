"""Scenes in which nobody signs: seen once and kept; frozen pictures are rest; an evaluation counts what was said."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from models.clock import FRAME_RATE_HZ
from models.evaluation import silence
from models.layout import HAND, MANUAL, MOUTH
from models.synthetic.scenes import SCENES
from models.training import feature_sets, silence_stage
from models.training.feature_clips import IGNORED
from models.vocabulary import REST, SIGN

BUNDLED = Path(__file__).parents[3] / "models" / "checkpoints" / "compact"


def test_a_frozen_picture_is_rest() -> None:
    """Half a second after it froze; at once where nothing else was ever shown."""
    torch.manual_seed(0)
    rows, steps = 64, 80
    manual, routes = torch.randn(rows, steps, MANUAL), torch.full((rows, steps), SIGN)
    routes[:, -5:] = IGNORED
    held, truth = silence_stage.frozen(manual, routes, torch.full((rows,), steps), share=1.0)
    assert torch.equal(truth[:, -5:], routes[:, -5:]), "padding is not trained"
    at_once = 0
    for row in range(rows):
        moves = (held[row, 1:, :HAND] != held[row, :-1, :HAND]).any(-1).nonzero()
        frozen_at = int(moves.max()) + 1 if len(moves) else 0
        rest = (truth[row, :-5] == REST).nonzero()
        first_rest = int(rest.min()) if len(rest) else steps - 5
        at_once += first_rest == 0
        due = min(frozen_at + silence_stage.STILL_FROM, steps - 5)
        assert first_rest == due or (frozen_at == 0 and first_rest == 0)
        still = held[row, frozen_at + 1 :, silence_stage.MOVEMENT]
        assert len(still) == 0 or still.abs().max() < 0.05
    assert rows / 4 < at_once < rows / 1.5


def test_without_a_share_nothing_freezes() -> None:
    manual, routes = torch.randn(3, 20, MANUAL), torch.full((3, 20), SIGN)
    held, truth = silence_stage.frozen(manual, routes, torch.full((3,), 20), share=0.0)
    assert torch.equal(held, manual) and torch.equal(truth, routes)


def test_a_scene_is_seen_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(silence_stage, "SCENE_FRAMES", 12)
    eyes = tmp_path / "eyes"  # in the order of `train all` nothing else is there yet
    eyes.mkdir()
    for name in silence_stage.EYES:
        for ending in (".json", ".safetensors"):
            shutil.copy(BUNDLED / f"{name}{ending}", eyes)
    path = silence_stage.drawn(eyes, "talking", 4)
    written = path.stat().st_mtime_ns
    clip = silence_stage.read(silence_stage.drawn(eyes, "talking", 4))
    assert path.stat().st_mtime_ns == written
    assert clip.manual.shape == (16, MANUAL) and clip.mouth.shape == (16, MOUTH)
    assert set(clip.routes.tolist()) == {REST} and clip.tokens == ()
    assert clip.manual[:, 2 * HAND + 21].any(), "the locator sees the face"


def test_hands_that_move_without_signing_are_drawn_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(silence_stage, "SCENE_FRAMES", 8)
    monkeypatch.setattr(silence_stage, "SCENES", {kind: SCENES[kind] for kind in ("dark", "touching")})
    more = silence_stage.MORE["touching"]
    for kind, number in [("dark", 0), *(("touching", number) for number in range(more))]:
        silence_stage.drawn(BUNDLED, kind, number)  # here, where scenes are short; the processes find them
    figures = silence_stage.train(tmp_path, BUNDLED, scenes=1, target=tmp_path / "silent.pt")
    assert figures == {"scenes": 1 + more, "frames": 8 * (1 + more)}


def test_captions_are_counted_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dark room is silent; a signed sentence, put among the scenes, is not."""
    signed = Path(__file__).parents[3] / "app" / "web" / "sample.webm"
    scenes = {"dark": SCENES["dark"], "signed": lambda seed: silence.video(signed)}
    monkeypatch.setattr(silence, "SCENES", scenes)
    figures = silence.evaluate(None, BUNDLED, scenes=1, seconds=6)
    assert figures["dark_captions_per_minute"] == 0
    said = figures["signed_captions_per_minute"]
    assert isinstance(said, float) and said >= 10, "one caption in six seconds at least"
    assert len(list(islice(silence.video(signed), 6 * FRAME_RATE_HZ))) == 6 * FRAME_RATE_HZ
    assert np.isfinite(said)


def test_takes_of_rooms_without_hands_are_numbers() -> None:
    own = torch.ones(4, 30, dtype=torch.bool)
    manual, mouth = feature_sets.varied(
        torch.zeros(4, 30, MANUAL), torch.zeros(4, 30, MOUTH), own, feature_sets.Takes()
    )
    assert torch.isfinite(manual).all() and torch.isfinite(mouth).all()
