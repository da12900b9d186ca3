"""What is kept of every sentence that was measured: enough to make the whole report again without running anything.

A file is lines of JSON: the run first, then a line a sentence. This file knows no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Self

from models.clock import STEP_MS
from models.hypothesis import Kind, Source
from models.vocabulary import ROUTES

LETTER_OF_ROUTE = "sfr"
"""A route a step, as one letter: s, f, r for the ROUTES in their order."""
assert [route[0] for route in ROUTES] == list(LETTER_OF_ROUTE), ROUTES
SIGNERS_OF_SYNTHETIC, OTHER_SIGNERS = 1, 2
"""Files from before this was kept have the first signers of `evaluate synthetic`; now they are others."""


@dataclass(frozen=True)
class Run:
    """Which weights ran on what. `weights` is the first part of a hash over their files, `machine` the processor's name,
    `signers` one of SIGNERS_OF_SYNTHETIC and OTHER_SIGNERS."""

    checkpoint: str
    weights: str
    seed: int
    backend: str
    threads: int
    torch: str
    machine: str
    began: str
    signers: int = SIGNERS_OF_SYNTHETIC


class Span(NamedTuple):
    """Something shown from `start_ms` to `end_ms` of its clip."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Truth:
    """What the clip shows: English, its tokens ("NAME", "#MARIA"), and every span; a route letter a step."""

    english: str
    tokens: tuple[str, ...]
    glosses: tuple[Span, ...]
    letters: tuple[Span, ...]
    phonemes: tuple[Span, ...]
    routes: str


class FoundToken(NamedTuple):
    """A token of a hypothesis; `kind` is sign or fingerspelling, `letters` the posterior of each letter (older files lack
    them)."""

    text: str
    kind: Kind
    start_ms: int
    end_ms: int
    posterior: float
    letters: tuple[float, ...] = ()


class FoundWord(NamedTuple):
    """A word of a final caption, P(it is right), and where it came from."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    source: Source


@dataclass(frozen=True)
class Segment:
    """One segment and its final caption. `alpha` has a value a step from `start_ms` on.

    The same segment written in other ways: `draft` without the language model, `as_seen` with its letters not verified,
    `with_names` with the session's vocabulary. `log_prob` is the language model's mean a word, in nats.
    """

    start_ms: int
    end_ms: int
    tokens: tuple[FoundToken, ...]
    phonemes: tuple[str, ...]
    alpha: tuple[float, ...]
    text: str
    confidence: float
    words: tuple[FoundWord, ...]
    log_prob: float
    draft: str
    as_seen: str
    with_names: str


class Shown(NamedTuple):
    """A caption that a viewer got; a final one without text takes the drafts back (files of `signers` 1 lack those).

    Kept are how much of the clip had been seen by then, and what passed (`wall_ms`) and was computed (`cpu_ms`, all threads)
    from the last frame's arrival until it was said.
    """

    segment: int
    text: str
    is_final: bool
    media_ms: int
    wall_ms: float
    cpu_ms: float


class Tick(NamedTuple):
    """One chunk: wall time of the whole step and of its parts, processor time of the whole."""

    step_ms: float
    cpu_ms: float
    sight_ms: float
    experts_ms: float
    fusion_ms: float


@dataclass(frozen=True)
class Sentence:
    """All that is known of one sentence; `rest_ms` is how long its last picture was held until the segment ended, `look`
    what is special about how its signer is seen ("close framing", "left-handed")."""

    number: int
    signer: int
    look: tuple[str, ...]
    truth: Truth
    routes: str
    segments: tuple[Segment, ...]
    shown: tuple[Shown, ...]
    ticks: tuple[Tick, ...]
    refine: tuple[tuple[float, float], ...]
    """Of each segment's language model: wall and processor time in ms."""
    vocabulary: tuple[str, ...]
    rest_ms: int

    @property
    def caption(self) -> str:
        """All final captions of the clip, as they stand one after the other."""
        return " ".join(segment.text for segment in self.segments if segment.text)

    @property
    def confidence(self) -> float:
        """The least sure caption decides; 0 where nothing was said."""
        return min((segment.confidence for segment in self.segments if segment.text), default=0.0)

    @property
    def alpha(self) -> list[float]:
        return [value for segment in self.segments for value in segment.alpha]

    def found_glosses(self) -> list[str]:
        return [token.text for segment in self.segments for token in segment.tokens if token.kind == "sign"]

    def found_letters(self) -> list[str]:
        """Letters as the search read them, before names are verified."""
        words = [t.text for segment in self.segments for t in segment.tokens if t.kind == "fingerspelling"]
        return [letter for word in words for letter in word]

    def found_phonemes(self) -> list[str]:
        return [phoneme for segment in self.segments for phoneme in segment.phonemes]

    def signing_ms(self) -> tuple[int, int]:
        """When the signer truly began and ended; the whole clip where nobody signs."""
        signing = [step for step, route in enumerate(self.truth.routes) if route != "r"]
        if not signing:
            return 0, len(self.truth.routes) * STEP_MS
        return signing[0] * STEP_MS, (signing[-1] + 1) * STEP_MS


