"""Labels for clips that have only an English sentence: pseudo-glosses, spelled words, phonemes -> labels.jsonl.

The glosses come by rules, offline, or from an OpenAI-compatible server (`label_endpoint.py`). A sample whose target does
not fit into its clip is refused by name, in refused.jsonl, and never reaches training.
"""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from models.clock import FRAME_RATE_HZ
from models.pronunciation import pronounce
from models.synthetic.sentences import english_to_glosses
from models.training.gloss_corpora import clean_english
from models.training.label_endpoint import Endpoint, EndpointGlosser
from models.training.labels import Glosser, Label, LabelError, checked

_WORD = re.compile(r"[A-Za-z0-9']+")


@dataclass(frozen=True)
class Sample:
    """A clip's name, its sentence, and its length in steps where that is known."""

    name: str
    english: str
    steps: int | None


def samples(data: Path) -> Iterator[Sample]:
    """How2Sign's sentences in `data`/text, the validation ones with their times."""
    train = data / "text" / "how2sign.train.tsv"
    if not train.is_file():
        raise ValueError(f"expected {train}, but there is no such file: put `clip<TAB>English` lines there")
    for line in train.read_text(encoding="utf-8").splitlines():
        name, _, english = line.partition("\t")
        yield Sample(name, english, None)
    timed = data / "text" / "how2sign_realigned_val.csv"
    if timed.is_file():
        with timed.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                seconds = float(row["END_REALIGNED"]) - float(row["START_REALIGNED"])
                yield Sample(row["SENTENCE_NAME"], row["SENTENCE"], int(seconds * FRAME_RATE_HZ))


def label(sample: Sample, glosser: Glosser) -> Label:
    """All targets of a sample; raises LabelError when they cannot be learned."""
    english = clean_english(sample.english)
    words = [word for word in _WORD.findall(english) if word.strip("'")]
    phonemes = tuple(phoneme for word in words for phoneme in pronounce(word))
    return checked(Label(sample.name, english, tuple(glosser(english)), phonemes), sample.steps)


def train(
    data: Path, out: Path, *, minutes: float = 60.0, seed: int = 0, endpoint: Endpoint | None = None
) -> dict[str, float]:
    """Writes `out`/labels.jsonl and `out`/refused.jsonl; stops after `minutes` and goes on where it was next time.

    Gives the counts of labels and refusals. `seed` is not used: rules draw nothing.
    """
    del seed
    out.mkdir(parents=True, exist_ok=True)
    kept, refused = out / "labels.jsonl", out / "refused.jsonl"
    done = _names(kept) | _names(refused)
    end = time.monotonic() + 60 * minutes
    with ExitStack() as stack:
        glosser: Glosser = english_to_glosses
        if endpoint is not None:
            glosser = stack.enter_context(EndpointGlosser(endpoint, out / "endpoint_cache.jsonl"))
        good = stack.enter_context(kept.open("a", encoding="utf-8"))
        bad = stack.enter_context(refused.open("a", encoding="utf-8"))
        for sample in samples(data):
            if sample.name in done:
                continue
            if time.monotonic() >= end:
                break
            try:
                good.write(json.dumps(label(sample, glosser).record()) + "\n")
            except LabelError as error:
                bad.write(json.dumps({"name": sample.name, "why": str(error)}) + "\n")
    return {"labels": float(len(_names(kept))), "refused": float(len(_names(refused)))}


def _names(path: Path) -> set[str]:
    """Names that a file holds already; a line cut off by a crash is dropped from it."""
    if not path.is_file():
        return set()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        path.write_text("".join(lines := lines[:-1]), encoding="utf-8")
    return {json.loads(line)["name"] for line in lines}
