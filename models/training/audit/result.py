"""What a person marked on the audit page: how many tokens are right, with intervals, and by kind of token.

Two intervals at 95 %: Wilson's (1927) takes every token by itself; the bootstrap (Efron 1979) draws whole sentences, since
tokens of one sentence are right or wrong together. The second is the honest one, but has no width when all is right.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.training.audit.page import FORMAT
from models.training.labels import Label

Z_95 = 1.959964
DRAWS = 2000
MARKS = ("right", "wrong")


class AuditError(ValueError):
    """A result that cannot be used; the text says why and how to mend it."""


@dataclass(frozen=True)
class Judged:
    """One sample with a mark a token, and the number of signs that its label lacks."""

    name: str
    tokens: tuple[str, ...]
    marks: tuple[str, ...]
    missing: int = 0


@dataclass(frozen=True)
class Result:
    """The samples that count; `skipped` could not be judged, `unfinished` have tokens without a mark."""

    labels: str
    seed: int
    auditor: str
    judged: tuple[Judged, ...]
    skipped: int = 0
    unfinished: int = 0


def read_result(path: Path) -> Result:
    """The file that the page saved; raises AuditError."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["format"] != FORMAT:
            raise ValueError(f"its format is {held['format']!r}, not {FORMAT!r}")
        done = [one for one in held["samples"] if not one["skipped"] and all(mark in MARKS for mark in one["marks"])]
        skipped = sum(bool(one["skipped"]) for one in held["samples"])
        judged = tuple(_judged(one) for one in done)
        result = Result(
            str(held["labels"]), int(held["seed"]), str(held["auditor"]), judged,
            skipped, len(held["samples"]) - len(done) - skipped,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise AuditError(f"{path} is no result of an audit ({reason}); save it anew from the page") from error
    if not judged:
        raise AuditError(f"{path}: no sentence is finished; mark the tokens of some on the page and save again")
    return result


def _judged(held: dict[str, object]) -> Judged:
    tokens, marks, missing = held["tokens"], held["marks"], held["missing"]
    if not isinstance(tokens, list) or not isinstance(marks, list) or len(tokens) != len(marks) or not tokens:
        raise ValueError(f"{held['name']}: expected a mark for each token, got {marks!r} for {tokens!r}")
    if not isinstance(missing, int) or missing < 0:
        raise ValueError(f"{held['name']}: expected a number of missing signs, got {missing!r}")
    return Judged(str(held["name"]), tuple(map(str, tokens)), tuple(map(str, marks)), missing)


def check_belongs(result: Result, labels: Iterable[Label]) -> None:
    """Raises AuditError when a sample that was judged has other tokens in `labels`, or is not there."""
    tokens = {label.name: label.tokens for label in labels}
    for one in result.judged:
        if tokens.get(one.name) != one.tokens:
            raise AuditError(
                f"{one.name} has other tokens in these labels than on the audited page; give the labels that were audited, or"
                " audit these"
            )


def figures(judged: Sequence[Judged], seed: int = 0) -> dict[str, float]:
    """Token accuracy in 0..1 with its intervals, in all and by kind; a kind without tokens is left out."""
    found: dict[str, float] = {"samples": len(judged)}
    kinds: dict[str, Callable[[str], bool]] = {
        "token": lambda _: True,
        "sign": lambda token: not token.startswith("#"),
        "fingerspelled_word": lambda token: token.startswith("#"),
    }
    for kind, belongs in kinds.items():
        counts = np.array([_count(one, belongs) for one in judged], dtype=np.int64)
        right, total = (int(count) for count in counts.sum(axis=0))
        if total:
            low, high = wilson(right, total)
            first, last = bootstrap(counts, seed)
            found |= {
                f"{kind}s": total, f"{kind}_accuracy": right / total,
                f"{kind}_wilson_low": low, f"{kind}_wilson_high": high,
                f"{kind}_bootstrap_low": first, f"{kind}_bootstrap_high": last,
            }  # fmt: skip
    right = sum(one.marks.count("right") for one in judged)
    missing = sum(one.missing for one in judged)
    found["wholly_right_samples"] = sum(not one.missing and "wrong" not in one.marks for one in judged) / len(judged)
    if right + missing:
        found["signs_found"] = right / (right + missing)
    return found


def _count(one: Judged, belongs: Callable[[str], bool]) -> tuple[int, int]:
    """(right tokens, tokens) of a kind in one sample."""
    marks = [mark for token, mark in zip(one.tokens, one.marks, strict=True) if belongs(token)]
    return marks.count("right"), len(marks)


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a share at 95 %."""
    assert 0 <= right <= total and total > 0, (right, total)
    share, z2 = right / total, Z_95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(counts: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Percentile interval at 95 % of sum(right) / sum(total) over drawn sentences; `counts`: (sentences, 2), int."""
    drawn = np.random.default_rng(seed).integers(len(counts), size=(DRAWS, len(counts)))
    right, total = counts[drawn].sum(axis=1).T
    shares = right[total > 0] / total[total > 0]
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(low), float(high)


def record(result: Result) -> dict[str, object]:
    """What labels.audit.json holds: the figures, and each judgement, so that a filter can carry the audit over."""
    counts: dict[str, object] = {**figures(result.judged), "skipped": result.skipped, "unfinished": result.unfinished}
    judged = [asdict(one) for one in result.judged]
    return {
        "labels": result.labels, "seed": result.seed, "auditor": result.auditor, "figures": counts, "judged": judged
    }  # fmt: skip
