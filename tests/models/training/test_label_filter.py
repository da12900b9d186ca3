"""The consistency filter: what two labellers agree on is kept, and the audit of the first goes with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.training.audit.result import Judged, Result
from models.training.audit.trust import note_audit, noted_audit
from models.training.label_files import LabelFileError, made_by, read_labels, write_labels
from models.training.label_filter import agreed, edit_similarity, token_f1, write_agreed
from models.training.labels import Label


def label(name: str, tokens: str, english: str = "A dog.") -> Label:
    return Label(name, english, tuple(tokens.split()), ())


FIRST = [label("a", "ME GO HOME"), label("b", "YOU EAT"), label("c", "DOG BITE MAN"), label("d", "ONE")]
SECOND = [label("a", "ME GO HOME"), label("b", "YOU DRINK"), label("c", "MAN BITE DOG"), label("e", "TWO")]


def test_agreement_by_tokens_and_by_order() -> None:
    assert token_f1("ME GO".split(), "GO ME".split()) == 1.0
    assert token_f1("ME ME GO".split(), "ME GO".split()) == pytest.approx(0.8)
    assert token_f1((), ()) == 1.0 and token_f1(("GO",), ()) == 0.0
    assert edit_similarity("ME GO HOME".split(), "ME GO".split()) == pytest.approx(2 / 3)
    assert edit_similarity("ME GO".split(), "GO ME".split()) == 0.0


def test_samples_that_agree_are_kept() -> None:
    found = agreed(FIRST, SECOND)
    assert [one.name for one in found.kept] == ["a", "c"]
    assert found.scores == (1.0, 0.5, 1.0)
    assert (found.only_first, found.only_second) == (1, 1)
    assert found.figures()["kept_at_0.5"] == 3
    assert [one.name for one in agreed(FIRST, SECOND, measure="edit").kept] == ["a"]
    assert [one.name for one in agreed(FIRST, SECOND, least=0.5).kept] == ["a", "b", "c"]


def test_a_threshold_is_reached_by_what_equals_it() -> None:
    first, second = [label("a", "A B C D")], [label("a", "A B C X Y Z")]
    assert len(agreed(first, second, least=0.6).kept) == 1  # 2 * 3 / 10


def test_labels_of_other_data_are_refused() -> None:
    with pytest.raises(LabelFileError, match="share no sample"):
        agreed(FIRST, [label("x", "GO")])
    with pytest.raises(LabelFileError, match="a has two sentences"):
        agreed(FIRST, [label("a", "GO", "A cat.")])


def test_the_audit_goes_with_what_is_kept(tmp_path: Path) -> None:
    one, two, out = tmp_path / "1" / "labels.jsonl", tmp_path / "2" / "labels.jsonl", tmp_path / "out"
    write_labels(one, FIRST)
    write_labels(two, SECOND)
    judged = (
        Judged("a", FIRST[0].tokens, ("right", "right", "right")),
        Judged("b", FIRST[1].tokens, ("wrong", "wrong")),
    )
    note_audit(one, Result("labels.jsonl", 0, "me", judged))
    more = write_agreed(agreed(FIRST, SECOND), one, two, out, measure="f1", least=0.8)
    assert more == {"audited_before": 0.6, "audited_samples_kept": 1, "audited_after": 1.0}
    assert read_labels(out) == [FIRST[0], FIRST[2]]
    assert made_by(out / "labels.jsonl")["labeller"] == "agreement"
    noted = noted_audit(out / "labels.jsonl")
    assert noted is not None and noted[0] == judged[:1]
    assert "carried over" in json.loads((out / "labels.audit.json").read_text())["auditor"]


def test_nothing_that_agrees_writes_nothing(tmp_path: Path) -> None:
    found = agreed([label("a", "ONE")], [label("a", "TWO")])
    with pytest.raises(LabelFileError, match=r"no sample reaches 0\.8; lower --least"):
        write_agreed(found, tmp_path / "1.jsonl", tmp_path / "2.jsonl", tmp_path, measure="f1", least=0.8)
    assert not (tmp_path / "labels.jsonl").exists()
