"""Labels for clips that have only an English sentence: pseudo-glosses, spelled words, phonemes -> labels.jsonl.

The glosses come by rules, offline (`label_rules.py`), by the synthetic signer's lexicon, or from an OpenAI-compatible
server (`label_endpoint.py`). A sample whose target does not fit into its clip, or whose answer is no gloss, is refused by
name, in refused.jsonl, and never reaches training.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from models.clock import FRAME_RATE_HZ
from models.pronunciation import phonemes_of
from models.synthetic.sentences import english_to_glosses
from models.training.gloss_corpora import clean_english
from models.training.label_answers import AnswerError
from models.training.label_endpoint import PROMPT, Endpoint, EndpointGlosser, Progress
from models.training.label_files import claim, names_in
from models.training.labels import Glosser, Label, LabelError, checked

By = Literal["rules", "lexicon"]


@dataclass(frozen=True)
class Sample:
    """A clip's name, its sentence, and its length in steps where that is known."""

    name: str
    english: str
    steps: int | None


def samples(data: Path) -> Iterator[Sample]:
    """How2Sign's sentences in `data`/text, the validation ones with their times; or those of a file `data` of lines
    `clip<TAB>English`."""
    train = data if data.is_file() else data / "text" / "how2sign.train.tsv"
    if not train.is_file():
        raise ValueError(f"expected {train}, but there is no such file: put `clip<TAB>English` lines there")
    for number, line in enumerate(train.read_text(encoding="utf-8").splitlines(), 1):
        name, _, english = line.partition("\t")
        if not english.strip():
            raise ValueError(f"{train}, line {number}: expected `clip<TAB>English`, got {line[:80]!r}; mend the line")
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
    try:
        tokens = tuple(glosser(english))
    except AnswerError as error:
        raise AnswerError(f"{sample.name}: {error}") from error
    return checked(Label(sample.name, english, tokens, phonemes_of(english)), sample.steps)


def corpus_samples(named: Iterable[str]) -> list[Sample]:
    """The sentences of published corpora (`NAME=DIR`, see `corpora.catalogue`) that have no glosses of their own."""
    from models.training.corpora.catalogue import opened  # its readers need more than labels do

    return [
        Sample(one.name, one.text, None if one.seconds is None else int(one.seconds * FRAME_RATE_HZ))
        for corpus in opened(named)
        for one in corpus.read().samples
        if one.text.strip() and not one.glosses
    ]


def sentences_of(data: Sequence[str]) -> list[Sample]:
    """`samples` of one path, or `corpus_samples` of all `NAME=DIR`; raises ValueError for a mixture."""
    named = [one for one in data if "=" in one and not Path(one).exists()]
    if len(named) == len(data):
        return corpus_samples(named)
    if len(data) > 1:
        raise ValueError(f"expected one file or folder, or corpora as NAME=DIR, got {' '.join(data)}: label them apart")
    return list(samples(Path(data[0])))


def train(
    data: Path, out: Path, *, minutes: float = 60.0, seed: int = 0, endpoint: Endpoint | None = None, by: By = "rules"
) -> dict[str, float]:
    """`make` of the sentences in `data`. `seed` is not used: rules draw nothing."""
    del seed
    return make(samples(data), out, minutes=minutes, endpoint=endpoint, by=by)


def make(
    sentences: Iterable[Sample],
    out: Path,
    *,
    minutes: float,
    endpoint: Endpoint | None = None,
    by: By = "rules",
    progress: Progress | None = None,
) -> dict[str, float]:
    """Writes `out`/labels.jsonl and `out`/refused.jsonl; stops after `minutes` and goes on where it was next time.

    With an `endpoint` it is the labeller, which tells `progress`, else the rules named by `by`. Gives the counts of labels
    and refusals, and what was asked of the endpoint in this run.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept, refused = out / "labels.jsonl", out / "refused.jsonl"
    claim(kept, {"labeller": by} if endpoint is None else _made_by(endpoint))
    done = names_in(kept) | names_in(refused)
    waiting = [sample for sample in sentences if sample.name not in done]
    end = time.monotonic() + 60 * minutes
    figures: dict[str, float] = {}
    if endpoint is None:
        _write(waiting, rules(by), out, end)
    else:
        figures = _asked(waiting, endpoint, out, end, progress)
    return {"labels": len(names_in(kept)), "refused": len(names_in(refused)), **figures}


def _made_by(endpoint: Endpoint) -> dict[str, object]:
    """The address is left out: a model is the same elsewhere."""
    prompt = endpoint.prompt or PROMPT.read_text(encoding="utf-8").strip()
    return {"labeller": "endpoint", "model": endpoint.model, "prompt": hashlib.sha256(prompt.encode()).hexdigest()[:12]}


def rules(by: By) -> Glosser:
    if by == "lexicon":
        return english_to_glosses
    from models.training.label_rules import glosses  # its dictionary takes a moment to load

    return glosses


def _asked(
    waiting: list[Sample], endpoint: Endpoint, out: Path, end: float, progress: Progress | None
) -> dict[str, float]:
    """Fetches first, then writes what is known; an EndpointError comes when all that was answered is written."""
    with EndpointGlosser(endpoint, out / "endpoint_cache.jsonl") as glosser:
        try:
            english = (clean_english(sample.english) for sample in waiting)
            glosser.fetch(english, max(0.0, end - time.monotonic()), progress)
        finally:
            _write(_answered(waiting, glosser), glosser, out)
        return asdict(glosser.spent)


def _answered(waiting: list[Sample], glosser: EndpointGlosser) -> Iterator[Sample]:
    """The samples for which the endpoint need not be asked again, refusals included."""
    for sample in waiting:
        try:
            known = glosser.known(clean_english(sample.english)) is not None
        except AnswerError:
            known = True
        if known:
            yield sample


def _write(waiting: Iterable[Sample], glosser: Glosser, out: Path, end: float = float("inf")) -> None:
    with ExitStack() as stack:
        good = stack.enter_context((out / "labels.jsonl").open("a", encoding="utf-8"))
        bad = stack.enter_context((out / "refused.jsonl").open("a", encoding="utf-8"))
        for sample in waiting:
            if time.monotonic() >= end:
                return
            try:
                good.write(json.dumps(label(sample, glosser).record()) + "\n")
            except LabelError as error:
                bad.write(json.dumps({"name": sample.name, "why": str(error)}) + "\n")
