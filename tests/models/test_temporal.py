"""The networks over time, run for some slots: the others stand still, and each slot gets what it gets alone."""

import numpy as np
import pytest
import torch

from models.clock import CHUNK_FRAMES
from models.layout import MANUAL, MOUTH
from models.pipeline import Translator
from models.temporal import Spoken, Temporal

SLOTS, CHUNKS = 3, 12


@pytest.fixture
def temporal() -> Temporal:
    return Translator.random(SLOTS, seed=1).temporal


def features(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(CHUNKS, SLOTS, CHUNK_FRAMES, MANUAL), torch.randn(CHUNKS, SLOTS, CHUNK_FRAMES, MOUTH)


def only(*slots: int) -> np.ndarray:
    return np.isin(np.arange(SLOTS), slots)


def alone(slot: int, manual: torch.Tensor, mouth: torch.Tensor) -> list[Spoken]:
    temporal = Translator.random(SLOTS, seed=1).temporal
    return [temporal.step(m, lips, only(slot)) for m, lips in zip(manual, mouth, strict=True)]


def test_slots_that_come_and_go_get_what_each_gets_alone(temporal: Temporal) -> None:
    manual, mouth = features(0)
    expected = {slot: alone(slot, manual, mouth) for slot in range(SLOTS)}
    done = [0] * SLOTS
    rng = np.random.default_rng(0)
    while min(done) < CHUNKS:
        active = (rng.random(SLOTS) < 0.6) & (np.array(done) < CHUNKS)
        if not active.any():
            continue
        rows = [manual[min(done[slot], CHUNKS - 1), slot] for slot in range(SLOTS)]
        lips = [mouth[min(done[slot], CHUNKS - 1), slot] for slot in range(SLOTS)]
        out = temporal.step(torch.stack(rows), torch.stack(lips), active)
        for slot in np.flatnonzero(active):
            wanted = expected[slot][done[slot]]
            np.testing.assert_allclose(out.log_probs[slot], wanted.log_probs[slot], atol=1e-4)
            np.testing.assert_array_equal(out.routes[slot], wanted.routes[slot])
            done[slot] += 1


def test_a_slot_that_does_not_run_is_zero(temporal: Temporal) -> None:
    manual, mouth = features(1)
    out = temporal.step(manual[0], mouth[0], only(1))
    assert out.log_probs[1].any() and not out.log_probs[[0, 2]].any()
    assert not temporal.route(manual[1], only(2))[:2].any()


def test_reset_forgets_the_masked_slots_alone(temporal: Temporal) -> None:
    manual, mouth = features(2)
    first = temporal.step(manual[0], mouth[0], only(0, 1))
    temporal.reset(only(0))
    again = temporal.step(manual[0], mouth[0], only(0, 1))
    np.testing.assert_allclose(again.log_probs[0], first.log_probs[0], atol=1e-5)
    assert np.abs(again.log_probs[1] - first.log_probs[1]).max() > 1e-4
