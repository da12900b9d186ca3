"""The whole translator on random weights: every frame once, streams apart, replay gives the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models import decoded, slots
from models.clock import CHUNK_FRAMES, HEIGHT, WIDTH
from models.config import BeamConfig
from models.ctc import PrefixBeam
from models.hypothesis import StreamOptions, Update
from models.pipeline import Translator
from models.reading import read, read_many
from models.vocabulary import Vocabulary

Frames = NDArray[np.uint8]


def video(seed: int, chunks: int) -> Frames:
    """Coarse moving noise: (chunks * 8, 480, 640, 3)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (chunks * CHUNK_FRAMES, 12, 16, 3)).astype(np.uint8)
    return small.repeat(HEIGHT // 12, axis=1).repeat(WIDTH // 16, axis=2)


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.random(slots=2, seed=0)


def run(translator: Translator, slot: int, frames: Frames, beside: Frames | None = None) -> list[Update]:
    """All updates of one stream, another stream beside it if given."""
    translator.open(slot)
    if beside is not None:
        translator.open(1 - slot)
    updates: list[Update] = []
    for at in range(0, len(frames), CHUNK_FRAMES):
        batch = np.zeros((2, CHUNK_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
        batch[slot] = frames[at : at + CHUNK_FRAMES]
        active = np.zeros(2, bool)
        active[slot] = True
        if beside is not None:
            batch[1 - slot], active[1 - slot] = beside[at : at + CHUNK_FRAMES], True
        updates += translator.step(batch, active)[slot]
    updates += translator.finalize(slot)
    translator.close(slot)
    if beside is not None:
        translator.close(1 - slot)
    return updates


def test_a_stream_is_segmented_and_every_segment_ends_once(translator: Translator) -> None:
    updates = run(translator, 0, video(1, 6))
    kinds = [update.kind for update in updates]
    assert kinds[0] == "started"
    assert kinds.count("started") == kinds.count("ended") >= 1
    assert all(update.hypothesis is not None for update in updates if update.kind != "started")
    times = [update.at_ms for update in updates if update.kind == "hypothesis"]
    assert times == sorted(times)


def test_names_that_are_told_later_count_from_the_next_segment_on(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def search(joint: Vocabulary, config: BeamConfig, expected: tuple[str, ...]) -> PrefixBeam:
        asked.append(expected)
        return decoded.search(joint, config, expected)

    monkeypatch.setattr(slots, "search", search)
    frames, active = video(1, 6).reshape(6, CHUNK_FRAMES, HEIGHT, WIDTH, 3), np.array([True, False])
    translator.open(0, StreamOptions(vocabulary=("Maria",)))
    for chunk in frames[:3]:
        translator.step(np.stack([chunk, chunk]), active)
    translator.expect(0, ("Dufresne",))
    assert set(asked) == {("Maria",)}
    translator.finalize(0)
    asked.clear()
    for chunk in frames[3:]:
        translator.step(np.stack([chunk, chunk]), active)
    translator.finalize(0)
    translator.close(0)
    assert set(asked) == {("Dufresne",)}


def test_replay_gives_the_same(translator: Translator) -> None:
    frames = video(2, 5)
    first, again = run(translator, 0, frames), run(translator, 0, frames)
    assert [(u.kind, u.at_ms) for u in first] == [(u.kind, u.at_ms) for u in again]
    assert first[-1].hypothesis is not None
    assert first[-1].hypothesis.tokens == again[-1].hypothesis.tokens  # type: ignore[union-attr]


def test_rows_do_not_touch(translator: Translator) -> None:
    frames = video(3, 5)
    alone, beside = run(translator, 0, frames), run(translator, 1, frames, beside=video(4, 5))
    assert [(u.kind, u.at_ms) for u in alone] == [(u.kind, u.at_ms) for u in beside]
    for one, other in zip(alone, beside, strict=True):
        if one.hypothesis is None or other.hypothesis is None:
            assert one.hypothesis is other.hypothesis
            continue
        assert [t.text for t in one.hypothesis.tokens] == [t.text for t in other.hypothesis.tokens]
        assert one.hypothesis.alpha_mean == pytest.approx(other.hypothesis.alpha_mean, abs=1e-4)


def test_every_frame_is_encoded_once(translator: Translator) -> None:
    before = translator.sight.frames_encoded
    run(translator, 0, video(5, 7))
    assert translator.sight.frames_encoded - before == 7 * CHUNK_FRAMES


def test_the_longest_segment_is_cut(translator: Translator) -> None:
    reading = read(translator, video(6, 8), StreamOptions(max_segment_ms=1000))
    assert len(reading.segments) >= 2
    ends = [(segment.start_ms, segment.end_ms) for segment in reading.segments]
    assert all(end <= start for (_, end), (start, _) in zip(ends, ends[1:], strict=False))


def test_clips_read_together_are_read_as_alone(translator: Translator) -> None:
    clips = [video(7, 3), video(8, 4)[:-3], video(9, 2)]
    together = read_many(translator, list(clips))
    alone = [read(translator, clip) for clip in clips]
    for one, other, clip in zip(together, alone, clips, strict=True):
        assert one.frames == other.frames == len(clip)
        assert one.routes == other.routes
        assert [t.text for s in one.segments for t in s.tokens] == [t.text for s in other.segments for t in s.tokens]


def test_drafts_are_readable(translator: Translator) -> None:
    segments = read(translator, video(10, 4)).segments
    caption = translator.draft(segments[0])
    assert len(caption.words) == len(segments[0].tokens)
    assert 0 <= caption.confidence <= 1


def test_a_frozen_picture_ends_the_segment_and_begins_none(translator: Translator) -> None:
    moving = video(8, 4)
    frozen = np.repeat(moving[-1:], 6 * CHUNK_FRAMES, axis=0)
    kinds = [update.kind for update in run(translator, 0, np.concatenate((moving, frozen)))]
    assert kinds.count("started") == kinds.count("ended") == 1
    assert kinds.count("hypothesis") < 9, "it ended some chunks before the stream, whose end would have ended it too"
    assert run(translator, 0, frozen) == []
