"""signbind labels: pseudo-labels of English sentences; their audit by a person; the filter between two labellers."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from app.cli_errors import CliError

labels = typer.Typer(
    help="Make pseudo-labels of English sentences, have a person audit them, keep what two labellers agree on.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")]
Labels = Annotated[Path, typer.Argument(metavar="LABELS", help="A labels.jsonl, or the folder that holds it.")]


class By(enum.StrEnum):
    rules = "rules"
    lexicon = "lexicon"
    endpoint = "endpoint"


class Measure(enum.StrEnum):
    f1 = "f1"
    edit = "edit"


@labels.command()
def make(
    data: Annotated[
        list[str],
        typer.Option(
            help="Sentences: a file of lines NAME<tab>English, the folder of training data, or a corpus as how2sign=DIR;"
            " may be repeated for corpora."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder for labels.jsonl and refused.jsonl; a run goes on there.")],
    by: Annotated[By, typer.Option(help="Who labels; docs/labels.md says what the rules can do.")] = By.rules,
    url: Annotated[
        str, typer.Option(help="endpoint: the server's base with its version, as http://localhost:8000/v1.")
    ] = "",
    model: Annotated[str, typer.Option(help="endpoint: the model's name there.")] = "",
    key_file: Annotated[Path | None, typer.Option(help="endpoint: a file that holds the API key alone.")] = None,
    prompt: Annotated[Path | None, typer.Option(help="endpoint: another instruction than the built-in one.")] = None,
    requests_per_minute: Annotated[float, typer.Option(min=0, help="endpoint: at most so many; 0: no limit.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="endpoint: requests at the same time.")] = 4,
    temperature: Annotated[
        float, typer.Option(help="endpoint: the sampling temperature; below 0: leave it to the server.")
    ] = 0,
    minutes: Annotated[float, typer.Option(min=0.01, help="Stop after so long; the next run goes on.")] = 600,
    as_json: Json = False,
) -> None:
    """Write glosses, spelled words and phonemes of every sentence; what has no label is refused by name."""
    from app.cli_recipes import frame_bar, imported, show

    endpoint = None
    if by is By.endpoint:
        endpoint = imported("models.training.label_endpoint", "Endpoint")(
            url, model, key=read_text(key_file, "the API key"), prompt=read_text(prompt, "the instruction"),
            temperature=temperature if temperature >= 0 else None,
            requests_per_minute=requests_per_minute, concurrency=concurrency,
        )  # fmt: skip
    elif url or model or key_file or prompt or (requests_per_minute, concurrency, temperature) != (0, 4, 0):
        raise CliError(
            "--url, --model, --key-file, --prompt, --requests-per-minute, --concurrency and --temperature are the"
            " endpoint's; add --by endpoint or leave them out."
        )
    sentences = imported("models.training.labels_stage", "sentences_of")(data)
    rules = "rules" if endpoint is not None else by.value
    with frame_bar("labels") as bar:
        task = bar.add_task("labels", total=None)
        figures = imported("models.training.labels_stage", "make")(
            sentences, out, minutes=minutes, endpoint=endpoint, by=rules,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    show(f"labels by {by.value}: {out}", figures, as_json)


def read_text(path: Path | None, what: str) -> str:
    if path is None:
        return ""
    if not path.is_file() or not (text := path.read_text(encoding="utf-8").strip()):
        raise CliError(f"{path} is no file with {what}; name one that holds it.")
    return text


@labels.command()
def audit(
    file: Labels,
    samples: Annotated[int, typer.Option(min=2, max=10_000, help="How many labels are drawn.")] = 100,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page; beside the labels if not given.")
    ] = None,
) -> None:
    """Write a page on which a person marks tokens right or wrong; it works without network, from any folder."""
    from app.cli_recipes import imported

    path = labels_file(file)
    found = imported("models.training.label_files", "read_labels")(path)
    drawn = imported("models.training.audit.page", "drawn")(found, path.name, samples, seed)
    output = output or path.with_suffix(".audit.html")
    imported("models.training.label_files", "replace_text")(
        output, imported("models.training.audit.page", "page")(drawn)
    )
    typer.echo(
        f"{output}: {len(drawn.samples)} of {len(found)} labels. Open it in a browser, mark, save the result, then"
    )
    typer.echo(f"  signbind labels result {path} RESULT.json")


@labels.command()
def result(
    file: Labels,
    marks: Annotated[Path, typer.Argument(metavar="RESULT.json", help="What the page saved.")],
    as_json: Json = False,
) -> None:
    """Read an audit back: the token accuracy with its interval, noted beside the labels for whoever trains on them."""
    from app.cli_recipes import imported, show

    if not marks.is_file():
        raise CliError(f"{marks} does not exist; name the file that the audit page saved.")
    path = labels_file(file)
    read = imported("models.training.audit.result", "read_result")(marks)
    imported("models.training.audit.result", "check_belongs")(
        read, imported("models.training.label_files", "read_labels")(path)
    )
    figures = imported("models.training.audit.trust", "note_audit")(path, read)["figures"]
    show(f"audit of {path}", figures, as_json=False)
    typer.echo(imported("models.training.audit.trust", "verdict")(figures))
    if as_json:
        print_json(figures)


@labels.command(name="filter")
def keep_agreed(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="The labels of which some are kept.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Another labeller's, of the same sentences.")],
    out: Annotated[Path, typer.Option(help="The folder for the labels.jsonl that is kept.")],
    measure: Annotated[
        Measure, typer.Option(help="f1: the same tokens in any order; edit: in the same order.")
    ] = Measure.f1,
    least: Annotated[float, typer.Option(min=0, max=1, help="Keep samples that agree at least so far.")] = 0.8,
    as_json: Json = False,
) -> None:
    """Keep the samples of FIRST on whose tokens SECOND agrees; an audit of FIRST is carried over to what is kept."""
    from app.cli_recipes import imported, show

    paths = labels_file(first), labels_file(second)
    if (out / "labels.jsonl").resolve() in {path.resolve() for path in paths}:
        raise CliError(f"{out} holds one of the two labels; give another --out.")
    read = imported("models.training.label_files", "read_labels")
    agreed = imported("models.training.label_filter", "agreed")(
        read(paths[0]), read(paths[1]), measure=measure.value, least=least
    )
    more = imported("models.training.label_filter", "write_agreed")(
        agreed, *paths, out, measure=measure.value, least=least
    )
    show(f"kept in {out}", {**agreed.figures(), **more}, as_json)


@labels.command()
def measure(
    data: Annotated[Path, typer.Option(help="The folder of training data, with text/ncslgr.train.tsv.")],
    by: Annotated[By, typer.Option(help="rules or lexicon.")] = By.rules,
    as_json: Json = False,
) -> None:
    """Compare a rule labeller with the glosses that people wrote for the same sentences (NCSLGR)."""
    from app.cli_recipes import imported, show

    if by is By.endpoint:
        raise CliError("measure compares rules alone; audit an endpoint's labels with `signbind labels audit`.")
    glosser = imported("models.training.labels_stage", "rules")(by.value)
    figures = imported("models.training.label_measure", "measure")(data, glosser)
    show(f"{by.value} against people", figures, as_json)


def labels_file(path: Path) -> Path:
    return path / "labels.jsonl" if path.is_dir() else path


def print_json(figures: object) -> None:
    import json

    print(json.dumps(figures))
