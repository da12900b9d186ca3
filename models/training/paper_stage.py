"""The paper's schedule over real corpora (arXiv 2509.00030): `signbind train all --preset paper --data NAME=DIR ...`.

Three experts are trained apart (signs on pseudo-glosses, letters on spelled words, lips on phonemes), then their eyes are
frozen and what they see is kept, then router and fusion, then the language model's adapter. A stage that was stopped
goes on where it was, one that is done is passed over; fusion is not begun before the sign expert reads more than
30 % of unseen tokens right. Under `torchrun` or `accelerate launch` all processes train together.

A dry run takes the same path with tiny random networks on the first samples, loads what it saved and translates a clip.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import load
from models.hearing import EXPERTS
from models.locate import Locator
from models.training import paper_experts, paper_features, paper_fusion, paper_language
from models.training.corpora.catalogue import opened
from models.training.corpora.sample import SPLITS, Corpus, Reading, Sample, Split, resplit
from models.training.loop import best_device
from models.training.paper_clips import Batches, Reader
from models.training.paper_plan import LEAST_ACCURACY, SHARES, Origins, Plan, Sizes
from models.training.paper_ranks import Ranks
from models.training.paper_targets import Lesson, gloss_vocabulary, labels_of, lessons
from models.training.paper_translate import PaperTranslator
from models.training.paper_vision import pretrained

LOCATOR = Path(__file__).parents[1] / "checkpoints" / "compact"
DRY_SAMPLES = 4  # of each corpus and split
DRY_MINUTES = 0.2
Figures = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What the user chose. `split_by`: "published", or whole signers or sources held out by hash."""

    origins: Origins = field(default_factory=Origins)
    split_by: str = "published"
    labels: Path | None = None
    seed: int = 0
    readers: int = 4
    sizes: Sizes = field(default_factory=Sizes)


def train(
    data: Sequence[str], out: Path, *, minutes: float, device: str | None = None, dry_run: bool = False,
    wanted: Wanted | None = None,
) -> Figures:  # fmt: skip
    """Trains into `out` within about `minutes` (reading the corpora not counted); figures of every stage.

    Raises CorpusError or ValueError with one sentence for what is missing. A dry run works in `out`/dry-run.
    """
    wanted = wanted or Wanted()
    ranks = Ranks.begin(best_device(device))
    try:
        if dry_run:
            out, minutes = out / "dry-run", min(minutes, DRY_MINUTES)
            ranks.told(lambda: shutil.rmtree(out, ignore_errors=True))
        plan = planned(data, out, minutes, ranks, wanted, dry_run)
        figures = scheduled(plan)
        return {**figures, "caption": ranks.told(lambda: _translated(plan))} if dry_run else figures
    finally:
        ranks.end()


def planned(
    data: Sequence[str], out: Path, minutes: float, ranks: Ranks, wanted: Wanted, dry_run: bool = False
) -> Plan:  # fmt: skip
    """Reads the corpora and makes the gloss vocabulary."""
    out.mkdir(parents=True, exist_ok=True)
    labels = labels_of(wanted.labels or out / "labels.jsonl")
    taught: dict[Split, list[Lesson]] = {split: [] for split in SPLITS}
    for corpus in opened(data):
        reading = corpus.read()
        for split, some in _by_split(corpus, reading, wanted, ranks).items():
            taught[split] += lessons(corpus, some[:DRY_SAMPLES] if dry_run else some, labels)
    if dry_run:
        taught["train"] = taught["train"] or taught["val"] or taught["test"]
    if not taught["train"]:
        raise ValueError("these corpora have no training samples here: give the lists of their train splits too")
    glosses = ranks.told(lambda: gloss_vocabulary(taught["train"], out / "glosses.txt"))
    sizes = Sizes.tiny() if dry_run else wanted.sizes
    reader = Reader(load(Locator, LOCATOR, "locate"), out / "runs" / "boxes", sizes.longest)
    origins = None if dry_run else wanted.origins
    return Plan(taught, glosses, reader, out, minutes, ranks, sizes, origins, wanted.seed, wanted.readers)


def _by_split(corpus: Corpus, reading: Reading, wanted: Wanted, ranks: Ranks) -> Mapping[Split, list[Sample]]:
    samples: Sequence[Sample] = reading.samples
    if wanted.split_by in ("signer", "source"):
        samples = resplit(samples, wanted.split_by)  # type: ignore[arg-type]  # it is one of the two
    found = {split: [sample for sample in samples if sample.split == split] for split in SPLITS}
    counts = ", ".join(f"{len(own)} {split}" for split, own in found.items())
    ranks.say(f"{corpus.name}: {counts}" + (f"; {reading.absent} listed without a clip" if reading.absent else ""))
    return found