@dataclass(frozen=True)
class Records:
    """A run and its sentences."""

    run: Run
    sentences: tuple[Sentence, ...]

    @classmethod
    def read(cls, path: Path, option: str = "--records") -> Self:
        """Raises ValueError with one sentence when the file is none of ours; a last line that was cut off is left out."""
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
            held = [json.loads(line) for line in lines[:-1]]
            return cls(Run(**held[0]["run"]), tuple(sentence_of(row) for row in held[1:]))
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f"expected the records of `signbind evaluate report` in {path}, got {type(error).__name__} {error}: "
                f"name another file with {option}"
            ) from error


def line_of(item: Run | Sentence) -> str:
    """One line of a file of records."""
    held = {"run": asdict(item)} if isinstance(item, Run) else asdict(item)
    return json.dumps(held, ensure_ascii=False, separators=(",", ":")) + "\n"


def sentence_of(row: Mapping[str, Any]) -> Sentence:
    """The sentence of one line; KeyError or TypeError where it is none."""
    plain = {field.name: row[field.name] for field in fields(Sentence)}
    truth = row["truth"]
    spans = {name: tuple(Span(*span) for span in truth[name]) for name in ("glosses", "letters", "phonemes")}
    return Sentence(**plain | {
        "truth": Truth(truth["english"], tuple(truth["tokens"]), **spans, routes=truth["routes"]),
        "segments": tuple(_segment_of(segment) for segment in row["segments"]),
        "shown": tuple(Shown(*shown) for shown in row["shown"]),
        "ticks": tuple(Tick(*tick) for tick in row["ticks"]),
        "refine": tuple((wall, cpu) for wall, cpu in row["refine"]),
        "vocabulary": tuple(row["vocabulary"]), "look": tuple(row["look"]),
    })  # fmt: skip


def _token_of(row: Sequence[Any]) -> FoundToken:
    text, kind, start_ms, end_ms, posterior, *letters = row
    return FoundToken(text, kind, start_ms, end_ms, posterior, tuple(letters[0]) if letters else ())


def _segment_of(row: dict[str, Any]) -> Segment:
    return Segment(**row | {
        "tokens": tuple(_token_of(token) for token in row["tokens"]),
        "words": tuple(FoundWord(*word) for word in row["words"]),
        "phonemes": tuple(row["phonemes"]), "alpha": tuple(row["alpha"]),
    })  # fmt: skip


def route_letters(routes: Iterable[int]) -> str:
    """Route numbers, one a step, as letters."""
    return "".join(LETTER_OF_ROUTE[route] for route in routes)


def runs_of(routes: Sequence[str]) -> list[tuple[str, int, int]]:
    """(route letter, first step, step after the last) of every run of equal routes."""
    runs, at = [], 0
    for route, group in groupby(routes):
        length = len(list(group))
        runs.append((route, at, at + length))
        at += length
    return runs
