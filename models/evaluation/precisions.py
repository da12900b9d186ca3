"""What fewer bits and a smaller network cost and gain: the hand encoder, its student and the language model, in one table.

`signbind evaluate precisions SOURCE`: letters of photographs of a signer never trained on, BLEU-4 of the grammar's held-out
sentences, size, and processor time on this machine. Nothing may be saved after it: see `models.quantised`.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from models import names
from models.backends import Backend, Network, has_openvino
from models.checkpoint import EIGHT_BITS, load
from models.evaluation.backends import letters_right
from models.evaluation.gloss2text import Row, held_out_grammar, noise_figures, request_of, write
from models.evaluation.rounds import in_turns
from models.evaluation.scores import bleu
from models.evaluation.token_noise import Rates
from models.features import HAND_SIZE, HandEncoder
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
    cpu_ms: float
    """Processor time of a sentence in a batch of TIMED_ROWS."""


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
        rest = (changed, rates[0], rates[1], megabytes(refiner), cpu_ms_of(refiner, rows[:TIMED_ROWS]))
        found.append(Figures(precision, score, noisy, *rest))
    return found


def cpu_ms_of(refiner: Refiner, rows: Sequence[Row]) -> float:
    """Processor time a sentence, of one batch; the least of REPEATS, with no prompt known before."""
    spent: list[float] = []
    for _ in range(REPEATS):
        refiner.prompts.clear()
        begun = time.process_time()
        write(refiner, rows)
        spent.append(time.process_time() - begun)
    return 1e3 * min(spent) / len(rows)


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


@dataclass(frozen=True)
class Line:
    """A network in one way: `right` is the percentage of letters right or BLEU-4, `noisy` BLEU-4 with NOISE; processor time of
    a picture or a sentence."""

    network: str
    way: str
    right: float
    noisy: float | None
    megabytes: float
    cpu_ms: float


HAND, STUDENT = "hand_encoder", "student"
PICTURES, TIMED_S = 16, 1.0
Bits = Literal["f32", "bf16", "int8"]


def evaluate(path: Path | None, checkpoint: Path, *, sentences: int = 100) -> dict[str, dict[str, float]]:
    """Figures of every network and way that can be had here, by "network, way"; prints the table too.

    `path` is a folder A..Z of photographs of an unseen signer. The student is measured where `train student` left one.
    """
    if path is None or not path.is_dir():
        raise ValueError(f"expected a folder LETTER/*.jpg of one unseen signer, got {path}: give a source's folder")
    torch.set_num_threads(1)
    lines = [*hand_lines(checkpoint, path), *language_lines(checkpoint / "llm", sentences)]
    print(table(lines), flush=True)
    return {f"{line.network}, {line.way}": _plain(line) for line in lines}


def _plain(line: Line) -> dict[str, float]:
    held = {"right": line.right, "noisy": line.noisy, "megabytes": line.megabytes, "cpu_ms": line.cpu_ms}
    return {name: value for name, value in held.items() if value is not None}


def hand_lines(checkpoint: Path, letters: Path) -> list[Line]:
    """The hand encoder and, where there is one, its student; timed in turns, so that a busy machine is fair to all."""
    ways: dict[tuple[str, Bits], tuple[HandEncoder, Network, float]] = {}
    for name, folder in ((HAND, checkpoint), (STUDENT, checkpoint / STUDENT)):
        if (folder / f"{HAND}.safetensors").is_file():
            ways |= {(name, bits): found for bits, found in _networks(folder)}
    pictures = np.random.default_rng(0).integers(0, 256, (PICTURES, HAND_SIZE, HAND_SIZE, 3), np.uint8)
    calls = {f"{name} {bits}": (lambda run=run: run(pictures)) for (name, bits), (_, run, _) in ways.items()}
    spent = in_turns(calls, TIMED_S)
    return [
        Line(
            name,
            bits,
            100 * letters_right(encoder, run, letters),
            None,
            size,
            spent[f"{name} {bits}"].cpu_ms / PICTURES,
        )
        for (name, bits), (encoder, run, size) in ways.items()
    ]


def _networks(folder: Path) -> Iterator[tuple[Bits, tuple[HandEncoder, Network, float]]]:
    """The encoder in `folder` in each way, with its weights' size in megabytes."""
    encoder, eight = load(HandEncoder, folder, HAND), folder / f"{HAND}{EIGHT_BITS}"
    example = np.zeros((1, HAND_SIZE, HAND_SIZE, 3), np.uint8)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    yield "f32", (encoder, Backend(precision="f32").network(encoder, example), 4 * count / 1e6)
    if has_openvino():
        yield "bf16", (encoder, Backend(precision="bf16").network(encoder, example), 2 * count / 1e6)
        if eight.is_file():
            yield "int8", (encoder, Backend().network(encoder, example, eight), eight.stat().st_size / 1e6)


def language_lines(folder: Path, sentences: int) -> list[Line]:
    """The language model in every precision; 8 and 4 bits where bitsandbytes is installed."""
    packed = importlib.util.find_spec("bitsandbytes") is not None
    precisions = [one for one in get_args(Precision) if packed or "bit" not in one]
    return [
        Line("language model", row.precision, row.bleu4, row.bleu4_noisy, row.megabytes, row.cpu_ms)
        for row in compare(folder, held_out_grammar(sentences), precisions)
    ]


def table(figures: Sequence[Figures] | Sequence[Line]) -> str:
    """Markdown, a row each."""
    titles = [field.name for field in fields(figures[0])]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for row in figures:
        lines.append(f"| {' | '.join(_cell(value) for value in astuple(row))} |")
    return "\n".join(lines)


def _cell(value: str | float | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.3g}"