def scheduled(plan: Plan) -> Figures:
    """All stages in their order; what was measured is kept in `out`/paper.json after each.

    Raises ValueError with one sentence for a model that a stage to come begins with and that cannot be had.
    """
    record = Record.read(plan.out / "paper.json")
    plan.ranks.told(lambda: check_origins(plan, record))
    stages: dict[str, Callable[[], Mapping[str, float]]] = {
        **{name: partial(paper_experts.train, plan, name) for name in EXPERTS},
        "features": partial(_encoded, plan, record),
        "router": partial(paper_fusion.train_router, plan),
        "fusion": partial(paper_fusion.train_fusion, plan),
        "language": partial(paper_language.train, plan),
    }
    for number, name in enumerate(SHARES, start=1):
        if name == "features":
            check_experts(plan, record)
        if record.has(plan, name):
            plan.ranks.say(f"{name} ({number} of {len(SHARES)}) is done: {record.done[name]}")
            continue
        plan.log(name, f"{name} ({number} of {len(SHARES)}) begins", 0.0)
        if name in EXPERTS:
            _forget_features(plan, record)
        record.done[name], record.minutes[name] = dict(stages[name]()), plan.minutes_of(name)
        plan.ranks.say(f"{name}: {record.done[name]}")
        if plan.ranks.first:
            record.write()
    return dict(record.done)


@dataclass
class Record:
    """What of a run is done: the figures of every stage, and the minutes that it was given; with more it goes on."""

    path: Path
    features_s: float = 0.0
    minutes: dict[str, float] = field(default_factory=dict)
    done: dict[str, dict[str, float]] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> Record:
        if not path.is_file():
            return Record(path)
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            return Record(path, held["features_s"], held["minutes"], held["done"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"expected the record of a run in {path}, but got {error!r}: remove it to measure anew"
            ) from error

    def has(self, plan: Plan, stage: str) -> bool:
        """Whether the stage had its time."""
        return self.minutes.get(stage, 0.0) >= plan.minutes_of(stage)

    def write(self) -> None:
        held = {"features_s": self.features_s, "minutes": self.minutes, "done": self.done}
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
        beside.replace(self.path)


def _forget_features(plan: Plan, record: Record) -> None:
    """Eyes that go on learning see other things: what they saw before counts no more."""
    record.features_s = record.minutes["features"] = 0.0
    if plan.ranks.first:
        shutil.rmtree(plan.runs / "features", ignore_errors=True)
    plan.ranks.wait()


def _encoded(plan: Plan, record: Record) -> Mapping[str, float]:
    record.features_s, figures = paper_features.encode(plan, record.features_s)
    return figures


def check_origins(plan: Plan, record: Record) -> None:
    """Opens every model that a stage to come begins with, so that one that is missing is told now and not hours later."""
    if plan.origins is None:
        return
    eyes = {plan.sizes.seeing(name).kind: name for name in EXPERTS if not record.has(plan, name)}
    for kind, name in eyes.items():
        pretrained(plan.sizes.seeing(name), plan.origins.of(kind))
    if not record.has(plan, "language"):
        paper_language.check(plan)


def check_experts(plan: Plan, record: Record) -> None:
    """ValueError where fusion would have nothing to hear; a dry run only says so."""
    accuracy = record.done.get("sign", {}).get("token_accuracy")
    if accuracy is None:
        plan.ranks.say("the sign expert was not measured on unseen clips; fusion is begun without that check")
    elif accuracy <= LEAST_ACCURACY:
        text = (
            f"the sign expert reads {100 * accuracy:.1f} % of unseen tokens right, and fusion needs more than "
            f"{100 * LEAST_ACCURACY:.0f} %: run it again with more --minutes, it goes on "
            "from here, or with more data into another --out"
        )
        if not plan.dry:
            raise ValueError(text)
        plan.ranks.say(f"dry run: {text}")


def _translated(plan: Plan) -> dict[str, Any]:
    """The first clip that can be read, through everything that was saved."""
    begun = time.monotonic()
    translator = PaperTranslator.load(plan.out, torch.device("cpu"))
    clip = next(Batches(plan.reader, lambda _: [], plan.sizes.steps).once(plan.lessons["train"]), None)
    if clip is None:
        raise ValueError("none of the dry run's clips can be read, so none is translated: see the lines above")
    lesson = clip.lesson
    caption, written = translator.translate(clip), translator.write(lesson.tokens)
    plan.ranks.say(
        f"{lesson.key}: {caption.text!r}, and its tokens written: {written!r} (random weights: neither means a thing)"
    )
    return {"clip": lesson.key, "text": caption.text, "written": written, "s": time.monotonic() - begun}
