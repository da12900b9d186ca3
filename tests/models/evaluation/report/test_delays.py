"""Delays against SimulEval 1.1.4 (figures made by its scorers stand where a test says so) and against counting by hand."""

import pytest

from models.evaluation.report.delays import (
    Delays,
    Version,
    average_lagging,
    average_token_delay,
    erased,
    finals_alone,
    first_shown,
    length_adaptive_average_lagging,
    settled,
)


def version(text: str, media_ms: float, took_ms: float = 0.0) -> Version:
    return Version(tuple(text.split()), media_ms, media_ms + took_ms)


REWRITTEN = [
    version("Me", 320, 10),
    version("Me name", 640, 10),
    version("My name", 960, 10),
    version("My name is Al", 1600, 40),
]


@pytest.mark.parametrize(
    ("delays", "elapsed", "source_ms", "words", "expected", "aware"),
    [
        ((640, 640, 1280, 1600), (700, 700, 1400, 1650), 1500, 5, (590, 590, 420), (662.5, 662.5, 492.5)),
        ((320,), (400,), 900, 3, (320, 320, 20), (400, 400, 100)),
        ((1600, 1600, 1600), (1700, 1700, 1700), 1500, 3, (1600, 1600, 1000), (1700, 1700, 1100)),
        ((320, 640, 640, 960, 960, 960), (330, 660, 660, 990, 990, 990), 1280, 2, None, None),
    ],
)
def test_lagging_and_token_delay_are_simulevals(
    delays: tuple[float, ...], elapsed: tuple[float, ...], source_ms: float, words: int,
    expected: tuple[float, float, float] | None, aware: tuple[float, float, float] | None,
) -> None:  # fmt: skip
    """SimulEval was given the same times; for ATD with computation its elapsed times, which add up the computation of all
    chunks: 700, 700, 1460, 1830 in the first row, the same in the two after it."""

    def all_three(times: tuple[float, ...]) -> tuple[float, float, float]:
        return (average_lagging(times, source_ms, words), length_adaptive_average_lagging(times, source_ms, words),
                average_token_delay(Delays(delays, times)))  # fmt: skip

    if expected is not None and aware is not None:
        assert all_three(delays) == pytest.approx(expected)
        assert all_three(elapsed) == pytest.approx(aware)
    else:
        al, laal, _ = all_three(delays)
        assert laal > al, "a caption longer than its reference gains nothing by its length"


def test_computation_of_every_word_counts_in_token_delay() -> None:
    media = (320.0, 640.0, 640.0, 960.0, 960.0, 960.0)
    plain = average_token_delay(Delays(media, media))
    assert plain == pytest.approx(700 / 6)  # SimulEval's
    assert average_token_delay(Delays(media, tuple(at + 20 for at in media))) - plain == pytest.approx(20)
    rising = (330.0, 660.0, 660.0, 990.0, 990.0, 990.0)
    assert average_token_delay(Delays(media, rising)) == pytest.approx(
        140
    )  # SimulEval's for 330, 670, 670, 1020 thrice


def test_a_word_is_settled_when_nothing_before_it_changes_any_more() -> None:
    assert settled(REWRITTEN) == Delays((960, 960, 1600, 1600), (970, 970, 1640, 1640))


def test_a_word_that_comes_back_is_settled_when_it_came_back() -> None:
    assert settled([version("a", 1), version("b", 2), version("a", 3)]).media_ms == (3,)


def test_first_shown_counts_a_word_at_any_place_and_reads_in_order() -> None:
    assert first_shown(REWRITTEN).media_ms == (960, 960, 1600, 1600)
    assert first_shown([version("name", 1), version("the name.", 2), version("The the name", 3)]).media_ms == (2, 3, 3)


def test_finals_alone_come_with_the_last_version() -> None:
    assert finals_alone(REWRITTEN) == Delays((1600,) * 4, (1640,) * 4)


def test_nothing_said_has_no_delays() -> None:
    assert settled([]) == first_shown([]) == finals_alone([]) == Delays((), ())


def test_erasure_counts_what_is_taken_back() -> None:
    assert erased(REWRITTEN) == 2  # "Me name" -> "My name" takes two words back; all else only adds
    assert erased([version("a b", 1), version("a b c", 2)]) == 0
    assert erased([version("a b c", 1), version("a", 2)]) == 2
