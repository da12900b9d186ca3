"""The router: streaming, hysteresis, Gumbel samples."""

import torch

from models.config import RouterConfig
from models.routing import Router
from models.vocabulary import FINGERSPELLING, REST, SIGN

CONFIG = RouterConfig(in_features=10, dim=32, heads=4, conv_kernel=5)
EVERYONE = torch.ones(2, dtype=torch.bool)


def logits_of(*probabilities: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor(probabilities).log()[None]


@torch.no_grad()
def test_chunked_equals_offline_routes_included() -> None:
    router = Router(CONFIG).eval()
    router.head.weight.mul_(10)
    features = torch.randn(2, 80, 10)
    logits = router(features)
    state = router.new_state(2)
    outputs = [router.step(part, state, EVERYONE) for part in torch.split(features, [8, 32, 16, 24], dim=1)]
    torch.testing.assert_close(torch.cat([output.logits for output in outputs], dim=1), logits, atol=1e-4, rtol=0)
    routes = torch.cat([output.routes for output in outputs], dim=1)
    torch.testing.assert_close(routes, router.route(logits))
    assert set(routes.argmax(dim=-1).flatten().tolist()) == {SIGN, FINGERSPELLING, REST}


@torch.no_grad()
def test_never_sees_the_future() -> None:
    router = Router(CONFIG).eval()
    features = torch.randn(1, 32, 10)
    changed = features.clone()
    changed[:, 16:] += 3
    torch.testing.assert_close(router(features)[:, :16], router(changed)[:, :16])


@torch.no_grad()
def test_reset_and_inactive_slots() -> None:
    router = Router(CONFIG).eval()
    state = router.new_state(2)
    router.step(torch.randn(2, 48, 10), state, EVERYONE)
    state.from_rest.fill_((SIGN - REST) % 3)
    seen = state.encoder.seen.clone()
    router.step(torch.randn(2, 8, 10), state, torch.zeros(2, dtype=torch.bool))
    assert state.encoder.seen.equal(seen)
    assert state.from_rest.tolist() == [1, 1]
    router.reset(state, torch.tensor([False, True]))
    assert state.from_rest.tolist() == [1, 0]
    features = torch.randn(2, 8, 10)
    fresh = router.step(features, router.new_state(2), EVERYONE)
    after = router.step(features, state, EVERYONE)
    torch.testing.assert_close(after.logits[1], fresh.logits[1])
    torch.testing.assert_close(after.routes[1], fresh.routes[1])


def test_a_route_holds_until_another_clearly_leads() -> None:
    router = Router(CONFIG)
    logits = logits_of((0.4, 0.1, 0.5), (0.5, 0.1, 0.4), (0.65, 0.1, 0.25), (0.4, 0.5, 0.1), (0.1, 0.8, 0.1))
    routes = router.route(logits).argmax(dim=-1)[0]
    assert routes.tolist() == [REST, REST, SIGN, SIGN, FINGERSPELLING]


def test_training_draws_hard_routes_with_soft_gradients() -> None:
    router = Router(CONFIG)
    logits = torch.zeros(4, 50, 3, requires_grad=True)
    routes = router.route(logits, tau=0.7, training=True)
    assert ((routes - routes.round()).abs() < 1e-6).all()
    torch.testing.assert_close(routes.sum(dim=-1), torch.ones(4, 50))
    assert not routes.equal(router.route(logits, tau=0.7, training=True))
    torch.autograd.backward(routes[..., SIGN].sum())
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
