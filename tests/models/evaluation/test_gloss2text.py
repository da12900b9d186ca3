"""Noise on clean tokens is what its rates say; held-out sentences are held out and spread over the grammar."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from models.error_rate import ErrorRate
from models.evaluation.gloss2text import evaluate, held_out_grammar, keep_held_out, read_pairs
from models.evaluation.noise import KINDS
from models.evaluation.token_noise import Rates, noisy_tokens
from models.refine import RefinerError
from models.synthetic.sentences import is_held_out

TEXTS = ("ME", "NAME", "#MARIA", "AND", "LIVE", "#BOSTON", "NOW")


def test_without_noise_tokens_are_as_they_were() -> None:
    tokens = noisy_tokens(TEXTS, Rates(), random.Random(0))
    assert [("#" if t.kind == "fingerspelling" else "") + t.text for t in tokens] == list(TEXTS)
    assert all(a.end_ms <= b.start_ms for a, b in zip(tokens, tokens[1:], strict=False))


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_the_share_of_errors_is_the_rate(rate: float) -> None:
    rng, glosses, letters = random.Random(0), ErrorRate(), ErrorRate()
    for _ in range(1500):
        tokens = noisy_tokens(TEXTS, Rates(rate, 0.0), rng)
        glosses.add([t.text for t in tokens if t.kind == "sign"], [t for t in TEXTS if "#" not in t])
        seen = noisy_tokens(("#MARIA",), Rates(0.0, rate), rng)[0]
        letters.add(seen.text, "MARIA")
        assert len(seen.letters) == len(seen.text)
        assert all(0 < posterior <= 1 for posterior in seen.letters)
    assert glosses.value == pytest.approx(rate, abs=0.03)
    assert letters.value == pytest.approx(rate, abs=0.03)


@pytest.mark.parametrize(("kind", "counts"), [("deletions", {1, 2}), ("substitutions", {2}), ("insertions", {2, 3, 4})])
def test_each_kind_of_error_does_its_own(kind: str, counts: set[int]) -> None:
    rng = random.Random(0)
    made = [noisy_tokens(("ME", "GO"), replace(KINDS[kind], tokens=0.5), rng) for _ in range(300)]
    assert {len(tokens) for tokens in made} == counts
    kept = sum(t.text in ("ME", "GO") for tokens in made for t in tokens) / 600
    assert kept >= 1 if kind == "insertions" else 0.3 < kept < 0.7


def test_signs_read_wrong_are_less_sure_as_measured() -> None:
    rng = random.Random(0)
    right = [token.posterior for _ in range(500) for token in noisy_tokens(("ME",), Rates(), rng)]
    wrong = [t.posterior for _ in range(500) for t in noisy_tokens(("ME",), Rates(1.0, 0.0, 0.0, 1.0), rng)]
    assert sum(p < 0.95 for p in right) / len(right) == pytest.approx(0.05, abs=0.03)
    assert sum(p < 0.95 for p in wrong) / len(wrong) == pytest.approx(0.61, abs=0.07)


def test_something_is_always_seen() -> None:
    rng = random.Random(0)
    assert all(noisy_tokens(("ME",), Rates(1.0, 1.0), rng) for _ in range(200))
    assert all(noisy_tokens(("#AB",), Rates(1.0, 1.0), rng) for _ in range(200))


def test_held_out_sentences_are_spread_over_the_templates(tmp_path: Path) -> None:
    rows = held_out_grammar(300)
    assert all(is_held_out(english) for _, english in rows)
    assert Counter(english for _, english in rows).most_common(1)[0][1] < 12
    keep_held_out(tmp_path, None, 5)
    held = json.loads((tmp_path / "held_out.json").read_text())
    assert held["real"] == []
    assert held["grammar"] == [[list(tokens), english] for tokens, english in rows[:5]]


def test_a_file_of_pairs_is_read_or_its_line_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("ME GO\tI go.\n")
    assert read_pairs(path) == [(["ME", "GO"], "I go.")]
    path.write_text("ME GO\tI go.\nME GO\n")
    with pytest.raises(ValueError, match="line 2 of"):
        read_pairs(path)


def test_a_corpus_adapter_is_never_the_live_models(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("ME GO\tI go.\n")
    (tmp_path / "adapters" / "aslg").mkdir(parents=True)
    with pytest.raises(RefinerError, match="signbind train text"):
        evaluate(pairs, tmp_path, adapter="aslg")
