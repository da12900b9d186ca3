"""Gloss to text alone: BLEU-4 of the language model from glosses, clean or with errors like recognition's, without any video."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from models import names
from models.dialects import DIALECTS
from models.evaluation.report.words import word_classes
from models.evaluation.scores import bleu
from models.evaluation.token_noise import Rates, noisy_tokens
from models.hypothesis import Token
from models.names import joined
from models.prompts import Refined, Request
from models.quantised import Precision
from models.refine import Refiner
from models.synthetic.sentences import from_grammar, is_held_out, real_sentences
from models.text_writer import Writer, writer_of
from models.training.gloss_corpora import aslg_tokens, clean_english, ncslgr_rows, ncslgr_tokens
from models.training.text_pairs import lines_of

Row = tuple[Sequence[str], str]
"""Tokens ("NAME", "#MARIA") and the English they stand for."""

BATCH = 32
ENGLISH = ("aslg", "ncslgr")
NCSLGR_HEADER = "file\tutterance\tsigner\tgloss"
RATES = (Rates(), Rates(0.0, 0.1), Rates(0.1, 0.1), Rates(0.2, 0.1), Rates(0.3, 0.1))


def request_of(tokens: Iterable[str]) -> Request:
    """A request of clean tokens, each 400 ms long and read without doubt."""
    made = []
    for index, text in enumerate(tokens):
        kind, shown = ("fingerspelling", text[1:]) if text.startswith("#") else ("sign", text)
        letters = (1.0,) * len(shown) if kind == "fingerspelling" else ()
        made.append(Token(shown, kind, 400 * index, 400 * index + 400, 1.0, letters))  # type: ignore[arg-type]
    return Request(tuple(made))


def write(refiner: Refiner, rows: Sequence[Row]) -> list[str]:
    """The sentences of all rows."""
    return [refined.text for refined in write_requests(refiner, [request_of(tokens) for tokens, _ in rows])]


def write_requests(refiner: Refiner, requests: Sequence[Request]) -> list[Refined]:
    """The sentences of all requests, in batches of like length."""
    order = sorted(range(len(requests)), key=lambda index: len(requests[index].tokens))
    found: dict[int, Refined] = {}
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        for index, refined in zip(part, refiner.refine([requests[i] for i in part]), strict=True):
            assert refined is not None, "without a deadline every row is written"
            found[index] = refined
    return [found[index] for index in range(len(requests))]


def read_pairs(path: Path) -> list[Row]:
    """Glosses TAB English, a pair a line; a header or a line without both is an error that names it."""
    rows: list[Row] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        gloss, tab, english = line.partition("\t")
        if not (gloss.strip() and tab and english.strip()):
            raise ValueError(
                f"line {number} of {path} is not `GLOSSES<TAB>English`, got {line[:60]!r}: mend or drop it"
            )
        rows.append((gloss.split(), english.strip()))
    return rows


def evaluate(
    path: Path | None,
    checkpoint: Path,
    *,
    adapter: str | None = None,
    limit: int | None = None,
    precision: Precision = "fp32",
) -> dict[str, float | str]:
    """BLEU-4 of a checkpoint on a file of glosses TAB sentence, or on NCSLGR's own table (its held-out part).

    `adapter` is one of DIALECTS, a writer for real corpora (`models.text_writer.writer_of`; RefinerError says what is
    missing), else one of the live language model's.
    """
    if path is None:
        raise ValueError("expected a file of `GLOSSES<TAB>English` lines, got none: name one")
    rows = read_rows(path)[:limit]
    if adapter in DIALECTS:  # also where it is missing: never the live model's adapter of the same name
        return real_figures(writer_of(checkpoint, adapter), rows)
    folder = checkpoint / "adapters" / adapter if adapter else None
    refiner = Refiner.load(checkpoint / "llm", folder, precision, names.show)
    score, signature = bleu(write(refiner, rows), [english for _, english in rows])
    return {"bleu4": score, "signature": signature}


def real_figures(writer: Writer, rows: Sequence[Row]) -> dict[str, float | str]:
    """BLEU-4 over the corpus's own words, as the published figures have it, and over sacreBLEU's (13a); for English, the
    recall of every class of function words and of all other words."""
    texts, references = writer.write([list(glosses) for glosses, _ in rows]), [text for _, text in rows]
    (own, own_signature), (usual, signature) = bleu(texts, references, tokenize="none"), bleu(texts, references)
    classes = word_classes(list(zip(texts, references, strict=True))) if writer.dialect in ENGLISH else {}
    recalls = {f"recall_{name.replace(' ', '_')}": found.recall for name, found in classes.items()}
    return {
        "bleu4": own, "signature": own_signature, "bleu4_13a": usual, "signature_13a": signature, "rows": float(len(rows)),
        **{name: recall for name, recall in recalls.items() if recall is not None},
    }  # fmt: skip


def read_rows(path: Path) -> list[Row]:
    """Lines of glosses TAB sentence; of NCSLGR's table, told by its header, what training leaves out."""
    with path.open(encoding="utf-8") as file:
        header = file.readline()
    if not header.startswith(NCSLGR_HEADER):
        return read_pairs(path)
    return [row for row in ncslgr_rows(path.read_text(encoding="utf-8").splitlines()) if is_held_out(row[1])]


