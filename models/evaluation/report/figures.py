"""Records -> every figure of the report, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.evaluation.report.edits import gloss_edits, letter_edits, phoneme_edits, steps_right
from models.evaluation.report.faults import Signature, signatures
from models.evaluation.report.gates import Alarm, Gate, Routes, alarms, gate_of, routes_of
from models.evaluation.report.records import Records, Sentence
from models.evaluation.report.spelled import RareWords, rare_words
from models.evaluation.report.sureness import Sureness, of_captions, of_words
from models.evaluation.report.texts import Interval, TextScore, resampled, sentence_chrf, text_scores
from models.evaluation.report.timing import (
    DelayRow,
    Flicker,
    Spread,
    Stage,
    after_last_sign,
    delay_rows,
    flicker,
    spread,
    stages,
    to_first_word,
)
from models.evaluation.report.words import WRONG, Found, NameWay, WrongName, name_ways, word_classes, wrong_names
from models.evaluation.scores import bleu, caption_right

USUAL = "none of these"
"""The look of signers about whom nothing is unusual."""


@dataclass(frozen=True)
class Recognition:
    """Error rates and shares in 0..1 with intervals; None where there was nothing to find."""

    gloss_wer: Interval
    letter_accuracy: Interval | None
    phoneme_error: Interval | None
    route_accuracy: Interval


@dataclass(frozen=True)
class GroupRow:
    """One signer, or all who are seen alike: BLEU-4 and mean chrF in 0..100, the rest shares in 0..1 (None where there was
    nothing to find)."""

    name: str
    look: tuple[str, ...]
    sentences: int
    bleu4: float
    chrf: float
    right: float
    gloss_wer: float
    letter_accuracy: float | None
    phoneme_error: float | None
    route_accuracy: float


@dataclass(frozen=True)
class Figures:
    """All that the page tells; see the types for units."""

    sentences: int
    distinct: int
    captions: int
    silent: int
    right: Interval
    texts: list[TextScore]
    draft_bleu4: float
    recognition: Recognition
    signers: list[GroupRow]
    looks: list[GroupRow]
    names: list[NameWay]
    wrong_names: list[WrongName]
    rare_words: list[RareWords]
    words: dict[str, Found]
    draft_words: dict[str, Found]
    delays: list[DelayRow]
    flicker: Flicker
    after_last_sign: Spread
    to_first_word: Spread
    stages: list[Stage]
    caption_sureness: Sureness | None
    word_sureness: Sureness | None
    gate: Gate
    routes: Routes
    alarms: list[Alarm]
    signatures: list[Signature]

    def wrong(self, kind: str) -> int:
        """How many wrong names there are of one kind."""
        return sum(name.kind == kind for name in self.wrong_names)

    def plain(self) -> dict[str, Any]:
        """The figures that a line of JSON holds: without curves, sentences and signers."""
        read = self.recognition
        return {
            "sentences": self.sentences, "distinct_sentences": self.distinct, "captions": self.captions,
            "captions_right": self.right.value, **{score.name.lower(): score.score for score in self.texts},
            "signatures": {score.name: score.signature for score in self.texts}, "draft_bleu-4": self.draft_bleu4,
            "gloss_wer": read.gloss_wer.value, "letter_accuracy": _value(read.letter_accuracy),
            "phoneme_error_rate": _value(read.phoneme_error), "route_accuracy": read.route_accuracy.value,
            "names": {way.way: {"recall": way.recall, "precision": way.precision} for way in self.names},
            "wrong_names": {kind: self.wrong(kind) for kind in WRONG},
            "letters_of_words": {row.group: row.letters for row in self.rare_words},
            "words_recall": {name: found.recall for name, found in self.words.items()},
            "delays_ms": {row.reading: _times(row) for row in self.delays}, "flicker": asdict(self.flicker),
            "after_last_sign_ms": asdict(self.after_last_sign), "to_first_word_ms": asdict(self.to_first_word),
            "stages_ms": {stage.name: {"p50": stage.wall.p50, "p95": stage.wall.p95} for stage in self.stages},
            "caption_confidence": _sure(self.caption_sureness), "word_confidence": _sure(self.word_sureness),
            "alpha": {"mean": self.gate.mean, "spread": self.gate.spread, **self.gate.by_route},
            "gloss_wer_by_look": {row.name: row.gloss_wer for row in self.looks},
            "alarms": [alarm.name for alarm in self.alarms if alarm.rings],
            "failures": {one.name: one.count for one in self.signatures},
        }  # fmt: skip


def figures_of(records: Records) -> Figures:
    """Raises ValueError when there is no sentence."""
    sentences = records.sentences
    if not sentences:
        raise ValueError("the records hold no sentence: ask for some with --sentences")
    found, truth = [s.caption for s in sentences], [s.truth.english for s in sentences]
    drafts = [" ".join(segment.draft for segment in s.segments) for s in sentences]
    gate, routes = gate_of(sentences), routes_of(sentences)
    return Figures(
        sentences=len(sentences), distinct=len(set(truth)),
        captions=sum(bool(segment.text) for s in sentences for segment in s.segments),
        silent=sum(not caption for caption in found),
        right=_over(sentences, lambda s: (caption_right(s.caption, s.truth.english), 1)),
        texts=text_scores(found, truth), draft_bleu4=bleu(drafts, truth)[0], recognition=recognition(sentences),
        signers=signer_rows(sentences), looks=look_rows(sentences), names=name_ways(sentences),
        wrong_names=[wrong for s in sentences for wrong in wrong_names(s)],
        rare_words=rare_words(sentences), words=word_classes(list(zip(found, truth, strict=True))),
        draft_words=word_classes(list(zip(drafts, truth, strict=True))),
        delays=delay_rows(sentences), flicker=flicker(sentences), after_last_sign=spread(after_last_sign(sentences)),
        to_first_word=spread(to_first_word(sentences)), stages=stages(sentences),
        caption_sureness=of_captions(sentences), word_sureness=of_words(sentences), gate=gate, routes=routes,
        alarms=alarms(gate, [value for s in sentences for value in s.alpha], routes), signatures=signatures(sentences),
    )  # fmt: skip


def recognition(sentences: Sequence[Sentence]) -> Recognition:
    """What the networks read, before any language."""
    errors, letters, phonemes = (_over(sentences, edits) for edits in (gloss_edits, letter_edits, phoneme_edits))
    return Recognition(errors, _inverse(letters) if _any(sentences, letter_edits) else None,
                       phonemes if _any(sentences, phoneme_edits) else None, _over(sentences, steps_right))  # fmt: skip


def signer_rows(sentences: Sequence[Sentence]) -> list[GroupRow]:
    """A row a signer, by number."""
    signers = sorted({s.signer for s in sentences})
    return [_group_row(str(signer), [s for s in sentences if s.signer == signer]) for signer in signers]


def look_rows(sentences: Sequence[Sentence]) -> list[GroupRow]:
    """A row a look, and one for those that have none; a sentence may stand in several."""
    groups = {look: [s for s in sentences if look in s.look] for look in sorted({x for s in sentences for x in s.look})}
    groups |= {USUAL: [s for s in sentences if not s.look]}
    return [_group_row(look, own) for look, own in groups.items() if own]


def _group_row(name: str, own: Sequence[Sentence]) -> GroupRow:
    found, truth = [s.caption for s in own], [s.truth.english for s in own]
    chrf = [sentence_chrf(one, other) for one, other in zip(found, truth, strict=True)]
    right = [caption_right(one, other) for one, other in zip(found, truth, strict=True)]
    read = recognition(own)
    return GroupRow(
        name, own[0].look, len(own), bleu(found, truth)[0], float(np.mean(chrf)), float(np.mean(right)), read.gloss_wer.value,
        _value(read.letter_accuracy), _value(read.phoneme_error), read.route_accuracy.value,
    )  # fmt: skip


Counts = Callable[[Sentence], tuple[float, float]]


def _over(sentences: Sequence[Sentence], counts: Counts) -> Interval:
    return resampled(np.array([counts(sentence) for sentence in sentences], dtype=np.float64))


def _any(sentences: Sequence[Sentence], counts: Counts) -> bool:
    return any(counts(sentence)[1] for sentence in sentences)


def _inverse(errors: Interval) -> Interval:
    return Interval(*(max(0.0, 1 - value) for value in (errors.value, errors.high, errors.low)))


def _value(interval: Interval | None) -> float | None:
    return interval.value if interval is not None else None


def _times(row: DelayRow) -> dict[str, float]:
    return {name: value for name, value in asdict(row).items() if isinstance(value, float)}


def _sure(sure: Sureness | None) -> dict[str, float | None]:
    if sure is None:
        return {}
    names = ("count", "right", "ece", "auroc", "error", "error_at_80")
    return {name: getattr(sure, name) for name in names}
