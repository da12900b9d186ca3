"""Corpora become examples of their own dialect; only train files are learned from; prompts vary as told."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from models.dialects import EDITED, filled, slotted
from models.evaluation.gloss2text import read_rows
from models.training import text_data
from models.training.text_data import (
    Sentences,
    Variation,
    batches,
    classes_of,
    examples,
    script_of,
    spellings_of,
    varied,
)

GERMAN = [
    (["REGEN", "UEBERALL", "poss-MEIN"], "regen überall ."),
    (["STEUER", "MORGEN"], "die steuer kommt morgen ."),
    (["MORGEN", "KUEHL"], "morgen wird es kühl ."),
] * 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "text"
    folder.mkdir()
    lines = [
        f"X-WE BE DESC-FAR FROM TOWN{number % 3} .\twe are far from the town{number % 3} ." for number in range(30)
    ]
    (folder / "aslg_pc12.train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "phoenix14t.train.tsv").write_text(
        "\n".join(f"{' '.join(glosses)}\t{text}" for glosses, text in GERMAN) + "\n", encoding="utf-8"
    )
    return folder.parent


@pytest.fixture(scope="module")
def sentences(data: Path) -> Sentences:
    plain = {**text_data.read(data, "phoenix").plain, "ncslgr": [(["me", "name", "<fs1>"], "my name is <fs1>.")]}
    edited = text_data.read(data, EDITED)
    return Sentences({**plain, "spoken": [(["we", "go"], "we are going.")] * 5}, edited.edited, edited.words)


def test_each_dialect_says_its_sentences_back(sentences: Sentences) -> None:
    script = script_of(sentences)
    held = examples(sentences, script)
    assert {name: len(rows) for name, rows in held.items()} == {EDITED: 30, "phoenix": 12, "ncslgr": 1, "spoken": 5}
    for name, rows in sentences.plain.items():
        for (glosses, text), one in zip(rows, held[name], strict=True):
            assert script.text(name, glosses, one.wanted[:-1]) == text.replace(" <", "<")  # slots swallow their blank
            assert one.answer[1:] == one.wanted[:-1]
    glosses, _ = sentences.edited[0]
    assert script.text(EDITED, glosses, held[EDITED][0].wanted) == "we are far from the town0 ."
    assert held[EDITED][0].aligned
    assert len(held[EDITED][0].prompt) == len(held[EDITED][0].wanted) + 1


def test_the_script_comes_back_from_its_folder(sentences: Sentences, tmp_path: Path) -> None:
    script = script_of(sentences)
    script.save(tmp_path)
    found = text_data.Script.load(tmp_path)
    assert examples(sentences, found) == examples(sentences, script)
    assert found.edits == script.edits


def test_umlauts_come_back_where_the_sentences_have_them() -> None:
    assert spellings_of(GERMAN) == {"ueberall": "überall", "kuehl": "kühl"}  # "steuer" stays


def test_batches_hold_one_dialect_each_and_all_of_them_come(sentences: Sentences) -> None:
    script = script_of(sentences)
    shares = {EDITED: 0.5, "phoenix": 0.5}
    stream = batches(examples(sentences, script), shares, script, 60, 0, Variation(0.0, 0.0))
    drawn = [next(stream) for _ in range(40)]
    assert {batch.aligned for batch in drawn} == {True, False}
    assert all(batch.ids.numel() <= 60 + batch.ids.shape[1] for batch in drawn)
    labels = {int(one) for batch in drawn if batch.aligned for one in batch.labels.flatten() if one >= 0}
    assert min(labels) >= script.edits.first_label


def test_prompts_vary_and_keep_their_mark(sentences: Sentences) -> None:
    script, rng = script_of(sentences), random.Random(0)
    held = examples(sentences, script)
    plain, edited = held["phoenix"][0], held[EDITED][0]
    assert varied(plain, Variation(dropped=1.0), {}, rng).prompt == plain.prompt[:2]
    assert varied(plain, Variation(dropped=0.0), {}, rng) == plain
    known_as = classes_of(script)
    unknown = varied(edited, Variation(unknown=1.0), known_as, rng)
    assert len(unknown.prompt) == len(edited.prompt)
    assert unknown.prompt[0] == edited.prompt[0]
    assert unknown.prompt[-1] == edited.prompt[-1]  # the end is always known
    assert all(known_as[was] == now for was, now in zip(edited.prompt[1:-1], unknown.prompt[1:-1], strict=True))


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="phoenix14t"):
        text_data.read(tmp_path, "phoenix")
    with pytest.raises(ValueError, match="aslg_pc12.dev"):
        text_data.held_out(tmp_path, EDITED)


def test_spelled_words_are_slots_and_come_back() -> None:
    glosses, slots = slotted(["ME", "NAME", "#MARIA", "#LEE", "#MARIA"])
    assert glosses == ["ME", "NAME", "<fs1>", "<fs2>", "<fs1>"]
    assert filled("my name is<fs1>. she is<fs2>, not<fs3>.", slots) == "My name is Maria. She is Lee, not."


def test_of_ncslgrs_table_only_the_held_out_part_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    rows = [f"a.xml\t{number}\tBen\tIX-1p GO HOUSE\t0-1 1-2 2-3\tI go to house {number}." for number in range(200)]
    path.write_text("file\tutterance\tsigner\tgloss\tgloss_ms\tenglish\n" + "\n".join(rows) + "\n", encoding="utf-8")
    found = read_rows(path)
    assert 0 < len(found) < 40
    assert found[0][0] == ["ME", "GO", "HOUSE"]
