"""An expert streams as it was trained, standardises its input, and is quick enough for one core."""

import time

import pytest
import torch

from models.config import ExpertConfig
from models.experts import Expert

CONFIG = ExpertConfig(in_features=12, vocabulary=7, dim=32, layers=2, conv_kernel=5)
EVERYONE = torch.ones(2, dtype=torch.bool)


@pytest.fixture
def expert() -> Expert:
    made = Expert(CONFIG).eval()
    made.standardise.fit(torch.randn(500, 12) * 3 + 1)
    return made


@pytest.mark.parametrize("cuts", [[8] * 12, [96], [8, 24, 16, 40, 8]])
@torch.no_grad()
def test_chunked_equals_offline(expert: Expert, cuts: list[int]) -> None:
    features = torch.randn(2, 96, 12)
    state = expert.new_state(2)
    outputs = [expert.step(part, state, EVERYONE) for part in torch.split(features, cuts, dim=1)]
    offline = expert(features)
    for index in range(2):
        together = torch.cat([output[index] for output in outputs], dim=1)
        torch.testing.assert_close(together, offline[index], atol=1e-4, rtol=0)
    torch.testing.assert_close(offline.log_probs.exp().sum(dim=-1), torch.ones(2, 96))


@torch.no_grad()
def test_never_sees_the_future(expert: Expert) -> None:
    features = torch.randn(1, 40, 12)
    changed = features.clone()
    changed[:, 24:] += 5
    torch.testing.assert_close(expert(features).log_probs[:, :24], expert(changed).log_probs[:, :24])


@torch.no_grad()
def test_slots_join_leave_and_wait_on_their_own(expert: Expert) -> None:
    features = torch.randn(2, 40, 12)
    offline = expert(features).log_probs
    state = expert.new_state(2)
    expert.step(torch.randn(2, 32, 12), state, EVERYONE)  # an earlier stream
    expert.reset(state, EVERYONE)
    first = torch.tensor([True, False])
    alone = expert.step(features[:, :16], state, first).log_probs[0]
    torch.testing.assert_close(alone, offline[0, :16], atol=1e-4, rtol=0)
    late = torch.stack((features[0, 16:32], features[1, :16]))
    both = expert.step(late, state, EVERYONE).log_probs
    torch.testing.assert_close(both, torch.stack((offline[0, 16:32], offline[1, :16])), atol=1e-4, rtol=0)
    expert.reset(state, first)
    again = torch.stack((features[0, :8], features[1, 16:24]))
    both = expert.step(again, state, EVERYONE).log_probs
    torch.testing.assert_close(both, torch.stack((offline[0, :8], offline[1, 16:24])), atol=1e-4, rtol=0)


def test_standardise_measures_and_leaves_still_channels_alone(expert: Expert) -> None:
    features = torch.randn(1000, 12) * 5 + 3
    features[:, 4] = 7.0
    expert.standardise.fit(features)
    out = expert.standardise(features)
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(12), atol=1e-4, rtol=0)
    assert not out[:, 4].abs().amax() > 1e-5
    assert abs(float(out[:, 0].std(correction=0)) - 1) < 0.01


def test_gradients_reach_every_parameter() -> None:
    expert = Expert(CONFIG)
    output = expert(torch.randn(2, 24, 12), torch.ones(2, 24, dtype=torch.bool))
    output.log_probs[..., 1].mean().backward()
    assert not [name for name, parameter in expert.named_parameters() if parameter.grad is None]


def test_a_step_is_quick() -> None:
    """2 ms on a free core; here a lenient bound on processor time, for cores shared with other work."""
    expert = Expert(ExpertConfig(in_features=216, vocabulary=200)).eval()
    state, active, chunk = expert.new_state(1), torch.ones(1, dtype=torch.bool), torch.randn(1, 8, 216)
    times_s = []
    for _ in range(20):
        start_s = time.thread_time()
        expert.step(chunk, state, active)
        times_s.append(time.thread_time() - start_s)
    assert min(times_s) < 0.010, times_s
