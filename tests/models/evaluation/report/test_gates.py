"""Alpha, routes and the alarms that ring when one of them has collapsed."""

from collections.abc import Sequence

import pytest

from models.evaluation.report.gates import alarms, gate_of, paired, routes_of
from models.evaluation.report.records import Sentence
from tests.models.evaluation.report.held import segment, sentence


def ringing(sentences: Sequence[Sentence]) -> set[str]:
    alpha = [value for one in sentences for value in one.alpha]
    return {alarm.name for alarm in alarms(gate_of(sentences), alpha, routes_of(sentences)) if alarm.rings}


def gated(*alpha: float) -> list[Sentence]:
    return [sentence(segments=(segment(alpha=alpha),))]


def test_a_living_gate_rings_nothing() -> None:
    gate = gate_of([sentence()])
    assert ringing([sentence()]) == set()
    assert gate.steps == 40 and gate.mean == pytest.approx(0.82) and sum(gate.histogram) == pytest.approx(1)
    assert gate.histogram[14] == gate.histogram[18] == 0.5


def test_alpha_is_paired_with_what_was_shown_then() -> None:
    pairs = paired(sentence())
    assert pairs[0] == (0.72, "r") and pairs[8][1] == "s" and pairs[20] == (0.92, "f") and pairs[-1][1] == "r"
    gate = gate_of([sentence()])
    assert gate.by_route["fingerspelling"] == pytest.approx(0.9, abs=0.03)
    assert gate.by_route["sign"] == pytest.approx(0.72)


def test_steps_after_the_clip_are_rest() -> None:
    assert paired(sentence(segments=(segment(start_ms=1920, alpha=(0.5,) * 10),)))[-1] == (0.5, "r")


@pytest.mark.parametrize(
    ("alpha", "names"),
    [
        ((0.99,) * 40, {"gate stuck on the hands", "gate does not move", "gate follows nothing"}),
        ((0.01,) * 40, {"gate stuck on the lips", "gate does not move", "gate follows nothing"}),
        ((0.5,) * 40, {"gate does not move", "gate follows nothing"}),
        ((0.4, 0.6) * 20, {"gate follows nothing"}),
    ],
)
def test_a_collapsed_gate_rings(alpha: tuple[float, ...], names: set[str]) -> None:
    assert ringing(gated(*alpha)) == names


def test_a_gate_that_met_one_route_alone_can_follow_nothing_yet() -> None:
    resting = [sentence(segments=(segment(start_ms=1920, alpha=(0.4, 0.6) * 20),))]
    assert set(gate_of(resting).by_route.values()) == {None, 0.5} and ringing(resting) == set()


def test_a_collapsed_router_rings() -> None:
    assert ringing([sentence(routes="s" * 53)]) == {"one route for all"}


def test_nothing_found_rings_no_alarm_of_the_gate() -> None:
    nothing = [sentence(segments=())]
    assert gate_of(nothing).steps == 0 and ringing(nothing) == set()


def test_routes_are_counted_step_by_step() -> None:
    routes = routes_of([sentence(routes="r" * 16 + "s" * 5 + "r" * 5 + "f" * 15 + "r" * 12)])
    assert routes.confusion["sign"] == {"sign": 5, "fingerspelling": 0, "rest": 5}
    assert routes.accuracy == pytest.approx(48 / 53)
    assert routes.recall["sign"] == 0.5 and routes.precision["sign"] == 1
    assert routes.precision["rest"] == pytest.approx(28 / 33)
