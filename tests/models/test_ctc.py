"""The beam against brute force, in one go and in pieces; times, posteriors, the stable prefix."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from models.config import BeamConfig
from models.ctc import BeamHypothesis, PrefixBeam, best_path, collapse
from models.letter_model import BEFORE, PLACES

EXACT = BeamConfig(width=10_000, symbols=10_000, floor=0.0)


def drawn(rng: np.random.Generator, steps: int, symbols: int, sharpness: float = 1.5) -> NDArray[np.float64]:
    logits = rng.normal(size=(steps, symbols)) * sharpness
    normalised: NDArray[np.float64] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return normalised


def brute_force(log_probs: NDArray[np.float64]) -> dict[tuple[int, ...], float]:
    """Probability of every reading, by adding up every alignment."""
    steps, symbols = log_probs.shape
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(symbols), repeat=steps):
        chance = math.exp(sum(log_probs[step, symbol] for step, symbol in enumerate(path)))
        reading = tuple(collapse(path))
        totals[reading] = totals.get(reading, 0.0) + chance
    return totals


def searched(log_probs: NDArray[np.float64], config: BeamConfig, cuts: tuple[int, ...] = ()) -> list[BeamHypothesis]:
    beam = PrefixBeam(config)
    for part in np.split(log_probs, cuts):
        beam.advance(part)
    return beam.hypotheses()


@pytest.mark.parametrize("seed", range(6))
def test_equals_brute_force(seed: int) -> None:
    log_probs = drawn(np.random.default_rng(seed), steps=6, symbols=4)
    truth = brute_force(log_probs)
    found = searched(log_probs, EXACT)
    assert {tuple(hypothesis.tokens) for hypothesis in found} == set(truth)
    for hypothesis in found:
        assert math.exp(hypothesis.log_probability) == pytest.approx(truth[tuple(hypothesis.tokens)], rel=1e-9)
        assert hypothesis.posterior == pytest.approx(truth[tuple(hypothesis.tokens)], rel=1e-9)
    first, second = sorted(truth.values(), reverse=True)[:2]
    assert found[0].margin == pytest.approx(first - second)


def test_of_equal_symbols_the_first_is_tried_first() -> None:
    log_probs = np.log(np.array([[0.2, 0.2, 0.2, 0.2, 0.2]]))
    found = searched(log_probs, BeamConfig(width=3, symbols=4, sign_cost=0.0))
    assert [hypothesis.tokens for hypothesis in found] == [[], [1], [2]]
    narrow = searched(np.log(np.array([[0.1, 0.2, 0.3, 0.4]])), BeamConfig(symbols=2))
    assert [hypothesis.tokens for hypothesis in narrow] == [[3], [2], []], "blank is tried though others are likelier"


@pytest.mark.parametrize("seed", range(6))
def test_in_pieces_equals_in_one_go(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_probs = drawn(rng, steps=80, symbols=30, sharpness=3)
    cuts = tuple(sorted(rng.integers(0, 80, size=6)))
    assert searched(log_probs, BeamConfig(), cuts) == searched(log_probs, BeamConfig())


def test_the_default_beam_finds_nearly_the_best_reading() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        log_probs = drawn(rng, steps=7, symbols=4, sharpness=3)
        truth = brute_force(log_probs)
        best = searched(log_probs, BeamConfig())[0]
        assert truth[tuple(best.tokens)] > 0.9 * max(truth.values())


def test_emissions_have_the_best_alignments_times_and_posteriors() -> None:
    likeliest = [0, 3, 3, 0, 3, 0, 0, 1, 2, 2]
    log_probs = np.full((10, 4), math.log(0.02))
    log_probs[np.arange(10), likeliest] = math.log(0.94)
    log_probs[2, [3, 0]] = math.log(0.84), math.log(0.12)
    best = searched(log_probs, BeamConfig())[0]
    assert best.tokens == [3, 3, 1, 2] == best_path(log_probs)
    assert [(emission.start, emission.end) for emission in best.emissions] == [(1, 3), (4, 5), (7, 8), (8, 10)]
    assert best.emissions[0].mean == pytest.approx(0.89)
    assert best.emissions[0].peak == pytest.approx(0.94)
    assert 0 < best.margin < best.posterior <= 1


@pytest.mark.parametrize("seed", range(4))
def test_the_stable_prefix_never_changes(seed: int) -> None:
    log_probs = drawn(np.random.default_rng(seed), steps=150, symbols=20, sharpness=4)
    beam, stable = PrefixBeam(), list[int]()
    for step in range(0, 150, 8):
        beam.advance(log_probs[step : step + 8])
        best = beam.best()
        assert best.tokens[: len(stable)] == stable
        assert best.stable >= len(stable)
        stable = best.tokens[: best.stable]
    assert stable, "nothing ever became stable, so nothing was tested"


def test_copies_go_their_own_ways() -> None:
    rng = np.random.default_rng(3)
    before, one, two = (drawn(rng, steps, 12, 3) for steps in (20, 15, 15))
    beam = PrefixBeam()
    beam.advance(before)
    twin = beam.copy()
    beam.advance(one)
    twin.advance(two)
    assert beam.hypotheses() == searched(np.concatenate((before, one)), BeamConfig())
    assert twin.hypotheses() == searched(np.concatenate((before, two)), BeamConfig())
    assert twin.steps == 35


def wavering(held: float, likeness: float) -> NDArray[np.float64]:
    """A network that takes eight steps of sign 1 for sign 2 for a moment in the middle; sign 3 is a letter's place."""
    rows = np.full((8, 4), 0.02)
    rows[:, 1] = held
    rows[3] = (0.02, 1 - likeness, likeness, 0.02)
    return np.log(rows / rows.sum(1, keepdims=True))


