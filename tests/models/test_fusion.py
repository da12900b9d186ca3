"""Fusion: untrained it says what the routed expert says; it streams in all three modes; alpha weighs the streams."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import one_hot

from models.config import FUSION_MODES, FusionConfig
from models.fusion import Fusion, FusionInput, FusionOutput
from models.gate import Gate, entropy
from models.vocabulary import FINGERSPELLING, REST, SIGN, joint

GLOSSES = ("BOOK", "WANT", "HOUSE")
CONFIG = FusionConfig(
    dim=32, layers=2, conv_kernel=5, sign_dim=8, fingerspelling_dim=9, lips_dim=7, sign_vocabulary=len(GLOSSES) + 1
)
EVERYONE = torch.ones(2, dtype=torch.bool)


def drawn(batch: int, steps: int, route: int | None = None) -> FusionInput:
    routes = torch.randint(3, (batch, steps)) if route is None else torch.full((batch, steps), route)
    return FusionInput(
        torch.randn(batch, steps, 8),
        torch.randn(batch, steps, 4).log_softmax(dim=-1),
        torch.randn(batch, steps, 9),
        torch.randn(batch, steps, 37).log_softmax(dim=-1),
        torch.randn(batch, steps, 7),
        torch.randn(batch, steps, 40).log_softmax(dim=-1),
        one_hot(routes, 3).float(),
    )


def part(experts: FusionInput, start: int, end: int) -> FusionInput:
    return FusionInput(*(tensor[:, start:end] for tensor in experts))


def trained(mode: str) -> Fusion:
    """As after training: a head and a gate that say something."""
    fusion = Fusion(replace(CONFIG, mode=mode)).eval()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return fusion


@pytest.mark.parametrize("mode", FUSION_MODES)
@torch.no_grad()
def test_chunked_equals_offline(mode: str) -> None:
    fusion, experts = trained(mode), drawn(2, 96)
    state = fusion.new_state(2)
    cuts = [0, 8, 32, 40, 80, 96]
    outputs = [fusion.step(part(experts, *cut), state, EVERYONE) for cut in zip(cuts, cuts[1:], strict=False)]
    for name in FusionOutput._fields:
        together = torch.cat([getattr(output, name) for output in outputs], dim=1)
        torch.testing.assert_close(together, getattr(fusion(experts), name), atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", FUSION_MODES)
@torch.no_grad()
def test_never_sees_the_future_nor_other_rows(mode: str) -> None:
    fusion, experts, other = trained(mode), drawn(2, 40), drawn(2, 40)
    changed = FusionInput(
        *(torch.cat((one[:, :16], two[:, 16:]), dim=1) for one, two in zip(experts, other, strict=True))
    )
    before = fusion(experts).log_probs
    torch.testing.assert_close(before[:, :16], fusion(changed).log_probs[:, :16], atol=1e-5, rtol=0)
    swapped = FusionInput(*(torch.stack((one[0], two[1])) for one, two in zip(experts, other, strict=True)))
    torch.testing.assert_close(before[0], fusion(swapped).log_probs[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", FUSION_MODES)
@torch.no_grad()
def test_reset_and_inactive_slots(mode: str) -> None:
    fusion, experts = trained(mode), drawn(2, 24)
    offline = fusion(experts).log_probs
    state = fusion.new_state(2)
    fusion.step(drawn(2, 48), state, EVERYONE)
    fusion.reset(state, torch.tensor([True, False]))
    first = torch.tensor([True, False])
    torch.testing.assert_close(
        fusion.step(part(experts, 0, 8), state, first).log_probs[0], offline[0, :8], atol=1e-4, rtol=0
    )
    fusion.step(drawn(2, 8), state, torch.tensor([False, True]))
    rest = fusion.step(part(experts, 8, 24), state, first).log_probs[0]
    torch.testing.assert_close(rest, offline[0, 8:], atol=1e-4, rtol=0)


@torch.no_grad()
def test_untrained_it_repeats_the_routed_expert() -> None:
    fusion, vocabulary = Fusion(CONFIG).eval(), joint(GLOSSES)
    assert vocabulary.size == CONFIG.vocabulary
    experts = drawn(2, 16, SIGN)
    said = fusion(experts).log_probs.exp()
    torch.testing.assert_close(said[..., :4], experts.sign_log_probs.exp(), atol=1e-3, rtol=0)
    experts = drawn(2, 16, FINGERSPELLING)
    said = fusion(experts).log_probs.exp()
    letters = [0, *(vocabulary.ids["#" + letter] for letter in "ABC")]
    torch.testing.assert_close(said[..., letters], experts.fs_log_probs[..., :4].exp(), atol=1e-3, rtol=0)
    assert (fusion(drawn(2, 16, REST)).log_probs[..., 0].exp() > 0.999).all()


def test_routes_pass_bounded_gradients_even_where_an_expert_is_sure() -> None:
    fusion, experts = Fusion(CONFIG), drawn(1, 16)
    sure = torch.full_like(experts.sign_log_probs, -80.0)
    sure[..., 0] = 0.0
    routes = experts.routes.clone().requires_grad_()
    output = fusion(experts._replace(sign_log_probs=sure, routes=routes))
    torch.autograd.backward(output.log_probs[..., 1].sum())
    assert routes.grad is not None
    assert 0 < routes.grad.abs().max() < 1e3


def test_the_gate_learns_which_stream_to_trust() -> None:
    gate = Gate(CONFIG.gate)
    manual, lips = torch.randn(64, 8, 32), torch.randn(64, 8, 32)
    confused = torch.rand(64, 8)
    target = (confused < 0.5).float()
    assert torch.allclose(gate(manual, lips, confused, 1 - confused), torch.tensor(1.0).sigmoid())
    optimiser = torch.optim.Adam(gate.parameters(), lr=0.02)
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy(gate(manual, lips, confused, 1 - confused), target)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    alpha = gate(manual, lips, confused, 1 - confused)
    assert alpha[target == 1].mean() > 0.8 > 0.2 > alpha[target == 0].mean()


def test_entropy_is_a_share() -> None:
    assert entropy(torch.zeros(5, 8).log_softmax(dim=-1)).tolist() == pytest.approx([1.0] * 5)
    assert entropy(torch.tensor([30.0, 0.0, 0.0]).log_softmax(dim=-1)) == pytest.approx(0.0, abs=1e-6)


def test_a_sure_expert_with_impossible_symbols_gives_no_nan() -> None:
    experts = drawn(1, 8, SIGN)
    impossible = torch.full_like(experts.sign_log_probs, float("-inf"))
    impossible[..., 2] = 0.0
    assert Fusion(CONFIG).eval()(experts._replace(sign_log_probs=impossible)).log_probs.isfinite().all()
