"""What a language model loses and gains in fewer bits: BLEU-4, speed and size in each precision, in one run.

`python -m models.evaluation.precisions CHECKPOINT [SENTENCES]`, on the grammar's held-out sentences and on this machine's CPU.
Nothing may be saved after it: see `models.quantised`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import get_args

import torch

from models import names
from models.evaluation.gloss2text import Row, held_out_grammar, noise_figures, request_of, write
from models.evaluation.scores import bleu
from models.evaluation.token_noise import Rates
from models.generation import write_all
from models.quantised import Precision
from models.refine import Refiner

TIMED_ROWS = 32
REPEATS = 3
NOISE = Rates(0.2, 0.1)
"""A fifth of the tokens and a tenth of the letters wrong."""


@dataclass(frozen=True)
class Figures:
    """One precision: BLEU-4 (0..100) from clean glosses and from NOISE; the share of sentences that differ from the first
    precision's; pieces written a second in a batch of TIMED_ROWS and alone, the best of REPEATS; the weights' size."""

    precision: Precision
    bleu4: float
    bleu4_noisy: float
    changed: float
    pieces_a_second: float
    pieces_a_second_alone: float
    megabytes: float


def compare(
    folder: Path, rows: Sequence[Row], precisions: Sequence[Precision] = get_args(Precision), device: str = "cpu"
) -> list[Figures]:
    """The language model in `folder` in every precision, measured on `rows`."""
    found: list[Figures] = []
    first: list[str] = []
    for precision in precisions:
        refiner = Refiner.load(folder, None, precision, names.show, device=device)
        texts = write(refiner, rows)
        first = first or texts
        changed = sum(text != other for text, other in zip(texts, first, strict=True)) / len(rows)
        score = bleu(texts, [english for _, english in rows])[0]
        [noisy] = noise_figures(refiner, rows, (NOISE,)).values()
        rates = [pieces_a_second(refiner, rows[:count]) for count in (TIMED_ROWS, 1)]
        found.append(Figures(precision, score, noisy, changed, rates[0], rates[1], megabytes(refiner)))
    return found


def pieces_a_second(refiner: Refiner, rows: Sequence[Row]) -> float:
    """Written pieces over the whole time, the prompts' included, with no prompt known before."""
    requests = [replace(request_of(tokens), grows=False) for tokens, _ in rows]
    best = 0.0
    for _ in range(REPEATS):
        asked = [refiner.asked(place, request) for place, request in enumerate(requests)]
        refiner.prompts.clear()
        begun = time.perf_counter()
        written = write_all(refiner.writing(), asked)
        pieces = sum(len(row.ids) + 1 for row in written if row is not None)
        best = max(best, pieces / (time.perf_counter() - begun))
    return best


def megabytes(refiner: Refiner) -> float:
    """Of weights and buffers in memory; bitsandbytes packs two 4-bit weights into a byte."""
    held: dict[int, int] = {
        tensor.data_ptr(): tensor.nbytes for tensor in (*refiner.model.parameters(), *refiner.model.buffers())
    }
    return float(sum(held.values())) / 1e6


def table(figures: Sequence[Figures]) -> str:
    """Markdown, a row a precision."""
    titles = [field.name for field in fields(Figures)]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for row in figures:
        name, *numbers = astuple(row)
        lines.append(f"| {name} | {' | '.join(f'{number:.3g}' for number in numbers)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(table(compare(Path(sys.argv[1]) / "llm", held_out_grammar(int((sys.argv[2:] or ["200"])[0])))))
