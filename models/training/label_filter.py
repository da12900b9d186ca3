"""The consistency filter: the samples on whose tokens two labellers agree, for labels that are not right enough.

Two labellers that work differently (two language models, or a model and the rules) seldom make the same mistake, so where
they agree both are likelier right. What it costs: samples that are hard to gloss go first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rapidfuzz.distance import Levenshtein

from models.training.audit.result import Result
from models.training.audit.trust import note_audit, noted_audit
from models.training.label_files import LabelFileError, made_by, replace_text, write_labels
from models.training.labels import Label

Measure = Literal["f1", "edit"]
STEPS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Agreement:
    """`kept` has the first labeller's labels; `scores` how far both agree (0..1) on each sample that both have."""

    kept: tuple[Label, ...]
    scores: tuple[float, ...]
    only_first: int
    only_second: int

    def figures(self) -> dict[str, float]:
        """Counts, the mean agreement, and how many of each threshold would be kept."""
        found: dict[str, float] = {
            "compared": len(self.scores), "kept": len(self.kept),
            "kept_share": len(self.kept) / len(self.scores), "mean_agreement": sum(self.scores) / len(self.scores),
            "only_first": self.only_first, "only_second": self.only_second,
        }  # fmt: skip
        return found | {f"kept_at_{step:.1f}": sum(reached(score, step) for score in self.scores) for step in STEPS}


def token_f1(first: Sequence[str], second: Sequence[str]) -> float:
    """F1 of the two as bags of tokens: the order does not count."""
    if not first and not second:
        return 1.0
    return 2 * sum((Counter(first) & Counter(second)).values()) / (len(first) + len(second))


def edit_similarity(first: Sequence[str], second: Sequence[str]) -> float:
    """1 - Levenshtein's distance in tokens / the longer length: the order counts."""
    return float(Levenshtein.normalized_similarity(first, second))


MEASURES: dict[Measure, Callable[[Sequence[str], Sequence[str]], float]] = {"f1": token_f1, "edit": edit_similarity}


def reached(score: float, least: float) -> bool:
    """Whether a score is at least the threshold; a hair is forgiven, as thirds and fifths are not exact."""
    return score >= least - 1e-9


def agreed(
    first: Sequence[Label], second: Sequence[Label], *, measure: Measure = "f1", least: float = 0.8
) -> Agreement:
    """Compares labels of the same samples by name; raises LabelFileError when no sample, or another sentence, is shared."""
    others = {label.name: label for label in second}
    pairs = [(label, others[label.name]) for label in first if label.name in others]
    if not pairs:
        raise LabelFileError("the two files share no sample; give labels that two labellers made of the same sentences")
    for one, other in pairs:
        if one.english != other.english:
            raise LabelFileError(
                f"{one.name} has two sentences, {one.english[:40]!r} and {other.english[:40]!r}; label the same data twice"
            )
    scores = tuple(MEASURES[measure](one.tokens, other.tokens) for one, other in pairs)
    kept = tuple(one for (one, _), score in zip(pairs, scores, strict=True) if reached(score, least))
    return Agreement(kept, scores, len(first) - len(pairs), len(second) - len(pairs))


def write_agreed(
    agreement: Agreement, first: Path, second: Path, out: Path, *, measure: Measure, least: float
) -> dict[str, float]:
    """Writes `out`/labels.jsonl, who made it, and, where the first labels were audited, what of the audit stays.

    The audited samples were drawn evenly and the filter did not see their marks: those that stay are an even sample of what
    stays. Gives their token accuracy as `audited_before`, `audited_after` where there are any.
    """
    if not agreement.kept:
        raise LabelFileError(f"no sample reaches {least:g}; lower --least, or compare with a labeller that is nearer")
    path = out / "labels.jsonl"
    write_labels(path, agreement.kept)
    made = {
        "labeller": "agreement",
        "first": made_by(first),
        "second": made_by(second),
        "measure": measure,
        "least": least,
    }
    replace_text(path.with_suffix(".made.json"), json.dumps(made) + "\n")
    return _carry_audit(first, path, agreement.kept)


def _carry_audit(first: Path, path: Path, kept: Sequence[Label]) -> dict[str, float]:
    noted = noted_audit(first)
    if noted is None:
        return {}
    judged, figures = noted
    tokens = {label.name: label.tokens for label in kept}
    stays = tuple(one for one in judged if tokens.get(one.name) == one.tokens)
    before: dict[str, float] = {"audited_before": figures["token_accuracy"], "audited_samples_kept": len(stays)}
    if not stays:
        return before
    held = note_audit(path, Result(path.name, 0, f"carried over from {first}", stays))
    after = held["figures"]
    assert isinstance(after, dict)
    return before | {"audited_after": float(after["token_accuracy"])}