def held_out_grammar(count: int, seed: int = 1_000_000) -> list[Row]:
    """Sentences of the grammar's held-out part, its held-out names among them."""
    rng = np.random.default_rng(seed)
    sentences = [from_grammar(rng, held_out=True) for _ in range(count)]
    return [(sentence.tokens, sentence.english) for sentence in sentences]


def held_out_real(data: Path, count: int) -> list[Row]:
    """Held-out How2Sign sentences of at most 12 words with at most one that has no sign."""
    found = real_sentences(data / "text" / "how2sign.train.tsv")
    rows: list[Row] = [(s.tokens, s.english) for s in found if is_held_out(s.english)]
    return rows[:count]


def held_out_corpus(data: Path, name: str) -> list[Row]:
    """Held-out pairs of `ncslgr` or the dev split of `aslg_pc12`, with the glosses of their annotators."""
    if name == "ncslgr":
        return [row for row in ncslgr_rows(lines_of(data, "ncslgr.train.tsv")) if is_held_out(row[1])]
    splits: dict[str, Callable[[str], list[str]]] = {"aslg_pc12": aslg_tokens, "ncslgr": ncslgr_tokens}
    pairs = (line.partition("\t") for line in lines_of(data, f"{name}.dev.tsv"))
    return [(splits[name](gloss), clean_english(english)) for gloss, _, english in pairs]


def keep_held_out(folder: Path, data: Path | None, count: int = 300) -> None:
    """Writes `folder`/held_out.json: rows of the grammar and, from `data`, of How2Sign, for machines without the corpora."""
    held = {"grammar": held_out_grammar(count), "real": held_out_real(data, count) if data else []}
    (folder / "held_out.json").write_text(json.dumps(held) + "\n", encoding="utf-8")


def held_out_figures(refiner: Refiner, folder: Path, *, limit: int = 300) -> dict[str, float]:
    """BLEU-4 on `folder`/held_out.json: the grammar with every one of RATES, How2Sign with clean glosses."""
    held = json.loads((folder / "held_out.json").read_text(encoding="utf-8"))
    figures = noise_figures(refiner, held["grammar"][:limit])
    if rows := held["real"][:limit]:
        figures["real_bleu4"] = bleu(write(refiner, rows), [english for _, english in rows])[0]
    return figures


def noise_figures(refiner: Refiner, rows: Sequence[Row], rates: Sequence[Rates] = RATES) -> dict[str, float]:
    """BLEU-4 by the share of wrong tokens and letters."""
    figures: dict[str, float] = {}
    for rate in rates:
        figures[f"grammar_bleu4_tokens{rate.tokens:.0%}_letters{rate.letters:.0%}"] = noise_score(refiner, rows, rate)
    return figures


def noise_score(refiner: Refiner, rows: Sequence[Row], rate: Rates) -> float:
    """BLEU-4 with one noise; the same noise at every call."""
    rng = random.Random(0)
    requests = [Request(joined(noisy_tokens(tokens, rate, rng))) for tokens, _ in rows]
    texts = [refined.text for refined in write_requests(refiner, requests)]
    return bleu(texts, [english for _, english in rows])[0]
