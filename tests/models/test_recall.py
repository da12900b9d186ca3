"""A stream recalled in another translator goes on as if nothing had happened, to the last bit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.clock import CHUNK_FRAMES, HEIGHT, WIDTH
from models.hypothesis import Recall, StreamOptions, Update
from models.layout import NUMBERS, STEP
from models.pipeline import Translator
from models.recall import Numbers
from models.sight import Seen

SLOTS = 3
OPTIONS = StreamOptions(endpoint_ms=200, max_segment_ms=2_000)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def translator() -> Translator:
    """Random weights whose router rests on some chunks and signs on others."""
    made = Translator.random(SLOTS, seed=0)
    head = made.temporal._route.__wrapped__.router.head  # type: ignore[attr-defined]
    with torch.no_grad():
        head.weight.mul_(8.0)
        head.bias.copy_(torch.tensor([0.0, 0.0, 0.4]))
    return made


def frames(seed: int, chunks: int) -> NDArray[np.uint8]:
    """Blocks of noise that change their character from time to time: (chunks, CHUNK_FRAMES, HEIGHT, WIDTH, 3)."""
    rng = np.random.default_rng(seed)
    pictures = []
    for index in range(chunks):
        strength = 20 + 200 * ((index // 4) % 2)
        small = rng.integers(0, strength, (CHUNK_FRAMES, HEIGHT // 40, WIDTH // 40, 3), np.uint8)
        pictures.append(small.repeat(40, axis=1).repeat(40, axis=2))
    return np.stack(pictures)


@dataclass
class Stream:
    """One stream in its slot, with what would be in shared memory."""

    slot: int
    video: NDArray[np.uint8]
    features: list[NDArray[np.float32]] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)

    def kept(self, numbers: NDArray[np.float64]) -> Recall:
        features = np.stack(self.features) if self.features else np.zeros((0, CHUNK_FRAMES, STEP), np.float32)
        return Recall(self.slot, OPTIONS, numbers, features)


def look(made: Translator, streams: list[Stream], at: int) -> Seen:
    return made.see({stream.slot: stream.video[at] for stream in streams}, active(streams))


def active(streams: list[Stream]) -> NDArray[np.bool_]:
    return np.isin(np.arange(SLOTS), [stream.slot for stream in streams])


def go_on(made: Translator, streams: list[Stream], seen: Seen) -> None:
    updates = made.advance(seen, active(streams))
    features = made.last_features()
    for stream in streams:
        stream.updates += updates[stream.slot]
        stream.features.append(features[stream.slot].copy())


def run(streams: list[Stream], chunks: int, dies_at: tuple[int, ...] = (), finalize_at: int = -1) -> Translator:
    made = translator()
    for stream in streams:
        made.open(stream.slot, OPTIONS)
    for at in range(chunks):
        go_on(made, streams, look(made, streams, at))
        if at == finalize_at:
            for stream in streams:
                stream.updates += made.finalize(stream.slot)
        if at in dies_at:
            kept = [stream.kept(made.numbers(stream.slot)) for stream in streams]
            made = translator()
            made.recall(kept)
    return made


def test_what_was_seen_apart_goes_on_together() -> None:
    streams = [Stream(slot, frames(seed, 12)) for slot, seed in ((0, 1), (2, 2))]
    apart = [Stream(stream.slot, stream.video) for stream in streams]
    once, twice = run(streams, 0), run(apart, 0)
    for at in range(12):
        go_on(once, streams, look(once, streams, at))
        parts = [(look(twice, [stream], at), [stream.slot]) for stream in apart]
        go_on(twice, apart, twice.together(parts))
    for one, other in zip(streams, apart, strict=True):
        assert {update.kind for update in one.updates} >= {"started", "hypothesis"}
        assert [update.kind for update in one.updates] == [update.kind for update in other.updates]
        assert np.allclose(np.stack(one.features), np.stack(other.features), atol=1e-5)
        assert np.allclose(once.numbers(one.slot), twice.numbers(one.slot), atol=1e-5)


def test_a_pre_roll_taken_ahead_is_the_one_taken_late() -> None:
    """Beside a stream that signs, the networks have a resting stream's chunk as a segment's first; alone they do not."""
    alone, beside = Stream(0, frames(1, 16)), Stream(0, frames(1, 16))
    other = Stream(2, np.roll(frames(2, 16), 2, axis=0))
    run([alone], 16)
    made, ahead = run([beside, other], 0), 0
    for at in range(16):
        was_ahead = made._slot(0).ahead is not None
        go_on(made, [beside, other], look(made, [beside, other], at))
        ahead += was_ahead and made._slot(0).segmenter.running
    assert ahead, "no segment began with what was taken ahead"
    assert len(alone.updates) == len(beside.updates)
    for one, both in zip(alone.updates, beside.updates, strict=True):
        assert (one.kind, one.segment_id, one.at_ms) == (both.kind, both.segment_id, both.at_ms)
        if one.hypothesis is not None and both.hypothesis is not None:
            assert [token.text for token in one.hypothesis.tokens] == [token.text for token in both.hypothesis.tokens]
            assert one.hypothesis.alpha_mean == pytest.approx(both.hypothesis.alpha_mean, abs=1e-5)
            assert one.hypothesis.posterior == pytest.approx(both.hypothesis.posterior, abs=1e-4)


@pytest.mark.parametrize("dies_at", [(0, 5, 9, 10), (3, 12), tuple(range(16))])
def test_a_recalled_stream_tells_the_same(dies_at: tuple[int, ...]) -> None:
    chunks = 16
    videos = [frames(seed, chunks) for seed in (1, 2)]
    calm = [Stream(slot, video) for slot, video in zip((0, 2), videos, strict=True)]
    troubled = [Stream(slot, video) for slot, video in zip((0, 2), videos, strict=True)]
    run(calm, chunks, finalize_at=9)
    run(troubled, chunks, dies_at, finalize_at=9)
    assert {update.kind for stream in calm for update in stream.updates} == {"started", "hypothesis", "ended"}
    assert min(sum(update.kind == "started" for update in stream.updates) for stream in calm) >= 2
    for one, other in zip(calm, troubled, strict=True):
        assert one.updates == other.updates
        assert all(np.array_equal(a, b) for a, b in zip(one.features, other.features, strict=True))


def run_looking_ahead(streams: list[Stream], chunks: int, dies_at: tuple[int, ...]) -> None:
    """As the engine does: one thread looks at the next chunk while the networks over time have this one."""
    made = translator()
    for stream in streams:
        made.open(stream.slot, OPTIONS)
    with ThreadPoolExecutor(1) as eyes:
        seen = look(made, streams, 0)
        for at in range(chunks):
            looking = eyes.submit(look, made, streams, min(at + 1, chunks - 1))
            go_on(made, streams, seen)
            seen = looking.result()
            if at in dies_at:  # what was looked at ahead is lost with the process
                kept = [stream.kept(made.numbers(stream.slot)) for stream in streams]
                made = translator()
                made.recall(kept)
                seen = look(made, streams, min(at + 1, chunks - 1))


def test_looking_ahead_changes_nothing() -> None:
    chunks = 14
    videos = [frames(seed, chunks) for seed in (4, 5)]
    calm = [Stream(slot, video) for slot, video in zip((0, 2), videos, strict=True)]
    ahead = [Stream(slot, video) for slot, video in zip((0, 2), videos, strict=True)]
    run(calm, chunks)
    run_looking_ahead(ahead, chunks, dies_at=(4, 9))
    for one, other in zip(calm, ahead, strict=True):
        assert one.updates == other.updates
        assert all(np.array_equal(a, b) for a, b in zip(one.features, other.features, strict=True))


def test_only_what_the_networks_remember_is_needed() -> None:
    """Older features may be overwritten: with and without them the stream goes on alike."""
    stream = Stream(1, frames(3, 20))
    made = run([stream], 17)
    numbers = made.numbers(1)
    needed = max(1, Numbers.of(numbers, OPTIONS).chunks)
    assert needed < 17
    told = []
    for kept in (stream.features[-needed:], stream.features):
        again = translator()
        again.recall([Recall(1, OPTIONS, numbers, np.stack(kept))])
        rest = Stream(1, stream.video)
        for at in range(17, 20):
            go_on(again, [rest], look(again, [rest], at))
        told.append(rest.updates)
    assert told[0] == told[1]


def test_numbers_are_exact() -> None:
    made = run([Stream(0, frames(4, 6))], 6)
    numbers = made.numbers(0)
    assert numbers.shape == (NUMBERS,)
    assert np.array_equal(Numbers.of(numbers, OPTIONS).flat(), numbers)
    made.close(0)
    made.open(0, OPTIONS)
    fresh = Numbers.of(made.numbers(0), OPTIONS)
    assert not fresh.places.any() and fresh.chunks == 0
