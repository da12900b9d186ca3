"""signbind labels: made by rules and by a server, audited, filtered; its failures are sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import main


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.tsv"
    path.write_text("a\tMy name is Maria.\nb\tMy father will help me.\nc\tThe.\nd\tDecorate the acanthus.\n")
    return path


def test_two_rules_are_made_audited_and_filtered(
    sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for by in ("rules", "lexicon"):
        assert (
            main(["labels", "make", "--data", str(sentences), "--out", str(tmp_path / by), "--by", by, "--json"]) == 0
        )
        assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"labels": 3, "refused": 1}
    assert main(["labels", "audit", str(tmp_path / "rules"), "--samples", "2", "-o", str(tmp_path / "p.html")]) == 0
    assert "2 of 3 labels" in capsys.readouterr().out
    assert "signbind-audit-1" in (tmp_path / "p.html").read_text()
    words = [
        "labels",
        "filter",
        str(tmp_path / "rules"),
        str(tmp_path / "lexicon"),
        "--out",
        str(tmp_path / "kept"),
        "--json",
    ]
    assert main(words) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["compared"], figures["kept"]) == (3, 2)
    assert "acanthus" not in (tmp_path / "kept" / "labels.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["make", "--data", "no.tsv", "--out", "out"], "no such file"),
        (["make", "--data", "s.tsv", "--out", "out", "--by", "endpoint"], "an endpoint is a http(s) address and a model"),
        (["make", "--data", "s.tsv", "--out", "out", "--url", "http://x"], "add --by endpoint or leave them out"),
        (["make", "--data", "s.tsv", "--out", "out", "--by", "endpoint", "--url", "http://x", "--model", "m",
          "--key-file", "none"], "none is no file with the API key"),
        (["make", "--data", "s.tsv", "--data", "how2sign=x", "--out", "out"], "label them apart"),
        (["measure", "--data", "."], "there is no such file: put NCSLGR's utterances there"),
        (["measure", "--data", ".", "--by", "endpoint"], "audit an endpoint's labels"),
        (["audit", "nothing"], "expected labels in nothing"),
        (["result", "nothing", "none.json"], "none.json does not exist"),
        (["filter", "nothing", "none", "--out", "nothing"], "expected labels in nothing"),
    ],
)  # fmt: skip
def test_failures_are_one_sentence(
    words: list[str], says: str, sentences: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sentences.parent)
    sentences.rename("s.tsv")
    assert main(["labels", *words]) == 2
    told = capsys.readouterr().err
    assert says in told and told.count("\n") == 1 and "Traceback" not in told


def test_rules_are_measured_against_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "ncslgr.train.tsv").write_text(
        "file\tutterance\tsigner\tgloss\tgloss_ms\tenglish\n"
        "f\t1\tS\tPOSS-1p FATHER BUY CAR\t0-1\tMy father is buying the car.\n"
        "f\t2\tS\tfs-JOHN SEE IX-3p\t0-1\tJohn sees a house.\n"
    )
    assert main(["labels", "measure", "--data", str(tmp_path), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["sentences"], figures["precision"], figures["recall"]) == (2, 6 / 7, 6 / 7)
