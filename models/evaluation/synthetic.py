"""Signers and sentences never seen in training, drawn and read by the whole live path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.error_rate import ErrorRate
from models.evaluation.scores import bleu, caption_right, words_right
from models.pipeline import Translator
from models.reading import Reading, read_many
from models.speech import Explained
from models.synthetic import corpus

FIRST_SEED = 1_000_000
GROUP = 4


def evaluate(
    path: Path | None, checkpoint: Path, *, seed: int = 0, sentences: int = 100, record: Path | None = None,
    details: bool = False,
) -> dict[str, float | str]:  # fmt: skip
    """gloss_wer, letter_accuracy, route_accuracy (shares) and bleu4 (0..100) over `sentences` clips.

    `record`: a file that gets a line a caption, for `signbind train confidence`.
    """
    del path
    translator = Translator.load(checkpoint, slots=GROUP)
    glosses, letters, routes = ErrorRate(), ErrorRate(), [0, 0]
    found_text: list[str] = []
    true_text: list[str] = []
    lines: list[str] = []
    for start in range(0, sentences, GROUP):
        seeds = range(FIRST_SEED + seed * 10_000 + start, FIRST_SEED + seed * 10_000 + min(start + GROUP, sentences))
        clips = [corpus.clip(number, held_out=True) for number in seeds]
        readings = read_many(translator, [only_frames(clip) for clip in clips])
        for clip, reading in zip(clips, readings, strict=True):
            truth = clip.script
            glosses.add(found_glosses(reading), [span.text for span in truth.glosses])
            letters.add(found_letters(reading), [span.text for span in truth.letters])
            right = int((np.asarray(reading.routes) == np.asarray(truth.routes)[: len(reading.routes)]).sum())
            routes = [routes[0] + right, routes[1] + len(reading.routes)]
            captions = translator.speaker.explain(reading.segments)
            found_text.append(" ".join(spoken.caption.text for spoken in captions))
            true_text.append(truth.sentence.english)
            if details:
                print(f"{list(truth.sentence.tokens)} -> {[t.text for s in reading.segments for t in s.tokens]}")
                print(f"   {true_text[-1]!r} -> {found_text[-1]!r}")
            lines.extend(recorded(captions, true_text[-1]))
    score, signature = bleu(found_text, true_text)
    keep(lines, record)
    return {
        "gloss_wer": glosses.value, "letter_accuracy": letters.accuracy, "bleu4": score,
        "route_accuracy": routes[0] / max(1, routes[1]), "sentences": float(sentences), "signature": signature,
    }  # fmt: skip


def only_frames(clip: corpus.Clip) -> Iterator[NDArray[np.uint8]]:
    """The pictures of a clip, without the truth."""
    for frame, _ in clip.frames():
        yield frame


def found_glosses(reading: Reading) -> list[str]:
    """Glosses of all segments, spelled words left out."""
    return [token.text for segment in reading.segments for token in segment.tokens if token.kind == "sign"]


def found_letters(reading: Reading) -> list[str]:
    """Letters of all spelled words, as the search read them, before names are verified."""
    words = [token.text for segment in reading.segments for token in segment.tokens if token.kind == "fingerspelling"]
    return [letter for word in words for letter in word]


def keep(lines: Sequence[str], record: Path | None) -> None:
    """Writes the lines where a file is named."""
    if record is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text("".join(lines), encoding="utf-8")


def recorded(captions: Sequence[Explained], truth: str) -> list[str]:
    """Lines the confidence stage learns from: features of captions and words, and whether they were right."""
    lines = []
    for spoken in captions:
        caption = spoken.caption
        if not caption.text:
            continue
        right = words_right([word.text for word in caption.words], truth)
        words = [
            {"features": features, "right": int(own)} for features, own in zip(spoken.word_features, right, strict=True)
        ]
        whole = int(caption_right(caption.text, truth))
        lines.append(json.dumps({"caption": spoken.features, "right": whole, "words": words}) + "\n")
    return lines
