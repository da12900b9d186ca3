"""Fits the confidence of a checkpoint on captions that were read with it: runs/confidence*.jsonl -> confidence.json.

A line a caption, written by `signbind evaluate synthetic | answers | silence --record FILE`, sentences, single signs and people
who do not sign in files of their own:
{"caption": {feature: value}, "right": 0 or 1, "words": [{"features": {feature: value}, "right": 0 or 1}]}
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.confidence import Calibrator, Logistic, auroc, bent, expected_calibration_error, fit, fit_bend

FOLDS = 5


@dataclass(frozen=True)
class Labelled:
    """One caption's features and words with what turned out to be right."""

    caption: Mapping[str, float]
    right: int
    words: tuple[tuple[Mapping[str, float], int], ...]


def read(path: Path) -> list[Labelled]:
    """Raises ValueError naming the line that is not as the module says."""
    if not path.is_file():
        raise ValueError(
            f"expected labelled captions at {path}; write them with `signbind evaluate synthetic --record FILE` first"
        )
    labelled = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            held = json.loads(line)
            words = tuple((word["features"], int(word["right"])) for word in held["words"])
            labelled.append(Labelled(held["caption"], int(held["right"]), words))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"line {number} of {path} is no labelled caption ({error!r}): write the file again"
            ) from error
    return labelled


def train(data: Path, out: Path, *, minutes: float = 1.0, seed: int = 0) -> dict[str, float]:
    """Writes `out`/confidence.json; figures are from 5-fold cross-validation by caption, so none judges itself.

    `data` is a jsonl or a folder, of which all confidence*.jsonl count; `minutes` is not used, it takes seconds.
    """
    files = sorted(data.glob("confidence*.jsonl")) if data.is_dir() else []
    labelled = [one for file in files or [data / "confidence.jsonl" if data.is_dir() else data] for one in read(file)]
    random.Random(seed).shuffle(labelled)
    figures = _measure(labelled)
    word, caption, bend = _fitted(labelled)
    out.mkdir(parents=True, exist_ok=True)
    Calibrator(word, caption, figures, bend).save(out / "confidence.json")
    return figures


def _fitted(labelled: Sequence[Labelled]) -> tuple[Logistic, Logistic, Logistic]:
    """The models of words and captions, and what bends the captions' chances."""
    words = [word for caption in labelled for word in caption.words]
    chances = [0.0] * len(labelled)
    for fold in range(FOLDS):
        model = _captions([one for index, one in enumerate(labelled) if index % FOLDS != fold])
        for index in range(fold, len(labelled), FOLDS):
            chances[index] = model.probability(labelled[index].caption)
    bend = fit_bend(chances, [one.right for one in labelled])
    return fit([features for features, _ in words], [right for _, right in words]), _captions(labelled), bend


def _captions(labelled: Sequence[Labelled]) -> Logistic:
    return fit([one.caption for one in labelled], [one.right for one in labelled])


def _measure(labelled: Sequence[Labelled]) -> dict[str, float]:
    """ECE and AUROC of words and captions, each judged by a model that did not see its caption."""
    judged: dict[str, tuple[list[float], list[int]]] = {"word": ([], []), "caption": ([], [])}
    for fold in range(FOLDS):
        word, caption, bend = _fitted([one for index, one in enumerate(labelled) if index % FOLDS != fold])
        for one in labelled[fold::FOLDS]:
            judged["caption"][0].append(bent(bend, caption.probability(one.caption)))
            judged["caption"][1].append(one.right)
            judged["word"][0].extend(word.probability(features) for features, _ in one.words)
            judged["word"][1].extend(right for _, right in one.words)
    figures: dict[str, float] = {}
    for name, (confidence, right) in judged.items():
        figures[f"{name}_ece"] = expected_calibration_error(confidence, right)
        figures[f"{name}_auroc"] = auroc(confidence, right)
        figures[f"{name}_right"] = sum(right) / len(right)
        figures[f"{name}_count"] = float(len(right))
    return figures
