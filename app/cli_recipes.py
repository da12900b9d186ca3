"""signbind evaluate | synth: the measurements and the signer of `models`, with what they need checked before they start."""

from __future__ import annotations

import enum
import importlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_errors import CliError
from app.settings import BUNDLED_CHECKPOINT

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

Figures = Mapping[str, Any]
DEFAULT_CHECKPOINT = Path("models/checkpoints/compact")


class What(enum.StrEnum):
    report = "report"
    synthetic = "synthetic"
    answers = "answers"
    letters = "letters"
    fingerspelling = "fingerspelling"
    lips = "lips"
    locate = "locate"
    silence = "silence"
    gloss2text = "gloss2text"
    noise = "noise"
    names = "names"
    precisions = "precisions"
    across = "across"


MEASURES: dict[str, str] = {
    What.report: "everything that can be told of captions of unseen drawn signers, on one page",
    What.synthetic: "the main figures of the same, on the terminal",
    What.answers: "answers of a single sign: captioned or not, and how surely",
    What.letters: "letters in photographs, by source",
    What.fingerspelling: "words spelled at a webcam",
    What.lips: "phonemes from videos of a mouth",
    What.locate: "where hands, face and mouth are found",
    What.silence: "captions where nobody signs: there should be none",
    What.gloss2text: "a language model alone, from glosses",
    What.noise: "the same, with ever more mistakes in the glosses",
    What.names: "spelled names, with and without what corrects them",
    What.precisions: "fewer bits and smaller networks: size, speed, accuracy",
    What.across: "weights on data of another making than they learned from",
}
"""What each measures."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation reads (none: it draws its own data), which options are its own, and whether it draws data where no
    path is given."""

    reads: str | None
    options: frozenset[str] = field(default_factory=frozenset)
    draws: bool = False


EVALUATIONS: dict[What, Evaluation] = {
    What.report: Evaluation(None, frozenset({"seed", "sentences", "out", "records", "before"})),
    What.synthetic: Evaluation(None, frozenset({"seed", "sentences", "record"})),
    What.answers: Evaluation(None, frozenset({"seed", "sentences", "record"})),
    What.letters: Evaluation("a folder SOURCE/LETTER/*.jpg"),
    What.fingerspelling: Evaluation("a folder of WORD.mp4"),
    What.lips: Evaluation("a folder of .mp4 with .align beside them"),
    What.locate: Evaluation("a folder of .mp4 with .boxes.jsonl beside them", draws=True),
    What.silence: Evaluation("a folder of .mp4 without signing", frozenset({"seed", "record"}), draws=True),
    What.gloss2text: Evaluation("a file of lines GLOSSES<tab>sentence", frozenset({"adapter"})),
    What.noise: Evaluation(None, frozenset({"sentences"})),
    What.precisions: Evaluation("a folder LETTER/*.jpg of one unseen signer", frozenset({"sentences"})),
    What.across: Evaluation("the folder of training data", frozenset({"sentences"})),
    What.names: Evaluation(None, frozenset({"seed", "sentences", "records"})),
}


def imported(module: str, function: str) -> Any:
    return getattr(importlib.import_module(module), function)


def evaluate(
    what: Annotated[What, typer.Argument(metavar="WHAT", help="What to measure: one of the names below.")],
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="The data to measure on; `answers`, `names`, `noise`, `report` and `synthetic` draw their own and take none; so "
            "does `silence`, beside a folder of .mp4 without signing if there is one; `locate` without one draws signers.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The weights to measure; the bundled ones if not given.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="answers, names, report, silence, synthetic: which unseen people and sentences.")
    ] = None,
    sentences: Annotated[
        int | None, typer.Option(min=1, help="across, answers, names, noise, precisions, report, synthetic: how many.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="report: the HTML page to write (report.html).")] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            help="names, report: a file of what was measured; what it holds is not measured again.", dir_okay=False
        ),
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(
            help="report: records of other weights on the same sentences, to stand beside.", exists=True, dir_okay=False
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="answers, silence, synthetic: a file that gets a line a caption, for `train confidence`.",
            dir_okay=False,
        ),
    ] = None,
    adapter: Annotated[str | None, typer.Option(help="gloss2text: the LoRA adapter of the language model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """Measure the weights on data that they were not trained on."""
    asked = {
        "seed": seed, "sentences": sentences, "out": out, "records": records, "before": before, "record": record,
        "adapter": adapter,
    }  # fmt: skip
    options = {name: value for name, value in asked.items() if value is not None}
    checkpoint = checkpoint or Path(BUNDLED_CHECKPOINT)
    check_evaluation(what, path, checkpoint, options)
    figures = imported(f"models.evaluation.{what.value}", "evaluate")(path, checkpoint, **options)
    show(f"{what.value}: {checkpoint}", figures, as_json)


def check_evaluation(what: What, path: Path | None, checkpoint: Path, options: Mapping[str, object]) -> None:
    evaluation = EVALUATIONS[what]
    for name in options:
        if name not in evaluation.options:
            owner = next(other.value for other, its in EVALUATIONS.items() if name in its.options)
            raise CliError(f"--{name} is an option of `evaluate {owner}`; leave it out for {what.value}.")
    if path is not None and evaluation.reads is None:
        raise CliError(f"{what.value} draws its own data; leave out {path}.")
    if evaluation.reads and not evaluation.draws and path is None:
        raise CliError(f"{what.value} is measured on {evaluation.reads}; name it: signbind evaluate {what.value} PATH.")
    if path is not None and not path.exists():
        raise CliError(f"{path} does not exist; expected {evaluation.reads}.")
    if not checkpoint.is_dir():
        raise CliError(f"{checkpoint} is no folder of weights; name one with --checkpoint.")


def synth(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="An English sentence, in quotes.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The clip to write (.mp4 or .webm).")] = Path(
        "clip.mp4"
    ),
    seed: Annotated[int, typer.Option(help="Which signer, room and camera.")] = 0,
) -> None:
    """Draw the synthetic signer saying TEXT in American Sign Language."""
    if output.suffix.lower() not in (".mp4", ".webm"):
        raise CliError(f"{output}: clips are written as .mp4 or .webm; change the name given with -o.")
    if not any(character.isalnum() for character in text):
        raise CliError(f"{text!r} holds no word to sign; write a sentence such as 'My name is Maria.'.")
    if not output.parent.is_dir():
        raise CliError(f"{output.parent} is no folder; make it first, or write elsewhere with -o.")
    write = imported("models.synthetic.write_clip", "synth")
    with frame_bar("drawing") as bar:
        task = bar.add_task("drawing", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        try:
            write(text, output, seed=seed, progress=progress)
        except OSError as error:
            raise CliError(f"{output} cannot be written ({error.strerror}); write elsewhere with -o.") from error
    typer.echo(str(output))


def frame_bar(name: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def show(title: str, figures: Figures, as_json: bool) -> None:
    """A table of the figures; then, if asked, the same as one line of JSON."""
    from rich.console import Console

    Console().print(figure_table(title, figures))
    if as_json:
        print(json.dumps(plain(figures)))


def figure_table(title: str, figures: Figures) -> Table:
    from rich.table import Table

    table = Table(title=title)
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in flat(figures).items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    return table


def flat(figures: Figures, above: str = "") -> dict[str, object]:
    """{"a": {"b": 1}} -> {"a.b": 1}"""
    rows: dict[str, object] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            rows |= flat(value, f"{above}{name}.")
        else:
            rows[f"{above}{name}"] = value
    return rows


def plain(value: object) -> object:
    """What JSON can hold: numpy's numbers become Python's, what is not a number becomes null."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