def test_a_moment_of_doubt_is_no_sign() -> None:
    doubt = wavering(0.9, 0.8)
    free, dear = PrefixBeam(BeamConfig(sign_cost=0.0), signs=2), PrefixBeam(BeamConfig(sign_cost=4.0), signs=2)
    free.advance(doubt)
    dear.advance(doubt)
    assert free.best().tokens == [1, 2, 1]
    assert dear.best().tokens == [1]
    letters = PrefixBeam(BeamConfig(sign_cost=4.0), signs=0)
    letters.advance(doubt)
    assert letters.best().tokens == free.best().tokens


@pytest.mark.parametrize("seed", range(3))
def test_a_sign_costs_each_time_it_begins(seed: int) -> None:
    log_probs = drawn(np.random.default_rng(seed), steps=6, symbols=4)
    truth = brute_force(log_probs)
    beam = PrefixBeam(BeamConfig(width=10_000, symbols=10_000, floor=0.0, sign_cost=1.5), signs=2)
    beam.advance(log_probs)
    for hypothesis in beam.hypotheses():
        costs = 1.5 * sum(token <= 2 for token in hypothesis.tokens)
        worth = math.log(truth[tuple(hypothesis.tokens)]) - costs
        assert hypothesis.log_probability == pytest.approx(worth, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_letter_costs_what_words_make_of_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_probs = drawn(rng, steps=6, symbols=4)
    truth = brute_force(log_probs)
    costs = rng.uniform(0.05, 1, size=(PLACES**BEFORE, 2)).astype(np.float32)
    beam = PrefixBeam(BeamConfig(width=10_000, symbols=10_000, floor=0.0, sign_cost=0.5), 1, costs)
    for part in np.split(log_probs, (2, 5)):
        beam.advance(part)
    for hypothesis in beam.hypotheses():
        worth, context = math.log(truth[tuple(hypothesis.tokens)]), 0
        for token in hypothesis.tokens:
            worth += math.log(costs[context, token - 2]) if token > 1 else -0.5
            context = (context * PLACES + token - 1) % PLACES**BEFORE if token > 1 else 0
        assert hypothesis.log_probability == pytest.approx(worth, rel=1e-9)


def test_reset_forgets() -> None:
    beam = PrefixBeam()
    beam.advance(drawn(np.random.default_rng(0), 30, 9, 3))
    beam.reset()
    assert beam.best() == BeamHypothesis((), posterior=1.0, margin=1.0, log_probability=0.0, stable=0)
    assert beam.steps == 0


def test_long_and_unlikely_input_does_not_vanish() -> None:
    log_probs = np.full((2000, 50), -math.log(50))
    log_probs[::2, 0] = -500.0
    best = searched(log_probs, BeamConfig())[0]
    assert math.isfinite(best.log_probability)
    assert best.posterior > 0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected log posteriors \(steps, symbols\)"):
        PrefixBeam().advance(np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        PrefixBeam().advance(np.zeros(4))
