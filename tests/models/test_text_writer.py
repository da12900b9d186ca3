"""The text model end to end on a few made-up lines: base, adapter, evaluation; what is missing is said in one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models.dialects import EDITED
from models.evaluation.gloss2text import evaluate
from models.refine import RefinerError
from models.text_writer import TextWriter, writer_of
from models.training import lora_stage, text_adapters, text_stage
from models.training.language_stage import Size
from models.training.text_data import Sentences, script_of

TOWNS = ("ROME", "PARIS", "LONDON", "VIENNA")
BUNDLED = Path(__file__).parents[2] / "models" / "checkpoints" / "compact"
EDIT_LINES = [(f"X-WE BE DESC-FAR FROM {town} .", f"we are far from {town.lower()} .") for town in TOWNS]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkpoint with a text model that has learned a little, beside its data; runs are kept apart."""
    home = tmp_path_factory.mktemp("home")
    text = home / "data" / "text"
    text.mkdir(parents=True)
    lines = "\n".join(f"{gloss}\t{english}" for gloss, english in EDIT_LINES * 10) + "\n"
    (text / "aslg_pc12.train.tsv").write_text(lines, encoding="utf-8")
    (text / "aslg_pc12.dev.tsv").write_text(lines, encoding="utf-8")
    patch = pytest.MonkeyPatch()
    patch.chdir(home)
    read = text_stage.read(home / "data", EDITED)
    plain = {"phoenix": [(["REGEN", "MORGEN"], "morgen regen .")], "ncslgr": [(["me", "go"], "I am going.")]}
    sentences = Sentences({**plain, "spoken": plain["ncslgr"]}, read.edited, read.words)
    patch.setattr(text_stage, "read", lambda data: sentences)
    patch.setattr(text_stage, "PIECES_A_BATCH", 200)
    size = Size(width=32, inner=48, layers=2, heads=2, positions=64)
    text_stage.train(home / "data", home / "weights", minutes=0.05, shares={EDITED: 0.8, "phoenix": 0.2}, size=size)
    yield home
    patch.undo()


def test_the_base_is_kept_with_its_script(home: Path) -> None:
    writer = TextWriter.load(home / "weights", EDITED, bare=True)
    [text] = writer.write([["X-WE", "BE", "DESC-FAR", "FROM", "ATLANTIS", "."]])
    assert "atlantis" in text  # never met, and copied


def test_an_adapter_is_trained_and_measured_by_its_name(home: Path) -> None:
    figures = lora_stage.train(home / "data", home / "weights", minutes=0.1, adapter=EDITED)
    assert figures["held_out"] == 40.0
    assert figures["bleu4_with"] >= figures["bleu4_without"]
    measured = evaluate(home / "data" / "text" / "aslg_pc12.dev.tsv", home / "weights", adapter=EDITED)
    assert measured["bleu4"] == pytest.approx(figures["bleu4_with"], abs=15)
    (home / "live").mkdir()
    shutil.copytree(home / "weights", home / EDITED, dirs_exist_ok=True)
    beside = evaluate(home / "data" / "text" / "aslg_pc12.dev.tsv", home / "live", adapter=EDITED)
    assert beside == measured
    assert "tok:none" in str(measured["signature"])
    assert "tok:13a" in str(measured["signature_13a"])


def test_heads_are_trained_without_the_weights_of_a_base(home: Path, tmp_path: Path) -> None:
    shutil.copytree(
        home / "weights", tmp_path / "weights", ignore=shutil.ignore_patterns("*.safetensors", "config.json")
    )
    figures = lora_stage.train(home / "data", tmp_path / "weights", minutes=0.1, adapter=EDITED)
    assert "bleu4_without" not in figures
    writer = TextWriter.load(tmp_path / "weights", EDITED)
    assert not writer.has_model
    assert writer.heads is not None
    assert writer.heads.weights.model == 0
    assert writer.write([["X-WE", "BE", "DESC-FAR", "FROM", "ATLANTIS", "."]]) == ["we are far from atlantis ."]


def test_the_base_is_untouched_by_its_adapter(home: Path) -> None:
    def weights() -> torch.Tensor:
        return TextWriter.load(home / "weights", EDITED, bare=True)._model.lm_head.weight.detach().clone()

    before = weights()
    recipe = text_adapters.RECIPES[EDITED]
    script = script_of(text_stage.read(home / "data"))
    text_adapters.adapt(
        home / "weights", EDITED, text_stage.read(home / "data"), script, minutes=0.15, seed=1, recipe=recipe
    )
    torch.testing.assert_close(weights(), before)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(RefinerError, match="train it with `signbind train text`"):
        TextWriter.load(tmp_path, "phoenix")
    with pytest.raises(RefinerError, match="expected the adapter aslg, phoenix, ncslgr, got 'french'"):
        TextWriter.load(tmp_path, "french")
    with pytest.raises(ValueError, match="got 'french': give one with --adapter"):
        lora_stage.train(tmp_path, tmp_path, adapter="french")


def test_an_adapter_that_is_not_there_is_said(home: Path) -> None:
    with pytest.raises(RefinerError, match="train one with `signbind train lora`"):
        TextWriter.load(home / "weights", "ncslgr")


def test_the_bundled_adapter_writes_without_a_base() -> None:
    writer = writer_of(BUNDLED, EDITED)  # in a folder of its own beside the live weights
    short, long = writer.write(
        [line.split() for line in ("THIS BE DISGRACE .", "X-WE NEED DESC-NEW LAW FOR ATLANTIS .")]
    )
    assert short == "this is a disgrace ."
    assert long.startswith("we need a new law for ")
    assert long.endswith("atlantis .")  # never met, and copied
    assert not (BUNDLED / "text").exists()


def test_the_bundled_german_is_found_by_its_name() -> None:
    writer = writer_of(BUNDLED, "phoenix")
    assert writer.dialect == "phoenix"
    assert writer.write([["GUT", "ABEND", "LIEB", "ZUSCHAUER"]]) == ["guten abend liebe zuschauer ."]
    assert sum(file.stat().st_size for file in (BUNDLED.parent / "phoenix").iterdir()) < 8_000_000
