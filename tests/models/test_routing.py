"""The router: streaming, hysteresis, Gumbel samples."""

import torch

from models.clock import CHUNK_FRAMES
from models.config import RouterConfig
from models.routing import Router, RouterOutput, from_rest, holding
from models.vocabulary import FINGERSPELLING, REST, SIGN

CONFIG = RouterConfig(in_features=10, dim=32, heads=4, conv_kernel=5)


def logits_of(*probabilities: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor(probabilities).log()[None]


def live(router: Router, features: torch.Tensor) -> RouterOutput:
    """(slots, steps, channels) a chunk at a time, as the networks over time go."""
    state, counted, outputs = router.encoder.new_state(len(features)), torch.zeros(len(features), dtype=torch.int64), []
    for chunk in torch.split(features, CHUNK_FRAMES, dim=1):
        sight, kept = router.encoder.sight(state.seen, chunk), state.kept(slice(None))
        out, fresh = router.advance(chunk, holding(counted), sight, kept)
        state.write(fresh, torch.ones(len(features), dtype=torch.bool))
        counted = from_rest(out.routes)
        outputs.append(out)
    return RouterOutput(*(torch.cat(parts, dim=1) for parts in zip(*outputs, strict=True)))


@torch.no_grad()
def test_chunked_equals_offline_routes_included() -> None:
    router = Router(CONFIG).eval()
    router.head.weight.mul_(10)
    features = torch.randn(2, 80, 10)
    logits, said = router(features), live(router, features)
    torch.testing.assert_close(said.logits, logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(said.routes, router.route(logits))
    assert set(said.routes.argmax(dim=-1).flatten().tolist()) == {SIGN, FINGERSPELLING, REST}


@torch.no_grad()
def test_never_sees_the_future() -> None:
    router = Router(CONFIG).eval()
    features = torch.randn(1, 32, 10)
    changed = features.clone()
    changed[:, 16:] += 3
    torch.testing.assert_close(router(features)[:, :16], router(changed)[:, :16])


@torch.no_grad()
def test_rows_do_not_touch_each_other() -> None:
    router = Router(CONFIG).eval()
    features = torch.randn(2, 32, 10)
    torch.testing.assert_close(live(router, features).logits[1:], live(router, features[1:]).logits)


def test_what_holds_is_counted_from_rest() -> None:
    routes = torch.nn.functional.one_hot(torch.tensor([[SIGN, REST], [REST, FINGERSPELLING], [SIGN, SIGN]]), 3)
    assert holding(from_rest(routes)).tolist() == [REST, FINGERSPELLING, SIGN]
    assert holding(torch.zeros(2, dtype=torch.int64)).tolist() == [REST, REST]


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
