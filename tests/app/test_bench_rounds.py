"""A level that is measured several times: when it is enough, what is decided, how noisy it was."""

from __future__ import annotations

import math
from typing import Any

import pytest

from app.bench import rounds


def level(passed: bool, lag_ms: float = 100.0, **figures: Any) -> dict[str, Any]:
    return {"streams": 4, "passed": passed, "why": None if passed else f"{lag_ms:g} ms",
            "compute_lag_ms_p95": lag_ms, **figures}  # fmt: skip


@pytest.mark.parametrize(
    ("verdicts", "most", "needed"),
    [("++", 3, 2), ("--", 3, 2), ("+-+", 3, 3), ("-+-", 3, 3), ("-", 1, 1), ("+-", 2, 2), ("+-+-+", 5, 5), ("---", 5, 3)],
)  # fmt: skip
def test_rounds_go_on_until_most_agree(verdicts: str, most: int, needed: int) -> None:
    said = [verdict == "+" for verdict in verdicts]
    done = rounds.measured(lambda number: level(said[number]), most)
    assert [one["passed"] for one in done] == said[:needed]


def test_a_level_is_the_median_of_its_rounds() -> None:
    """One round on a machine that was slow just then does not decide."""
    each = [level(True, 200.0, frames_dropped=0, gpu_utilisation=None), level(False, 900.0, frames_dropped=7),
            level(True, 240.0, frames_dropped=0, step_ms_mean=math.nan)]  # fmt: skip
    told = rounds.decided(each)
    assert told["passed"] is True and told["why"] is None and told["streams"] == 4
    assert (told["compute_lag_ms_p95"], told["frames_dropped"]) == (240.0, 7)
    assert (told["compute_lag_ms_p95_low"], told["compute_lag_ms_p95_high"]) == (200.0, 900.0)
    assert (told["rounds"], told["rounds_passed"]) == (3, 2)
    assert told["gpu_utilisation"] is None and math.isnan(told["step_ms_mean"])
    assert rounds.decided(each[1:2]) | {"rounds": 0} == rounds.decided(each[1:2] * 2) | {
        "rounds": 0,
        "rounds_passed": 0,
    }


def test_rounds_that_are_split_evenly_or_came_to_nothing_do_not_pass() -> None:
    assert rounds.decided([level(True), level(False, 300.0)])["why"] == "300 ms"
    nothing = {"streams": 4, "passed": False, "why": "it is full"}
    assert rounds.decided([nothing, nothing]) == {**nothing, "rounds": 2, "rounds_passed": 0}


def test_the_noise_of_a_search_is_told() -> None:
    levels = [rounds.decided([level(True, 100.0), level(True, 100.0)]),
              rounds.decided([level(True, 200.0), level(False, 300.0), level(False, 400.0)]),
              rounds.decided([level(True, 50.0)])]  # fmt: skip
    assert rounds.noise(levels) == {"rounds": 6, "levels_disagreed": 1,
                                    "lag_p95_spread_median": pytest.approx(1 / 3),
                                    "lag_p95_spread_most": pytest.approx(2 / 3)}  # fmt: skip
    assert math.isnan(rounds.noise(levels[2:])["lag_p95_spread_most"])
