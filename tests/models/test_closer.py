"""The closer look: where it is taken, what it changes, and that live and whole looks agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models import crops
from models.backends import Backend
from models.checkpoint import load
from models.clock import CHUNK_FRAMES
from models.closer import CLOSER, Closer, CloserConfig, looks, of_one_hand, read_between
from models.features import HandEncoder
from models.layout import GEOMETRY, HAND
from models.lips import MouthEncoder
from models.locate import Locator
from models.sight import Sight
from models.synthetic import corpus
from models.synthetic.renderer import Renderer
from models.training.feature_sets import mirrored
from models.vocabulary import ROUTES

CHECKPOINT = Path("models/checkpoints/compact")


@pytest.fixture(scope="module")
def closer() -> Closer:
    return load(Closer, CHECKPOINT, CLOSER)


def sight(closer: Closer | None) -> Sight:
    parts = load(Locator, CHECKPOINT, "locate"), load(HandEncoder, CHECKPOINT, "hand_encoder")
    return Sight(*parts, load(MouthEncoder, CHECKPOINT, "mouth_encoder"), 1, Backend("torch"), closer=closer)


def test_geometry_is_told_from_the_hands_own_side() -> None:
    torch.manual_seed(0)
    geometry = torch.randn(5, GEOMETRY)
    manual = torch.cat((torch.zeros(5, 2 * HAND), geometry), 1)[None]
    other = mirrored(manual)[0, :, 2 * HAND :]
    left = torch.ones(5, dtype=torch.bool)
    torch.testing.assert_close(of_one_hand(geometry, left), of_one_hand(other, ~left))


def test_hands_that_spell_are_looked_at_again_and_few_others(closer: Closer) -> None:
    clip = corpus.clip(1_000_003, "My name is Bo.", held_out=True)
    renderer = Renderer(clip.signer)
    routes = np.array(clip.script.routes)
    spelling, signing = (np.flatnonzero(routes == ROUTES.index(name)) for name in ("fingerspelling", "sign"))

    def changed(steps: np.ndarray) -> float:
        chunk = [renderer.render(clip.script.motion, int(t)) for t in steps[:CHUNK_FRAMES]]
        plain, close = (sight(one).encode({0: chunk}, np.ones(1, bool)).manual[0] for one in (None, closer))
        assert torch.equal(plain[:, 2 * HAND :], close[:, 2 * HAND :])
        return float((plain != close).any(1).float().mean())

    assert changed(spelling) > 0.8
    assert changed(signing) < 0.5


def test_without_hands_worth_it_nothing_is_looked_at_again(closer: Closer) -> None:
    shut = load(Closer, CHECKPOINT, CLOSER)
    shut.config = replace(closer.config, least=1.1)
    clip = corpus.clip(1_000_003, "My name is Bo.", held_out=True)
    renderer = Renderer(clip.signer)
    chunk = [renderer.render(clip.script.motion, t) for t in range(40, 40 + CHUNK_FRAMES)]
    plain, close = (sight(one).encode({0: chunk}, np.ones(1, bool)).manual for one in (None, shut))
    assert torch.equal(plain, close)


def test_fine_crops_are_the_same_crops_of_either_kind_of_canvas() -> None:
    clip = corpus.clip(3)
    canvas = Renderer(clip.signer).render(clip.script.motion, 20)
    found = crops.Found(np.array([0, 0]), np.array([(0.4, 0.5, 0.2), (0.6, 0.6, 0.3)]), np.array([False, True]))
    fine = crops.cut_finer([canvas], found, 128)
    small, _ = crops.cut([canvas], found, crops.Found(*(part[:0] for part in found)))
    averaged = fine.reshape(2, 64, 2, 64, 2, 3).mean((2, 4))
    assert np.abs(averaged - small).mean() < 4
    assert (
        np.abs(crops.cut_finer([cv2.cvtColor(canvas, cv2.COLOR_RGB2YUV_I420)], found, 128).astype(int) - fine).mean()
        < 4
    )


def test_a_picture_of_another_kind_is_refused(closer: Closer) -> None:
    with pytest.raises(ValueError, match=r"hand crops must be uint8 .* cut them with crops.cut_finer"):
        closer.trunk(torch.zeros(1, 3, 128, 128))


def test_the_smallest_config_makes_a_whole_one() -> None:
    closer = Closer(CloserConfig(side_px=64, picture_px=32, hidden=8, gate=4)).eval()
    look = closer.looking(Backend("torch"))
    seen = torch.from_numpy(look(np.zeros((3, 64, 64, 3), np.uint8)))
    assert closer(seen).shape == (3, HAND)


def test_three_looks_a_chunk_are_taken_and_read_between() -> None:
    steps = np.arange(8)
    taken = looks(np.zeros(8, np.int64), steps)
    assert taken.at.tolist() == [1, 4, 7]
    np.testing.assert_allclose(taken.between, [0, 0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2], rtol=1e-6)
    said = torch.tensor([[0.0], [3.0], [9.0]])
    torch.testing.assert_close(
        read_between(said, taken.between)[:, 0], torch.tensor([0.0, 0, 1, 2, 3, 5, 7, 9]), rtol=1e-5, atol=1e-5
    )


def test_every_unbroken_row_of_a_hand_is_looked_at_once_at_least() -> None:
    chunks = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    steps = np.array([6, 2, 3, 7, 0, 2, 3, 5])  # hands come in no order
    taken = looks(chunks, steps)
    assert sorted((chunks[row], steps[row]) for row in taken.at) == [(0, 0), (0, 3), (0, 7), (1, 3), (2, 5)]
    nearest = taken.at[taken.between.round().astype(int)]
    assert chunks[nearest].tolist() == chunks.tolist()
    assert steps[nearest].tolist() == [7, 3, 3, 7, 0, 3, 3, 5]


def test_a_chunk_is_looked_at_alike_alone_and_with_others() -> None:
    rng = np.random.default_rng(0)
    tracks, steps = np.nonzero(rng.random((6, 8)) < 0.6)
    together = looks(tracks, steps)
    said = torch.from_numpy(rng.normal(size=(len(tracks), 4)).astype(np.float32))
    all_read = read_between(said[together.at], together.between)
    for track in range(6):
        own = np.flatnonzero(tracks == track)
        alone = looks(tracks[own], steps[own])
        torch.testing.assert_close(
            read_between(said[own][alone.at], alone.between), all_read[own], rtol=1e-5, atol=1e-6
        )
