"""Precisions of the bundled language model: they load, they say the same, and what is missing is said in one sentence."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import models
from models.evaluation.gloss2text import held_out_grammar, write
from models.evaluation.precisions import compare, table
from models.quantised import Precision, loading
from models.refine import Refiner, RefinerError

BUNDLED = Path(models.__path__[0]) / "checkpoints" / "compact" / "llm"

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is an extra"
)


@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_without_bitsandbytes_the_operator_is_told_what_to_install(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(RefinerError, match=r"need bitsandbytes: install it with `pip install 'signbind\[gpu\]'`"):
        Refiner.load(BUNDLED, precision=precision)
    assert loading("bf16")["device_map"] is None, "what needs nothing loads"


@needs_bitsandbytes
@pytest.mark.filterwarnings("ignore")  # bitsandbytes' and accelerate's own
@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_fewer_bits_say_nearly_the_same(precision: Precision) -> None:
    rows = held_out_grammar(12)
    refiner = Refiner.load(BUNDLED, precision=precision)
    whole = Refiner.load(BUNDLED)
    texts = write(whole, rows)
    assert sum(text == other for text, other in zip(write(refiner, rows), texts, strict=True)) >= 10
    held = {name for name, module in refiner.model.named_modules() if "bit" in type(module).__name__}
    assert any("q_proj" in name for name in held), "layers are quantised"


def test_precisions_are_compared_in_one_table() -> None:
    whole, half = compare(BUNDLED, held_out_grammar(8), ("fp32", "bf16"))
    assert (whole.precision, whole.changed, half.precision) == ("fp32", 0.0, "bf16")
    assert half.megabytes == pytest.approx(whole.megabytes / 2, rel=0.01)
    assert whole.bleu4 > 50 and whole.pieces_a_second > whole.pieces_a_second_alone > 0
    lines = table([whole, half]).splitlines()
    assert len(lines) == 4 and lines[3].startswith("| bf16 | ")
