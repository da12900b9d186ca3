"""Where segments begin and end, by counting steps."""

import pytest

from models.hypothesis import StreamOptions
from models.segments import Segmenter
from models.vocabulary import FINGERSPELLING, REST, SIGN

RESTING, SIGNING = [REST] * 8, [SIGN] * 8


def test_rest_begins_nothing() -> None:
    segmenter = Segmenter(StreamOptions())
    assert not segmenter.begins(RESTING)
    assert not segmenter.begins([SIGN, SIGN, *[REST] * 6]), "two steps are a twitch"
    assert segmenter.now == 16


def test_onset_reaches_back_one_chunk() -> None:
    segmenter = Segmenter(StreamOptions())
    segmenter.begins(RESTING)
    assert segmenter.begins(SIGNING)
    assert segmenter.start == 0 and segmenter.has_pre_roll
    segmenter.advance(SIGNING)
    assert segmenter.now == 16 and segmenter.last_signing == 16


def test_first_chunk_has_no_pre_roll() -> None:
    segmenter = Segmenter(StreamOptions())
    assert segmenter.begins(SIGNING)
    assert not segmenter.has_pre_roll


def test_rest_ends_a_segment_at_its_last_sign() -> None:
    segmenter = Segmenter(StreamOptions(endpoint_ms=640))
    segmenter.begins(SIGNING)
    segmenter.advance(SIGNING)
    segmenter.advance(RESTING)
    assert not segmenter.over
    segmenter.advance(RESTING)
    assert segmenter.over and segmenter.last_signing == 8
    assert segmenter.shares() == (pytest.approx(1 / 3), 0, pytest.approx(2 / 3))


def test_longest_segment_is_cut_and_the_next_has_no_pre_roll() -> None:
    segmenter = Segmenter(StreamOptions(max_segment_ms=1000))
    segmenter.begins(SIGNING)
    for _ in range(4):
        segmenter.advance([FINGERSPELLING] * 8)
    assert segmenter.over
    segmenter.end()
    assert segmenter.begins(SIGNING)
    assert segmenter.segment_id == 1 and not segmenter.has_pre_roll


@pytest.mark.parametrize("options", [{"endpoint_ms": 10}, {"max_segment_ms": 10}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        StreamOptions(**options)
