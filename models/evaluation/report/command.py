"""`signbind evaluate report`: measures what the records lack, then writes the page."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.evaluation.report.records import OTHER_SIGNERS, Records, Run, line_of

Progress = Callable[[int, int], None]


def evaluate(
    path: Path | None, checkpoint: Path, *, seed: int | None = None, sentences: int | None = None,
    out: Path = Path("report.html"), records: Path | None = None, before: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Writes the page to `out` and returns its figures.

    `records` keeps what was measured. Sentences that it holds are not measured again; without `sentences` a file that holds
    any is taken as it is, without any weights. `before` holds what other weights made of the same sentences, to stand beside.
    """
    del path
    if not out.absolute().parent.is_dir():
        raise ValueError(f"{out.parent} is no folder: make it first, or write the page elsewhere with --out")
    if records is not None and not records.absolute().parent.is_dir():
        raise ValueError(f"{records.parent} is no folder: make it first, or keep the records elsewhere with --records")
    # read first: what is wrong with it shall be said before anything is measured
    earlier = Records.read(before, "--before") if before is not None else None
    if records is None:
        with tempfile.TemporaryDirectory() as folder:
            held = gather(Path(folder) / "records.jsonl", checkpoint, seed, sentences, told)
    else:
        held = gather(records, checkpoint, seed, sentences, told)
    from models.evaluation.report.before import compared
    from models.evaluation.report.figures import figures_of
    from models.evaluation.report.page import page

    figures, comparison = figures_of(held), compared(earlier, held) if earlier is not None else None
    out.write_text(page(held, figures, comparison), encoding="utf-8")
    return {"page": str(out), **figures.plain(), **({"before": comparison.plain()} if comparison else {})}


def gather(
    file: Path, checkpoint: Path, seed: int | None, sentences: int | None, progress: Progress = lambda done, all_: None
) -> Records:
    """The records in `file` with at least `sentences` sentences, the missing ones measured now (200 if nothing is said)."""
    held = Records.read(file) if file.exists() and file.stat().st_size else None
    wanted = sentences if sentences is not None else len(held.sentences) if held and held.sentences else 200
    if held is None or len(held.sentences) < wanted:
        _measure(file, checkpoint, held, seed, wanted, progress)
        held = Records.read(file)
    elif seed is not None and seed != held.run.seed:
        raise ValueError(f"{file} was measured with seed {held.run.seed}, not {seed}: name another file with --records")
    return Records(held.run, held.sentences[:wanted])


def _measure(
    file: Path, checkpoint: Path, held: Records | None, seed: int | None, wanted: int, progress: Progress
) -> None:
    from models.evaluation.report.measure import Measure

    run = run_of(checkpoint, seed if seed is not None else held.run.seed if held else 0)
    if held is not None:
        check_same(held.run, run, file)
    numbers = {sentence.number for sentence in held.sentences} if held else set[int]()
    measure = Measure.load(checkpoint)
    kept = [line_of(run)] if held is None else [line_of(held.run), *(line_of(sentence) for sentence in held.sentences)]
    beside = file.with_name(f".{file.name}")
    beside.write_text("".join(kept), encoding="utf-8")
    beside.replace(file)  # whenever it is cut off, the file holds all that it held
    with file.open("a", encoding="utf-8") as out:
        for number in range(wanted):
            if number not in numbers:
                out.write(line_of(measure.sentence(number, run.seed)))
                out.flush()
            progress(number + 1, wanted)


def run_of(checkpoint: Path, seed: int) -> Run:
    """What runs now: these weights on this machine."""
    import torch

    from models.backends import Backend
    from models.evaluation.backends import processor

    backend = Backend("auto", threads=torch.get_num_threads())
    return Run(
        checkpoint.name, weights_of(checkpoint), seed, backend.chosen, torch.get_num_threads(), torch.__version__,
        processor(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), OTHER_SIGNERS,
    )  # fmt: skip


def weights_of(checkpoint: Path) -> str:
    """The first twelve digits of a hash over all files of a checkpoint but its texts about itself."""
    digest = hashlib.sha256()
    for file in sorted(checkpoint.rglob("*")):
        if file.is_file() and file.suffix != ".md":
            digest.update(file.relative_to(checkpoint).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def check_same(held: Run, now: Run, file: Path) -> None:
    """Refuses to add to records of other signers, or that other weights, another seed or another machine made."""
    if held.signers != now.signers:
        raise ValueError(
            f"{file} is of signers that `evaluate synthetic` draws too, where others are drawn now: "
            "name another file with --records, or ask for no more --sentences than it holds"
        )
    for name in ("weights", "seed", "backend", "threads", "torch", "machine"):
        if getattr(held, name) != getattr(now, name):
            raise ValueError(
                f"{file} was measured with {name} {getattr(held, name)}, now it is {getattr(now, name)}: "
                "name another file with --records, or ask for no more --sentences than it holds"
            )


def told(done: int, wanted: int) -> None:
    """Says on stderr how far it is."""
    if done % 10 == 0 or done == wanted:
        print(f"{done} of {wanted} sentences", file=sys.stderr, flush=True)
