"""What of the records concerns time: delays of words, flicker, time after the last sign, and what each stage takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from models.clock import CHUNK_MS, STEP_MS
from models.evaluation.report.delays import (
    Delays,
    Version,
    average_lagging,
    average_token_delay,
    erased,
    finals_alone,
    first_shown,
    length_adaptive_average_lagging,
    settled,
)
from models.evaluation.report.records import Sentence, Tick

READINGS: dict[str, tuple[str, Callable[[Sequence[Version]], Delays]]] = {
    "first shown": ("when a word first stood on the screen, drafts included", first_shown),
    "settled": ("when a word, and all before it, changed no more", settled),
    "final captions alone": ("for a viewer who is shown no drafts", finals_alone),
}


@dataclass(frozen=True)
class DelayRow:
    """Means over sentences, in ms; `_ca` counts computation (processor time of one undisturbed core)."""

    reading: str
    meaning: str
    al: float
    laal: float
    atd: float
    al_ca: float
    laal_ca: float
    atd_ca: float


@dataclass(frozen=True)
class Spread:
    """Quantiles of a time in ms, and of how many."""

    p50: float
    p95: float
    count: int


@dataclass(frozen=True)
class Stage:
    """One stage by the wall (`wall`) and, where it could be told apart, in processor time."""

    name: str
    meaning: str
    wall: Spread
    cpu: Spread | None


@dataclass(frozen=True)
class Flicker:
    """Normalised erasure (words taken back over words in the end) of drafts alone and with the final rewriting; versions of
    a caption before its final one."""

    drafts: float
    whole: float
    drafts_a_caption: float


def versions(sentence: Sentence) -> list[Version]:
    """All that a viewer saw of a clip: finished captions and the running draft, times from the first sign on."""
    begun_ms = sentence.signing_ms()[0]
    texts: dict[int, str] = {}
    found = []
    for shown in sentence.shown:
        texts[shown.segment] = shown.text
        words = tuple(" ".join(texts[segment] for segment in sorted(texts)).split())
        media_ms = max(0, shown.media_ms - begun_ms)
        found.append(Version(words, media_ms, media_ms + shown.cpu_ms))
    return found


def delay_rows(sentences: Sequence[Sentence]) -> list[DelayRow]:
    """AL, LAAL and ATD of all READINGS; sentences without a caption have no delay and are left out."""
    return [_delay_row(name, *reading, sentences) for name, reading in READINGS.items()]


def _delay_row(
    name: str, meaning: str, reading: Callable[[Sequence[Version]], Delays], sentences: Sequence[Sentence]
) -> DelayRow:
    rows = [row for sentence in sentences if (row := _delays(sentence, reading)) is not None]
    means = [fmean(column) for column in zip(*rows, strict=True)] or [0.0] * 6
    return DelayRow(name, meaning, *means)


def _delays(sentence: Sentence, reading: Callable[[Sequence[Version]], Delays]) -> tuple[float, ...] | None:
    seen = versions(sentence)
    if not sentence.caption or not seen or not seen[-1].words:
        return None
    delays = reading(seen)
    begun_ms, ended_ms = sentence.signing_ms()
    source_ms, words = float(ended_ms - begun_ms), max(1, len(sentence.truth.english.split()))
    lagging = [
        figure(times, source_ms, words)
        for times in (delays.media_ms, delays.elapsed_ms)
        for figure in (average_lagging, length_adaptive_average_lagging)
    ]
    plain = average_token_delay(Delays(delays.media_ms, delays.media_ms))
    return lagging[0], lagging[1], plain, lagging[2], lagging[3], average_token_delay(delays)


def flicker(sentences: Sequence[Sentence]) -> Flicker:
    """Over all segments that showed a word; every segment flickers by itself. A withdrawn draft is words taken back."""
    drafts = whole = words = draft_words = shown = captions = 0
    for sentence in sentences:
        for number in range(len(sentence.segments)):
            own = [Version(tuple(s.text.split()), s.media_ms, 0) for s in sentence.shown if s.segment == number]
            if not any(version.words for version in own):
                continue
            captions, shown = captions + 1, shown + len(own) - 1
            whole, words = whole + erased(own), words + len(own[-1].words)
            if len(own) > 1:
                drafts, draft_words = drafts + erased(own[:-1]), draft_words + len(own[-2].words)
    return Flicker(drafts / max(1, draft_words), whole / max(1, words), shown / max(1, captions))


def after_last_sign(sentences: Sequence[Sentence]) -> list[float]:
    """Of every sentence with a caption: ms from the true end of signing to its last final caption, computation counted."""
    return [
        finals[-1].media_ms + finals[-1].cpu_ms - sentence.signing_ms()[1]
        for sentence in sentences if (finals := [shown for shown in sentence.shown if shown.is_final and shown.text])
    ]  # fmt: skip


def to_first_word(sentences: Sequence[Sentence]) -> list[float]:
    """Of every sentence with a caption: ms from the first sign's beginning to the first word on the screen."""
    first = [(next((one for one in s.shown if one.text), None), s.signing_ms()[0]) for s in sentences]
    return [shown.media_ms + shown.cpu_ms - begun_ms for shown, begun_ms in first if shown is not None]


def spread(values: Sequence[float]) -> Spread:
    """Quantiles; zeros where there is nothing."""
    if not values:
        return Spread(0.0, 0.0, 0)
    low, high = np.quantile(values, (0.5, 0.95))
    return Spread(float(low), float(high), len(values))


def running_ticks(sentence: Sentence) -> list[tuple[int, Tick]]:
    """(number, tick) of the chunks in which a segment ran for more than its first chunk: all networks, once."""
    running = set()
    for segment in sentence.segments:
        first = segment.start_ms // CHUNK_MS
        running |= set(range(first + 2, first + len(segment.alpha) * STEP_MS // CHUNK_MS))
    return [(number, tick) for number, tick in enumerate(sentence.ticks) if number in running]


def stages(sentences: Sequence[Sentence]) -> list[Stage]:
    """Time of one stream's chunk (320 ms of video) by stage, and of a caption's language model."""
    ticks = [tick for sentence in sentences for _, tick in running_ticks(sentence)]
    refine = [both for sentence in sentences for both in sentence.refine]
    drafts = _draft_times(sentences)

    def wall(name: str) -> Spread:
        return spread([getattr(tick, name) for tick in ticks])

    return [
        Stage("sight", "find the signer, cut and encode hands and mouth of 8 frames", wall("sight_ms"), None),
        Stage("experts", "router and the three experts", wall("experts_ms"), None),
        Stage("fusion", "gate and fusion", wall("fusion_ms"), None),
        Stage("whole step", "all of these, the CTC search and segments", wall("step_ms"),
              spread([tick.cpu_ms for tick in ticks])),
        Stage("draft", "tokens as readable text, names verified", spread([d[0] for d in drafts]),
              spread([d[1] for d in drafts])),
        Stage("language model", "the sentence of an ended segment, one alone", spread([both[0] for both in refine]),
              spread([both[1] for both in refine])),
    ]  # fmt: skip


def _draft_times(sentences: Sequence[Sentence]) -> list[tuple[float, float]]:
    """Wall and processor time of drafts: what passed after the step that they came from."""
    times = []
    for sentence in sentences:
        for shown in sentence.shown:
            tick = sentence.ticks[shown.media_ms // CHUNK_MS - 1]
            if not shown.is_final:
                times.append((shown.wall_ms - tick.step_ms, shown.cpu_ms - tick.cpu_ms))
    return times
