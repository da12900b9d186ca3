"""The audit: which samples are drawn, what the page holds, what its result says of the labels, who is warned."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.training.audit.page import FORMAT, drawn, page
from models.training.audit.result import (
    AuditError,
    Judged,
    bootstrap,
    check_belongs,
    figures,
    read_result,
    wilson,
)
from models.training.audit.trust import audit_path, labels_for_training, note_audit, verdict, warning
from models.training.label_files import LabelFileError, write_labels
from models.training.labels import Label

LABELS = [Label(f"clip-{n}", f"Dog {n}.", ("DOG", f"N{n}", "#REX"), ()) for n in range(40)]


def marked(count: int, wrong: int, **more: Any) -> dict[str, Any]:
    """A saved result of `count` labels; the first token of `wrong` of them is wrong."""
    samples = [
        {"name": label.name, "english": label.english, "tokens": list(label.tokens), "missing": 0, "skipped": False,
         "marks": ["wrong" if n < wrong else "right", "right", "right"]}
        for n, label in enumerate(LABELS[:count])
    ]  # fmt: skip
    return {"format": FORMAT, "audit": "x", "labels": "labels.jsonl", "of": 40, "seed": 0, "auditor": "me",
            "samples": samples, **more}  # fmt: skip


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    write_labels(tmp_path / "labels.jsonl", LABELS)
    return tmp_path / "labels.jsonl"


def saved(folder: Path, held: object) -> Path:
    path = folder / "result.json"
    path.write_text(json.dumps(held))
    return path


def test_samples_are_drawn_by_seed_whatever_the_order_of_the_file() -> None:
    first = drawn(LABELS, "labels.jsonl", 10, seed=0)
    assert first == drawn(LABELS[::-1], "labels.jsonl", 10, seed=0)
    assert len({label.name for label in first.samples}) == 10
    other = drawn(LABELS, "labels.jsonl", 10, seed=1)
    assert first.samples != other.samples and first.id != other.id
    changed = [replace(label, tokens=("CAT",)) for label in LABELS]
    assert drawn(changed, "labels.jsonl", 10, seed=0).id != first.id
    assert len(drawn(LABELS, "labels.jsonl", 100, seed=0).samples) == 40
    with pytest.raises(ValueError, match="at least 2 samples"):
        drawn(LABELS[:1], "labels.jsonl", 100, seed=0)


def test_the_page_is_one_file_that_may_load_nothing() -> None:
    odd = [Label("a", "</script><script>alert(1)</script> %SCRIPT%", ("GO",), ()), Label("b", "Go.", ("GO",), ())]
    text = page(drawn(odd, "a & <b>.jsonl", 2, seed=0))
    assert "alert(1)</script>" not in text and "a &amp; &lt;b&gt;.jsonl" in text
    assert not re.search(r"(?:src|href)=|https?://|@import|url\(", text)
    for kind in ("style", "script"):
        body = re.search(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        assert body is not None
        digest = base64.b64encode(hashlib.sha256(body[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in text
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    held = json.loads(data[1])
    assert {one["english"] for one in held["samples"]} == {label.english for label in odd}


def test_figures_count_tokens_by_kind() -> None:
    judged = [
        Judged("a", ("MY", "NAME", "#ANNA"), ("right", "wrong", "right"), missing=1),
        Judged("b", ("GO", "HOME"), ("right", "right")),
    ]
    found = figures(judged)
    assert (found["samples"], found["tokens"], found["signs"], found["fingerspelled_words"]) == (2, 5, 4, 1)
    assert found["token_accuracy"] == 4 / 5
    assert found["sign_accuracy"] == 3 / 4
    assert found["fingerspelled_word_accuracy"] == 1.0
    assert found["wholly_right_samples"] == 0.5
    assert found["signs_found"] == 4 / 5
    assert found["token_wilson_low"] < found["token_accuracy"] < found["token_wilson_high"]
    assert "fingerspelled_word_accuracy" not in figures(judged[1:])


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    """Wilson (1927), as computed for 81 of 263 by Newcombe (1998), table I: 0.2553 to 0.3662; and at the edges."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_the_bootstrap_is_wider_where_sentences_fail_as_a_whole() -> None:
    together = np.array([(0, 10)] * 10 + [(10, 10)] * 40)
    apart = np.array([(8, 10)] * 50)
    low, high = bootstrap(together)
    assert low < wilson(400, 500)[0] and high > wilson(400, 500)[1]
    assert bootstrap(apart) == (0.8, 0.8)
    assert bootstrap(together) == bootstrap(together)


