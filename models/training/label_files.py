"""Labels on disk: labels.jsonl, one a line; beside it refused.jsonl and labels.made.json, which says who made them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.training.labels import Label


class LabelFileError(ValueError):
    """A file of labels that cannot be used; the text says what is wrong and how to mend it."""


def read_labels(path: Path) -> list[Label]:
    """All labels of a file; raises LabelFileError that names the line. A last line cut off by a crash is left out."""
    if path.is_dir():
        path = path / "labels.jsonl"
    if not path.is_file():
        raise LabelFileError(
            f"expected labels in {path}, but there is no such file: make them with `signbind labels make`"
        )
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    if not text.endswith("\n") and not text.endswith("}"):
        del lines[-1]
    labels = [_label(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not labels:
        raise LabelFileError(f"{path} holds no labels; make some with `signbind labels make`")
    if len({label.name for label in labels}) < len(labels):
        raise LabelFileError(f"{path} names a sample twice; make the labels anew in an empty folder")
    return labels


def _label(line: str, where: str) -> Label:
    try:
        held = json.loads(line)
        tokens, phonemes = _strings(held["tokens"]), _strings(held.get("phonemes", []))
        label = Label(str(held["name"]), str(held.get("english", "")), tokens, phonemes)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelFileError(
            f'{where}: expected {{"name": ..., "english": ..., "tokens": [...]}}, got {line[:80]!r}; mend or remove the line'
        ) from error
    return label


def _strings(held: object) -> tuple[str, ...]:
    if not isinstance(held, list) or not all(isinstance(one, str) for one in held):
        raise TypeError(f"expected a list of strings, got {held!r}")
    return tuple(held)


def write_labels(path: Path, labels: Sequence[Label]) -> None:
    """Whole or not at all."""
    replace_text(path, "".join(json.dumps(label.record()) + "\n" for label in labels))


def replace_text(path: Path, text: str) -> None:
    """Writes beside, then puts in place: a reader never sees a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def made_by(path: Path) -> dict[str, object]:
    """Who made the labels in `path`; empty when nothing says so."""
    beside = path.with_suffix(".made.json")
    if not beside.is_file():
        return {}
    try:
        held = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LabelFileError(f"{beside} is no JSON; remove it and make the labels anew") from error
    return held if isinstance(held, dict) else {}


def claim(path: Path, made: Mapping[str, object]) -> None:
    """Notes who makes the labels in `path`; LabelFileError when another labeller began them."""
    before = made_by(path)
    begun = path.is_file() and path.stat().st_size > 0
    if begun and before != dict(made):
        other = " ".join(str(value) for value in before.values()) or "another labeller"
        raise LabelFileError(f"{path} was begun by {other}; give another --out, or remove that folder to begin anew")
    replace_text(path.with_suffix(".made.json"), json.dumps(dict(made)) + "\n")


def names_in(path: Path) -> set[str]:
    """Names that a file holds already; a line cut off by a crash is dropped from the file."""
    if not path.is_file():
        return set()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines = lines[:-1]
        replace_text(path, "".join(lines))
    return {json.loads(line)["name"] for line in lines}
