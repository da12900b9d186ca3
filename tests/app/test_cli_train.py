"""signbind train: which recipes go on from other weights, and how."""

from pathlib import Path

import pytest

from app.cli_errors import CliError
from app.cli_train import Stage, going_on, stage_recipe


@pytest.mark.parametrize("stage", [Stage.sign, Stage.fingerspelling, Stage.routing, Stage.fusion, Stage.language])
def test_weights_that_have_learned_go_on_at_half_the_rate(stage: Stage, tmp_path: Path) -> None:
    recipe, _ = stage_recipe(stage)
    chosen = going_on(stage, recipe, tmp_path)
    assert chosen["start"] == tmp_path
    assert 0 < chosen["learning_rate"] < 0.0015


def test_a_stage_that_cannot_go_on_says_so(tmp_path: Path) -> None:
    recipe, _ = stage_recipe(Stage.int8)
    with pytest.raises(CliError, match="int8 begins from nothing or where it was stopped; leave out --start"):
        going_on(Stage.int8, recipe, tmp_path)