def test_the_bootstrap_covers_the_truth() -> None:
    """60 audits of 100 sentences whose share of right tokens varies by sentence: 95 % of the intervals hold the mean."""
    rng, held = np.random.default_rng(0), 0
    for audit in range(60):
        total = rng.integers(3, 12, 100)
        right = rng.binomial(total, rng.beta(8, 2, 100))
        low, high = bootstrap(np.stack([right, total], 1), audit)
        held += low <= 0.8 <= high
    assert 52 <= held < 60


def test_only_finished_sentences_count(tmp_path: Path) -> None:
    held = marked(5, 1)
    held["samples"][3]["marks"][0] = None
    held["samples"][4] |= {"skipped": True, "marks": [None, None, None]}
    result = read_result(saved(tmp_path, held))
    assert (len(result.judged), result.skipped, result.unfinished) == (3, 1, 1)


@pytest.mark.parametrize(
    ("held", "says"),
    [([], "no result of an audit"), ({"format": "other"}, "its format is 'other'"), ({"format": FORMAT}, "lacks 'samples'"),
     (marked(0, 0), "no sentence is finished"),
     (marked(1, 0, samples=[{**marked(1, 0)["samples"][0], "marks": ["right"]}]), "clip-0: expected a mark for each token")],
)  # fmt: skip
def test_a_result_that_is_none_is_refused_in_a_sentence(tmp_path: Path, held: object, says: str) -> None:
    with pytest.raises(AuditError, match=says):
        read_result(saved(tmp_path, held))


def test_a_result_belongs_to_its_labels(tmp_path: Path) -> None:
    result = read_result(saved(tmp_path, marked(5, 0)))
    check_belongs(result, LABELS)
    with pytest.raises(AuditError, match="clip-2 has other tokens"):
        check_belongs(
            result, [replace(label, tokens=("CAT",)) if label.name == "clip-2" else label for label in LABELS]
        )


def test_who_trains_is_warned_under_80_percent(labels: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert labels_for_training(labels.parent, said.append) == LABELS
    assert "was never audited: `signbind labels audit" in said.pop()
    note_audit(labels, read_result(saved(tmp_path, marked(40, 25))))  # 95 of 120: 79.17 %
    labels_for_training(labels, said.append)
    (line,) = said
    assert line.startswith("warning: Only 79.1 % of the audited tokens") and "signbind labels filter" in line
    note_audit(labels, read_result(saved(tmp_path, marked(40, 24))))  # 80 %
    assert labels_for_training(labels, said.append) == LABELS and len(said) == 1
    changed = [replace(label, tokens=("CAT",)) for label in LABELS]
    assert "is not what was audited" in str(warning(labels, changed))
    audit_path(labels).write_text("{}")
    with pytest.raises(LabelFileError, match="is no audit; remove it"):
        warning(labels, LABELS)


@pytest.mark.parametrize(("wrong", "says"), [(25, "Under 80 %"), (24, "more samples would settle it"), (0, "included")])
def test_the_verdict_names_what_is_open(tmp_path: Path, wrong: int, says: str) -> None:
    assert says.replace(" %", "%") in verdict(figures(read_result(saved(tmp_path, marked(40, wrong))).judged))
