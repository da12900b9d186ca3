"""The encoder: chunk by chunk gives the offline answer, without the future, without other slots."""

import random

import pytest
import torch
from torch import Tensor

from models.config import EncoderConfig
from models.layers.encoder import Encoder
from models.streaming import Window, chunks_of

CONFIG = EncoderConfig(dim=32, layers=2, heads=4, conv_kernel=5, chunk=4, lookback=3)
CHUNK = CONFIG.chunk
EVERYONE = torch.ones(2, dtype=torch.bool)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(CONFIG).eval()


def random_cuts(chunks: int, seed: int) -> list[int]:
    """Sizes of random groups of chunks, in steps."""
    rng, sizes = random.Random(seed), []
    while chunks:
        group = rng.randint(1, min(3, chunks))
        sizes.append(group * CHUNK)
        chunks -= group
    return sizes


def streamed(encoder: Encoder, steps: Tensor, sizes: list[int]) -> Tensor:
    state = encoder.new_state(len(steps))
    everyone = torch.ones(len(steps), dtype=torch.bool)
    return torch.cat([encoder.step(part, state, everyone) for part in torch.split(steps, sizes, dim=1)], dim=1)


@pytest.mark.parametrize("seed", range(5))
@torch.no_grad()
def test_chunked_equals_offline(encoder: Encoder, seed: int) -> None:
    steps = torch.randn(2, 15 * CHUNK, CONFIG.dim)
    torch.testing.assert_close(streamed(encoder, steps, random_cuts(15, seed)), encoder(steps), atol=1e-4, rtol=0)


@torch.no_grad()
def test_an_hour_into_the_stream_positions_are_still_sharp(encoder: Encoder) -> None:
    steps = torch.randn(1, 12 * CHUNK, CONFIG.dim)
    state = encoder.new_state(1)
    state.seen += 4 * 22_500  # a multiple of the ring's three chunks, so that the ring starts at its start
    state.rings.normal_()
    active = torch.ones(1, dtype=torch.bool)
    late = torch.cat([encoder.step(chunk, state, active) for chunk in chunks_of(steps, CHUNK)], dim=1)
    # After layers * (lookback + 1) chunks nothing is left of what was before.
    settled = CONFIG.layers * (CONFIG.lookback + 1) * CHUNK
    torch.testing.assert_close(late[:, settled:], encoder(steps)[:, settled:], atol=1e-4, rtol=0)


@torch.no_grad()
def test_never_sees_beyond_its_chunk(encoder: Encoder) -> None:
    steps = torch.randn(1, 6 * CHUNK, CONFIG.dim)
    changed = steps.clone()
    changed[:, 3 * CHUNK :] = torch.randn_like(changed[:, 3 * CHUNK :])
    before, after = encoder(steps), encoder(changed)
    torch.testing.assert_close(before[:, : 3 * CHUNK], after[:, : 3 * CHUNK], atol=1e-6, rtol=0)
    assert (before[:, 3 * CHUNK :] - after[:, 3 * CHUNK :]).abs().amin(dim=-1).max() > 1e-3


@torch.no_grad()
def test_sees_the_rest_of_its_chunk_and_no_more_than_the_lookback() -> None:
    steps = torch.randn(1, 6 * CHUNK, CONFIG.dim, requires_grad=True)
    one_layer = Encoder(EncoderConfig(dim=32, layers=1, heads=4, conv_kernel=1, chunk=4, lookback=3)).eval()
    with torch.enable_grad():
        torch.autograd.backward(one_layer(steps)[0, 4 * CHUNK].square().sum())
    assert steps.grad is not None
    reached = steps.grad[0].abs().sum(dim=-1) > 0
    assert reached.tolist() == [False] * CHUNK + [True] * 4 * CHUNK + [False] * CHUNK


@torch.no_grad()
def test_rows_do_not_touch_each_other(encoder: Encoder) -> None:
    steps = torch.randn(2, 5 * CHUNK, CONFIG.dim)
    other = torch.stack((steps[0], torch.randn_like(steps[1])))
    sizes = [CHUNK] * 5
    torch.testing.assert_close(streamed(encoder, steps, sizes)[0], streamed(encoder, other, sizes)[0])


@torch.no_grad()
def test_reset_empties_only_masked_slots(encoder: Encoder) -> None:
    state = encoder.new_state(2)
    encoder.step(torch.randn(2, 5 * CHUNK, CONFIG.dim), state, EVERYONE)
    twin = encoder.new_state(2)
    steps = torch.randn(2, CHUNK, CONFIG.dim)
    fresh = encoder.step(steps, twin, EVERYONE)
    kept_seen, kept_ring = int(state.seen[1]), state.rings[1].clone()
    state.reset(torch.tensor([True, False]))
    assert state.seen.tolist() == [0, kept_seen]
    torch.testing.assert_close(state.rings[1], kept_ring)
    assert not state.rings[0].any()
    assert not state.tails[0].any()
    after = encoder.step(steps, state, EVERYONE)
    torch.testing.assert_close(after[0], fresh[0])
    assert not torch.allclose(after[1], fresh[1], atol=1e-3)


@torch.no_grad()
def test_inactive_slots_are_as_if_the_step_had_not_been(encoder: Encoder) -> None:
    steps = torch.randn(2, 9 * CHUNK, CONFIG.dim)
    expected = encoder(steps)
    state = encoder.new_state(2)
    garbage = torch.full((1, CHUNK, CONFIG.dim), 1e3)
    for chunk, truth in zip(chunks_of(steps, CHUNK), torch.split(expected, CHUNK, dim=1), strict=True):
        both = encoder.step(chunk, state, EVERYONE)
        torch.testing.assert_close(both, truth, atol=1e-4, rtol=0)
        encoder.step(torch.cat((torch.randn(1, CHUNK, CONFIG.dim), garbage)), state, torch.tensor([False, False]))


@torch.no_grad()
def test_padding_changes_nothing(encoder: Encoder) -> None:
    steps = torch.randn(2, 19, CONFIG.dim)
    mask = torch.ones(2, 19, dtype=torch.bool)
    mask[1, 13:] = False
    padded = encoder(steps, mask)
    assert padded.isfinite().all()
    torch.testing.assert_close(padded[1, :13], encoder(steps[1:, :13])[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_drawn_window_is_what_the_mask_uses(encoder: Encoder) -> None:
    steps = torch.randn(1, 48, CONFIG.dim)
    windows = [Window.draw(random.Random(seed)) for seed in range(8)]
    assert len(set(windows)) > 4
    assert not torch.allclose(encoder(steps, window=Window(4, 3)), encoder(steps, window=Window(12, 3)), atol=1e-3)


def test_a_cut_chunk_is_refused(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="whole chunks of 4 steps, but got 6"):
        encoder.step(torch.randn(2, 6, CONFIG.dim), encoder.new_state(2), EVERYONE)
