"""Answers of one sign or one spelled name ("YES", "MARIA"), by unseen drawn signers: are they captioned, and how surely?

In a conversation such answers are many; among the grammar's sentences there is none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.confidence import auroc, expected_calibration_error
from models.evaluation.scores import caption_right
from models.evaluation.synthetic import GROUP, keep, only_frames, recorded
from models.pipeline import Translator
from models.prompts import gloss_word
from models.reading import read_many
from models.synthetic import corpus, lexicon
from models.synthetic.sentences import Sentence, names_held_out

FIRST_SEED = 3_000_000
SPELLED_SHARE = 0.2
"""Of the answers, names; the others are signs of the lexicon."""
OF_WHAT = 1
"""A stream of random numbers of its own: with the signer's, all who spell would have one shade of skin."""


def evaluate(
    path: Path | None, checkpoint: Path, *, seed: int = 0, sentences: int = 100, record: Path | None = None
) -> dict[str, float]:
    """`captioned`: share of `sentences` answers that got a caption; `right`: share captioned with their own word; over the
    captions `confidence_right` and `confidence_wrong` (means), `auroc` and `ece`.

    `record`: a file that gets a line a caption, for `signbind train confidence`.
    """
    del path
    translator = Translator.load(checkpoint, slots=GROUP)
    sure: list[float] = []
    right: list[int] = []
    lines: list[str] = []
    captioned = answered = 0
    for start in range(0, sentences, GROUP):
        seeds = range(FIRST_SEED + seed * 10_000 + start, FIRST_SEED + seed * 10_000 + min(start + GROUP, sentences))
        clips = [corpus.clip(number, answer(number), held_out=True) for number in seeds]
        for clip, reading in zip(clips, read_many(translator, [only_frames(clip) for clip in clips]), strict=True):
            captions = [spoken for spoken in translator.speaker.explain(reading.segments) if spoken.caption.text]
            truth = clip.script.sentence.english
            captioned += bool(captions)
            answered += caption_right(" ".join(spoken.caption.text for spoken in captions), truth)
            sure += [spoken.caption.confidence for spoken in captions]
            right += [int(caption_right(spoken.caption.text, truth)) for spoken in captions]
            lines += recorded(captions, truth)
    keep(lines, record)
    return {
        "captioned": captioned / sentences, "right": answered / sentences,
        "confidence_right": _mean(sure, right, 1), "confidence_wrong": _mean(sure, right, 0),
        "auroc": auroc(sure, right), "ece": expected_calibration_error(sure, right), "captions": float(len(sure)),
    }  # fmt: skip


def answer(seed: int) -> Sentence:
    """One sign of the lexicon or one held-out name, drawn apart from who answers; the English is its own word."""
    rng = np.random.default_rng((seed, OF_WHAT))
    if rng.random() < SPELLED_SHARE:
        name = str(rng.choice(sorted(names_held_out())))
        return Sentence(name.capitalize(), ("#" + name,))
    gloss = str(rng.choice(lexicon.load().glosses))
    return Sentence(gloss_word(gloss), (gloss,))


def _mean(sure: list[float], right: list[int], which: int) -> float:
    chosen = [share for share, own in zip(sure, right, strict=True) if own == which]
    return sum(chosen) / len(chosen) if chosen else float("nan")
