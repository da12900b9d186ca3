"""Whether labels may be trusted in training: what the audit beside them says, as one sentence for whoever trains.

Training asks for 80 % of the audited tokens. It is the measured share that counts, not its interval's lower end: 100 samples
settle a share near 80 % to about 5 %, and a warning that most good labels raise is one that nobody reads. Where the interval
reaches over the mark from above, `signbind labels result` says that more samples would settle it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from models.training.audit.result import Judged, Result, record
from models.training.label_files import LabelFileError, read_labels, replace_text
from models.training.labels import Label

LEAST_ACCURACY = 0.80


def audit_path(labels: Path) -> Path:
    """labels.jsonl -> labels.audit.json."""
    return labels.with_suffix(".audit.json")


def note_audit(labels: Path, result: Result) -> dict[str, object]:
    """Writes the audit beside the labels; gives what was written."""
    held = record(result)
    replace_text(audit_path(labels), json.dumps(held, indent=1, ensure_ascii=False) + "\n")
    return held


def noted_audit(labels: Path) -> tuple[tuple[Judged, ...], dict[str, float]] | None:
    """The judgements and figures beside the labels; None where there was no audit."""
    path = audit_path(labels)
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        judged = tuple(
            Judged(one["name"], tuple(one["tokens"]), tuple(one["marks"]), int(one["missing"]))
            for one in held["judged"]
        )
        figures = {name: float(value) for name, value in held["figures"].items()}
        figures["token_accuracy"], figures["token_bootstrap_low"], figures["token_bootstrap_high"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelFileError(
            f"{path} is no audit; remove it and read the result in again with `signbind labels result`"
        ) from error
    return judged, figures


def warning(path: Path, labels: Sequence[Label]) -> str | None:
    """What whoever trains on `labels`, read from `path`, should know first; None when the audit speaks for them."""
    noted = noted_audit(path)
    if noted is None:
        return f"{path} was never audited: `signbind labels audit {path}` makes a page that shows how right it is."
    judged, figures = noted
    tokens = {label.name: label.tokens for label in labels}
    if any(tokens.get(one.name) != one.tokens for one in judged):
        return f"{path} is not what was audited: audit it again with `signbind labels audit {path}`."
    if figures["token_accuracy"] >= LEAST_ACCURACY:
        return None
    return (
        f"Only {_percent(figures['token_accuracy'])} of the audited tokens of {path} are right (95 % interval"
        f" {_percent(figures['token_bootstrap_low'])} to {_percent(figures['token_bootstrap_high'])}), under"
        f" {LEAST_ACCURACY:.0%}: make labels by a second labeller and keep what both agree on with"
        f" `signbind labels filter {path} OTHER.jsonl --out FOLDER`."
    )


def verdict(figures: dict[str, float]) -> str:
    """One sentence on an audit for the person who made it."""
    share, low = figures["token_accuracy"], min(figures["token_bootstrap_low"], figures["token_wilson_low"])
    if share < LEAST_ACCURACY:
        return f"Under {LEAST_ACCURACY:.0%}: training on these labels warns; filter them with `signbind labels filter`."
    if low < LEAST_ACCURACY:
        return f"At least {LEAST_ACCURACY:.0%}, but its interval reaches lower: more samples would settle it."
    return f"At least {LEAST_ACCURACY:.0%}, its interval included."


def _percent(share: float) -> str:
    """Rounded down: 79.96 % is not 80.0 %."""
    return f"{math.floor(1000 * share) / 10:.1f} %"


def labels_for_training(path: Path, say: Callable[[str], object] = print) -> list[Label]:
    """The labels in `path` (a file, or a folder with labels.jsonl) for a stage that trains on them; it says a warning."""
    path = path / "labels.jsonl" if path.is_dir() else path
    labels = read_labels(path)
    told = warning(path, labels)
    if told is not None:
        say(f"warning: {told}")
    return labels
