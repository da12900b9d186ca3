"""The weights on data of another making than what they learned from: text models on each other's corpora, letters by source,
drawn signing against real signing and a webcam.

`signbind evaluate across DATA`: one table. What is seen and what is not stands in it; parts without data are left out and named.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models import names
from models.checkpoint import load
from models.evaluation import fingerspelling
from models.evaluation.gloss2text import Row, held_out_corpus, held_out_grammar, held_out_real, read_pairs, write
from models.evaluation.letters import evaluate_encoder
from models.evaluation.scores import bleu
from models.features import HandEncoder
from models.pipeline import Translator
from models.reading import read_many
from models.refine import Refiner
from models.text_writer import writer_of
from models.training import webcam_words
from models.training.gloss_corpora import PRONOUNS
from models.training.splits import HELD_OUT_SOURCES, TRAINING_SOURCES, is_held_out_video
from models.video import canvas_frames

GROUP = 4
SPELLED, SIGNED = 12, 12
"""Webcam words and How2Sign clips that are read: a minute of processor time together."""
ASLG = {"HE": "X-HE", **{ours: theirs for theirs, ours in reversed(PRONOUNS.items()) if theirs.startswith("X-")}}
"""The lexicon's pronouns in ASLG-PC12's notation."""


@dataclass(frozen=True)
class Crossed:
    """One figure: what learned from what, on what it was measured, and whether that is of the kind it learned from."""

    learned: str
    measured: str
    same: bool
    metric: str
    value: float
    count: int


def evaluate(path: Path | None, checkpoint: Path, *, sentences: int = 100) -> dict[str, float]:
    """Figures by "learned -> measured, metric"; prints the table too."""
    if path is None or not path.is_dir():
        raise ValueError(
            f"expected the folder of training data, got {path}: give the folder with text and letters in it"
        )
    parts = {"text": _texts, "letters": _letters, "webcam_letters": _words, "how2sign_clips": _signing}
    if not any((path / name).is_dir() for name in parts):
        raise ValueError(
            f"expected the folder of training data, with {', '.join(parts)}, got {path}: none of them is there"
        )
    for name in parts:
        if not (path / name).is_dir():
            print(f"{name} is not in {path}: left out", flush=True)
    rows = [row for name, part in parts.items() if (path / name).is_dir() for row in part(path, checkpoint, sentences)]
    print(table(rows), flush=True)
    return {f"{row.learned} -> {row.measured}, {row.metric}": row.value for row in rows}


def table(rows: Sequence[Crossed]) -> str:
    """Markdown, a row a figure."""
    lines = ["| learned from | measured on | same kind | figure | | of |", "|---|---|---|---|---|---|"]
    for row in rows:
        same = "yes" if row.same else "no"
        lines.append(f"| {row.learned} | {row.measured} | {same} | {row.metric} | {row.value:.1f} | {row.count} |")
    return "\n".join(lines)


def _texts(data: Path, checkpoint: Path, sentences: int) -> Iterator[Crossed]:
    """BLEU-4 without case of the live model and of ASLG-PC12's heads on every corpus of glosses."""
    tests: dict[str, list[Row]] = {
        "the grammar": held_out_grammar(sentences),
        "How2Sign, glosses by rule": held_out_real(data, sentences),
        "NCSLGR": held_out_corpus(data, "ncslgr")[:sentences],
        "ASLG-PC12": held_out_corpus(data, "aslg_pc12")[:sentences],
    }
    raw = read_pairs(data / "text" / "aslg_pc12.dev.tsv")[:sentences]
    live, heads = Refiner.load(checkpoint / "llm", show=names.show), writer_of(checkpoint, "aslg")
    for name, rows in tests.items():
        said = write(live, rows)
        yield _scored("the grammar and all three (live model)", name, True, said, rows)
    for name, rows in tests.items():
        own = name == "ASLG-PC12"
        said = heads.write(
            [list(glosses) for glosses, _ in raw] if own else [aslg_line(glosses) for glosses, _ in rows]
        )
        yield _scored("ASLG-PC12 (its heads)", name, own, said, raw if own else rows)


def _scored(learned: str, measured: str, same: bool, said: Sequence[str], rows: Sequence[Row]) -> Crossed:
    score, _ = bleu([text.lower() for text in said], [english.lower() for _, english in rows])
    return Crossed(learned, measured, same, "BLEU-4", score, len(rows))


def aslg_line(tokens: Sequence[str]) -> list[str]:
    """Tokens of the lexicon as ASLG-PC12's annotators write them, but for its marks of adjectives and its punctuation; what is
    spelled is a word like others."""
    return [ASLG.get(token, token.removeprefix("#")) for token in tokens]


def _letters(data: Path, checkpoint: Path, sentences: int) -> Iterator[Crossed]:
    """Photographs by source; those of TRAINING_SOURCES were learned from."""
    del sentences
    encoder, folder = load(HandEncoder, checkpoint, "hand_encoder"), data / "letters"
    for source in (*TRAINING_SOURCES, *sorted(HELD_OUT_SOURCES)):
        if (folder / source).is_dir():
            found, seen = evaluate_encoder(encoder, folder, [source]), source in TRAINING_SOURCES
            yield Crossed(
                "photographs of four sources", source, seen, "letters %", 100 * found[source], int(found["pictures"])
            )


def _words(data: Path, checkpoint: Path, sentences: int) -> Iterator[Crossed]:
    """Words spelled at a webcam by somebody unseen, through the whole translator."""
    del sentences
    with tempfile.TemporaryDirectory() as folder:
        webcam_words.write(data, Path(folder), words=webcam_words.WORDS[:SPELLED])
        found = fingerspelling.evaluate(Path(folder), checkpoint)
    share, count = 100 * found["letter_accuracy"], int(found["words"])
    yield Crossed("drawn words and words of photographs", "words at a webcam", False, "letters %", share, count)


def _signing(data: Path, checkpoint: Path, sentences: int) -> Iterator[Crossed]:
    """Real signing of How2Sign by the networks that know drawn signing alone."""
    del sentences
    folder = data / "how2sign_clips"
    held = [line.split("\t") for line in (folder / "sentences.tsv").read_text(encoding="utf-8").splitlines()]
    rows = [(folder / name, english) for name, english, *_ in held if is_held_out_video(name)][:SIGNED]
    translator, said = Translator.load(checkpoint, slots=GROUP), list[str]()
    for start in range(0, len(rows), GROUP):
        readings = read_many(translator, [canvas_frames(clip) for clip, _ in rows[start : start + GROUP]])
        for reading in readings:
            said.append(" ".join(caption.text for caption in translator.speaker.refine(reading.segments)))
    score, _ = bleu(said, [english for _, english in rows])
    yield Crossed("drawn signing", "real signing (How2Sign)", False, "BLEU-4", score, len(rows))
