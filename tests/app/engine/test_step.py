"""A worker's ticks: what is looked at in one is gone on with in the next, and nothing of a closed stream is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from multiprocessing.connection import wait
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.engine.messages import Chunk, Closed, CloseStream, Finalize, Finalized, FromWorker, Open, Stepped
from app.engine.step import EngineStep, Frames
from app.frames import FrameRing
from models.canvas import I420_ROWS
from models.clock import CHUNK_FRAMES, WIDTH
from models.hypothesis import StreamOptions, Update
from models.pipeline import Translator
from models.sight import Seen

CHUNKS = 3


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.random(slots=2, seed=0)


@pytest.fixture
def rings() -> Iterator[list[FrameRing]]:
    """Moving noise in both slots' rings."""
    made = [FrameRing.create(CHUNKS * CHUNK_FRAMES) for _ in range(2)]
    rng = np.random.default_rng(0)
    for ring in made:
        for position in range(ring.capacity):
            noise = rng.integers(0, 255, (I420_ROWS // 40, WIDTH // 40), np.uint8)
            ring.put(position, lambda canvas, noise=noise: canvas.__setitem__(..., noise.repeat(40, 0).repeat(40, 1)))
    yield made
    for ring in made:
        ring.close()


def opened(stream: int, slot: int) -> Open:
    return Open(stream, slot, StreamOptions(), refine_deadline_s=0.0, draft_interval_s=0.0)


def chunk(stream: int, slot: int, number: int) -> Chunk:
    return Chunk(stream, slot, tuple(range(number * CHUNK_FRAMES, (number + 1) * CHUNK_FRAMES)))


def run(engine: EngineStep) -> None:
    """As the worker does, until everything is answered."""
    while engine.has_work or engine.eyes.slots:
        if not engine.has_work:
            assert wait([engine.eyes.fileno()], timeout=30), "an eye looks for ever"
        engine.tick()


def test_chunks_are_answered_in_order_and_finished_after_the_last(
    translator: Translator, rings: list[FrameRing]
) -> None:
    sent: list[FromWorker] = []
    engine = EngineStep(translator, rings, sent.append, lambda _: None)
    engine.receive(opened(1, 0))
    for number in range(CHUNKS):
        engine.receive(chunk(1, 0, number))
    engine.receive(Finalize(1, 0))
    run(engine)
    assert [type(message) for message in sent] == [Stepped, Stepped, Stepped, Finalized]
    assert [message.positions[0] for message in sent[:CHUNKS]] == [0, 8, 16]  # type: ignore[union-attr]
    engine.receive(CloseStream(1, 0))
    assert isinstance(sent[-1], Closed)
    engine.eyes.close()


def test_what_was_looked_at_of_a_closed_stream_is_not_the_next_streams(
    translator: Translator, rings: list[FrameRing]
) -> None:
    sent: list[FromWorker] = []
    engine = EngineStep(translator, rings, sent.append, lambda _: None)
    engine.receive(opened(1, 0))
    engine.receive(opened(2, 1))
    engine.receive(chunk(1, 0, 0))
    engine.receive(chunk(2, 1, 0))
    assert not engine.has_time(), "chunks wait for an eye"
    engine.tick()
    assert sent == [] and engine.eyes.slots == {0, 1}
    assert engine.has_time()
    engine.receive(CloseStream(1, 0))
    engine.receive(opened(3, 0))
    engine.receive(chunk(3, 0, 1))
    run(engine)
    steps = [(message.stream, message.positions[0]) for message in sent if isinstance(message, Stepped)]
    assert steps == [(2, 0), (3, 8)]
    assert translator.numbers(0)[0] == CHUNK_FRAMES, "the new stream is one chunk old"
    for stream, slot in ((2, 1), (3, 0)):
        engine.receive(CloseStream(stream, slot))
    engine.eyes.close()


class TwoEyes:
    """A translator that looks at a slot for as long as it is told to, and notes what goes on together."""

    slots, lanes = 2, 2

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}
        self.ends = [threading.Semaphore(0) for _ in range(self.slots)]
        self.advanced: list[list[list[int]]] = []

    def open(self, slot: int, options: StreamOptions | None = None) -> None: ...

    def see(self, frames: Frames, active: NDArray[np.bool_], small: Frames | None = None) -> None:
        for slot in frames:
            assert self.ends[slot].acquire(timeout=30)

    def together(self, parts: list[tuple[Any, list[int]]]) -> Seen:
        self.advanced.append([slots for _, slots in parts])
        nothing, nobody = torch.zeros(self.slots, CHUNK_FRAMES, 1), np.zeros((self.slots, CHUNK_FRAMES), bool)
        return Seen(nothing, nothing, nobody, nobody, nobody[:, 0], {}, 0.0)

    def advance(self, seen: Any, active: NDArray[np.bool_]) -> list[list[Update]]:
        return [[] for _ in range(self.slots)]

    def last_features(self) -> NDArray[np.float32]:
        return np.zeros((self.slots, CHUNK_FRAMES, 1), np.float32)


@pytest.fixture
def two_eyes(rings: list[FrameRing]) -> Iterator[tuple[EngineStep, TwoEyes]]:
    translator = TwoEyes()
    engine = EngineStep(translator, rings, lambda _: None, lambda _: None)  # type: ignore[arg-type]
    for slot in range(2):
        engine.receive(opened(slot, slot))
    yield engine, translator
    for end in translator.ends:
        end.release(10)
    engine.eyes.close()


def give(engine: EngineStep, *slots: int) -> None:
    for slot in slots:
        engine.receive(chunk(slot, slot, 0))


def end_look(engine: EngineStep, translator: TwoEyes, slot: int) -> None:
    """Lets an eye end its look at the slot, and collects what it saw as the worker does."""
    translator.ends[slot].release()
    assert wait([engine.eyes.fileno()], timeout=30), "an eye looks for ever"
    engine.tick()


def test_streams_that_are_behind_go_on_together(two_eyes: tuple[EngineStep, TwoEyes]) -> None:
    engine, translator = two_eyes
    give(engine, 0, 1, 0, 1)
    engine.tick()
    end_look(engine, translator, 0)
    assert translator.advanced == [] and not engine.has_work, "the other eye's slot is worth waiting for"
    end_look(engine, translator, 1)
    assert translator.advanced == [[[0], [1]]]


def test_a_stream_that_is_not_behind_goes_on_at_once(two_eyes: tuple[EngineStep, TwoEyes]) -> None:
    engine, translator = two_eyes
    give(engine, 0, 1, 1)
    engine.tick()
    end_look(engine, translator, 0)
    assert translator.advanced == [[[0]]], "its caption would be late for nothing"


def test_nothing_waits_while_an_eye_is_idle(two_eyes: tuple[EngineStep, TwoEyes]) -> None:
    engine, translator = two_eyes
    give(engine, 0, 0)
    engine.tick()
    end_look(engine, translator, 0)
    assert translator.advanced == [[[0]]]


def test_what_is_to_be_finalized_does_not_wait(two_eyes: tuple[EngineStep, TwoEyes]) -> None:
    engine, translator = two_eyes
    give(engine, 0, 1, 1)
    engine.receive(Finalize(0, 0))
    engine.tick()
    end_look(engine, translator, 0)
    assert translator.advanced == [[[0]]]
