"""One sample of any corpus, and what every reader promises.

A reader checks its folder when it reads, and says in one sentence what is missing: which file, under which name, and
where the corpus is had. Clips that are listed but not there (videos that were withdrawn, say) are counted, not fatal,
unless none is there at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
VAL_SHARE = TEST_SHARE = 0.05
VIDEO_ENDINGS = (".mp4", ".webm", ".mkv", ".mov", ".avi")


class CorpusError(ValueError):
    """A corpus that is not there or not whole; the text says in one sentence how to mend it."""


@dataclass(frozen=True)
class Sample:
    """A clip and what is known of it.

    `clip` is a video, cut to `start_s`..`end_s` (seconds; None: to its end), or a folder of numbered pictures with
    `frame_rate_hz`. `glosses` are tokens as everywhere here ("NAME", "#MARIA" for a spelled word), `times_s` their
    spans from the sample's own start; `letters` is what is spelled, A-Z and 0-9. `source` is the recording that the
    sample is from: a video, an episode, a broadcast.
    """

    name: str
    clip: Path
    split: Split
    text: str = ""
    start_s: float = 0.0
    end_s: float | None = None
    glosses: tuple[str, ...] = ()
    times_s: tuple[tuple[float, float], ...] = ()
    letters: str = ""
    signer: str = ""
    source: str = ""
    frame_rate_hz: float | None = None

    def __post_init__(self) -> None:
        assert self.end_s is None or self.end_s > self.start_s, self
        assert not self.times_s or len(self.times_s) == len(self.glosses), self

    @property
    def seconds(self) -> float | None:
        """Its length, where that is known without a look at the video."""
        return None if self.end_s is None else self.end_s - self.start_s


@dataclass(frozen=True)
class Reading:
    """All samples whose clips are there, and how many were listed without."""

    samples: tuple[Sample, ...]
    absent: int = 0

    def of(self, split: Split) -> list[Sample]:
        return [sample for sample in self.samples if sample.split == split]


class Corpus(Protocol):
    """A reader: `signed` names the sign language (ASL, BSL, DGS), `written` the language of the text (en, de)."""

    @property
    def name(self) -> str: ...
    @property
    def signed(self) -> str: ...
    @property
    def written(self) -> str: ...
    @property
    def had_at(self) -> str: ...

    def read(self) -> Reading:
        """Everything in its folder; raises CorpusError."""
        ...


def found(corpus: Corpus, listed: Iterable[Sample], where: str) -> Reading:
    """The samples whose clips exist; CorpusError if there is none, with `where` saying how a clip should be called."""
    samples, absent = list[Sample](), 0
    known: dict[Path, bool] = {}
    for sample in listed:
        if sample.clip not in known:
            known[sample.clip] = sample.clip.exists()
        if known[sample.clip]:
            samples.append(sample)
        else:
            absent += 1
    if not samples:
        raise missing(corpus, where)
    return Reading(tuple(samples), absent)


def missing(corpus: Corpus, what: str) -> CorpusError:
    """`what` names a file and its place."""
    return CorpusError(f"{corpus.name}: expected {what}, but there is none: it is had at {corpus.had_at}")


def resplit(samples: Sequence[Sample], by: Literal["signer", "source"]) -> list[Sample]:
    """Other splits than the published ones: whole signers or whole recordings are held out, by a hash of their names,
    so that a sample never moves when others come or go. Samples without the name keep their split."""

    def moved(sample: Sample) -> Sample:
        group = getattr(sample, by)
        return replace(sample, split=split_by(group)) if group else sample

    return [moved(sample) for sample in samples]


def split_by(group: str) -> Split:
    """The split of a signer or recording that the corpus itself puts in none: 5 % val, 5 % test, by hash."""
    share = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    if share < VAL_SHARE:
        return "val"
    return "test" if share < VAL_SHARE + TEST_SHARE else "train"


def spelled(text: str) -> str:
    """What of a label can be spelled with the fingers here: A-Z and 0-9."""
    return "".join(letter for letter in text.upper() if letter.isascii() and letter.isalnum())


def within(folder: Path, name: str, depth: int) -> list[Path]:
    """All paths of that name (or pattern) at most `depth` folders down, through links too, and never into folders of
    thousands of pictures."""
    return sorted(path for levels in range(depth + 1) for path in folder.glob("/".join(["*"] * levels + [name])))


def video_of(folders: Sequence[Path], stem: str) -> Path:
    """The video called `stem` in the first folder that has it; the likeliest path where none has."""
    for folder in folders:
        for ending in VIDEO_ENDINGS:
            if (path := folder / f"{stem}{ending}").is_file():
                return path
    return folders[0] / f"{stem}{VIDEO_ENDINGS[0]}"
