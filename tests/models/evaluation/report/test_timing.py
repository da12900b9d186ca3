"""What of the records concerns time."""

from dataclasses import replace

import pytest

from models.evaluation.report.records import Shown, Tick
from models.evaluation.report.timing import (
    after_last_sign,
    delay_rows,
    flicker,
    running_ticks,
    spread,
    stages,
    to_first_word,
    versions,
)
from tests.models.evaluation.report.held import segment, sentence


def test_versions_count_from_the_first_sign() -> None:
    first, *_, last = versions(sentence())
    assert first.words == ("My",) and (first.media_ms, first.elapsed_ms) == (320, 340)  # signing begins at 640 ms
    assert last.words == ("My", "name", "is", "Maria.") and (last.media_ms, last.elapsed_ms) == (1920, 1980)


def test_a_second_segment_stands_behind_the_first() -> None:
    shown = (Shown(0, "One.", True, 960, 0, 0), Shown(1, "two", False, 1280, 0, 0), Shown(1, "Two.", True, 1600, 0, 0))
    assert [version.words for version in versions(sentence(shown=shown))] == [
        ("One.",),
        ("One.", "two"),
        ("One.", "Two."),
    ]


def test_delays_of_a_sentence_by_hand() -> None:
    first, settled, finals = delay_rows([sentence()])
    assert first.reading == "first shown" and finals.reading == "final captions alone"
    # signing takes 1000 ms; words at 320, 640, 1920, 1920: the third is past the end, so three count: 4 words, 250 ms each
    assert settled.al == settled.laal == pytest.approx((320 + (640 - 250) + (1920 - 500)) / 3)
    assert first.al == pytest.approx(settled.al)
    assert finals.al == 1920 and finals.al_ca == 1980
    assert settled.al_ca == pytest.approx(settled.al + (20 + 20 + 60) / 3)


def test_sentences_without_a_caption_have_no_delay() -> None:
    silent = sentence(shown=(), segments=())
    assert delay_rows([silent, sentence()]) == delay_rows([sentence()])
    assert delay_rows([silent])[0].al == 0


def test_flicker_of_drafts_and_with_the_final() -> None:
    seen = flicker([sentence()])
    assert seen.drafts == 0 and seen.drafts_a_caption == 3
    assert seen.whole == pytest.approx(1 / 4)  # "Maria" gives way to "is Maria."


def test_a_withdrawn_draft_is_erased_and_no_caption() -> None:
    withdrawn = (
        Shown(0, "My", False, 960, 0, 0),
        Shown(0, "My name", False, 1280, 0, 0),
        Shown(0, "", True, 1600, 0, 0),
    )
    silent = sentence(shown=withdrawn, segments=(segment(text="", words=()),))
    assert flicker([silent, sentence()]).whole == pytest.approx((2 + 1) / 4)
    assert after_last_sign([silent]) == [] and to_first_word([silent]) == [960 - 640]
    assert delay_rows([silent, sentence()]) == delay_rows([sentence()])
    unseen = sentence(shown=(Shown(0, "", True, 1600, 0, 0),), segments=(segment(text="", words=()),))
    assert to_first_word([unseen]) == [] and flicker([unseen, sentence()]) == flicker([sentence()])


def test_times_of_captions() -> None:
    assert after_last_sign([sentence()]) == [2560 + 60 - 41 * 40]
    assert to_first_word([sentence()]) == [960 + 20 - 640]
    assert after_last_sign([sentence(shown=())]) == []


def test_only_chunks_in_which_all_networks_ran_once_count() -> None:
    assert [number for number, _ in running_ticks(sentence())] == [3, 4, 5]
    assert running_ticks(sentence(segments=())) == []


def test_stages() -> None:
    ticks = tuple(Tick(40.0 + at, 30.0, 20.0 + at, 15.0, 5.0) for at in range(8))
    held = {stage.name: stage for stage in stages([replace(sentence(), ticks=ticks)])}
    assert held["sight"].wall.p50 == 24 and held["sight"].wall.count == 3 and held["sight"].cpu is None
    assert held["whole step"].wall.p50 == 44
    assert held["language model"].wall.p95 == 80
    assert held["draft"].wall.count == 3


def test_nothing_has_no_spread() -> None:
    assert spread([]).count == 0
    assert stages([sentence(segments=(segment(alpha=()),), refine=(), shown=())])[0].wall.count == 0
