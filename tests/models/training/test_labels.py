"""Labels from sentences: by rules, resumed, refused by name when they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.training.label_files import LabelFileError, read_labels
from models.training.labels import Label, LabelError, checked, ctc_steps
from models.training.labels_stage import train


def test_ctc_needs_a_blank_between_repeats() -> None:
    assert ctc_steps("ANNA") == 5
    assert ctc_steps(()) == 0
    label = Label("clip-7", "Anna.", ("#ANNA",), ("AE", "N", "AH"))
    assert label.joint == ("#A", "#N", "#N", "#A")
    assert label.letters == ("A", "N", "N", "A")
    assert checked(label, 5) is label
    with pytest.raises(LabelError, match=r"clip-7: its glosses need 5 steps .*the clip has 4"):
        checked(label, 4)
    with pytest.raises(LabelError, match="clip-8.*no gloss"):
        checked(Label("clip-8", "The.", (), ()), None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    text = tmp_path / "data" / "text"
    text.mkdir(parents=True)
    (text / "how2sign.train.tsv").write_text("a.mp4\tMy name is Zoltan.\nb.mp4\tThe.\n")
    (text / "how2sign_realigned_val.csv").write_text(
        "VIDEO_ID,VIDEO_NAME,SENTENCE_ID,SENTENCE_NAME,START_REALIGNED,END_REALIGNED,SENTENCE\n"
        'v,v,s,short,1.0,1.2,"Where are you going, my friend?"\nv,v,s,long,1.0,5.0,Where are you going?\n'
    )
    return tmp_path / "data"


def test_the_stage_labels_by_rules_and_refuses_by_name(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path) == {"labels": 2.0, "refused": 2.0}
    labels = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [label["name"] for label in labels] == ["a.mp4", "long"]
    assert labels[0]["tokens"] == ["MY", "NAME", "#ZOLTAN"]
    assert labels[0]["phonemes"][:3] == ["M", "AY", "N"]
    refused = (tmp_path / "refused.jsonl").read_text()
    assert "short: its glosses need 5 steps" in refused
    assert "b.mp4: the sentence 'The.' has no gloss" in refused


def test_the_stage_goes_on_where_it_was_stopped(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path, minutes=0) == {"labels": 0.0, "refused": 0.0}
    train(data, tmp_path)
    whole = (tmp_path / "labels.jsonl").read_text()
    first, second = whole.splitlines(keepends=True)
    (tmp_path / "labels.jsonl").write_text(first + second[:20])
    assert train(data, tmp_path) == {"labels": 2.0, "refused": 2.0}
    assert (tmp_path / "labels.jsonl").read_text() == whole


def test_one_folder_holds_the_labels_of_one_labeller(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, by="lexicon")
    with pytest.raises(LabelFileError, match=r"was begun by lexicon; give another --out"):
        train(data, tmp_path)


def test_a_file_of_sentences_serves_as_well(tmp_path: Path) -> None:
    sentences = tmp_path / "mine.tsv"
    sentences.write_text("a\tWe buy a new car.\n")
    train(sentences, tmp_path / "out")
    assert read_labels(tmp_path / "out")[0].tokens == ("WE", "BUY", "NEW", "CAR")
    sentences.write_text("a We buy a new car.\n")
    with pytest.raises(ValueError, match="line 1: expected `clip<TAB>English`"):
        train(sentences, tmp_path / "other")


def test_files_that_are_no_labels_are_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    with pytest.raises(LabelFileError, match="no such file: make them with"):
        read_labels(path)
    path.write_text('{"name": "a", "english": "Go.", "tokens": "GO"}\n')
    with pytest.raises(LabelFileError, match="line 1: expected"):
        read_labels(path)
    path.write_text('{"name": "a", "english": "Go.", "tokens": ["GO"]}\n{"name": "b", "engl')
    assert [label.name for label in read_labels(path)] == ["a"]
    path.write_text(
        '{"name": "a", "english": "Go.", "tokens": ["GO"]}\n{"name": "b", "english": "Go.", "tokens": ["GO"]}'
    )
    assert [label.name for label in read_labels(path)] == ["a", "b"]
    path.write_text('{"name": "a", "english": "Go.", "tokens": ["GO"]}\n' * 2)
    with pytest.raises(LabelFileError, match="names a sample twice"):
        read_labels(path)


def test_missing_sentences_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected .*how2sign\.train\.tsv"):
        train(tmp_path, tmp_path)
