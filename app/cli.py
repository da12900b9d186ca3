"""signbind: the command line. This file lists the commands; each `cli_*` file holds what a few of them do.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from app import (
    cli_bench,
    cli_doctor,
    cli_errors,
    cli_help,
    cli_labels,
    cli_live,
    cli_recipes,
    cli_serve,
    cli_train,
    cli_translate,
)

app = typer.Typer(
    name="signbind",
    epilog="Begin with `signbind serve` and open http://127.0.0.1:8000, or with `signbind doctor` if something is amiss.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def signbind(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=cli_help.say_version, help="Say the version and exit.")
    ] = False,
) -> None:
    """Live American Sign Language video in, English captions with confidence out."""


app.command(rich_help_panel="Captions")(cli_serve.serve)
app.command(rich_help_panel="Captions")(cli_live.live)
app.command(rich_help_panel="Captions")(cli_translate.translate)
app.command(
    rich_help_panel="Models",
    epilog=cli_help.told(cli_train.STAGES, "The stages, in the order in which they build on each other:"),
)(cli_train.train)
app.command(rich_help_panel="Models", epilog=cli_help.told(cli_recipes.MEASURES, "What can be measured:"))(
    cli_recipes.evaluate
)
app.command(rich_help_panel="Models")(cli_recipes.synth)
app.add_typer(cli_labels.labels, name="labels", rich_help_panel="Models")
app.add_typer(cli_bench.bench, name="bench", rich_help_panel="This machine")
app.command(rich_help_panel="This machine")(cli_doctor.doctor)

for commands in (app, cli_labels.labels, cli_bench.bench):
    cli_help.lay_out(commands)


def main(arguments: list[str] | None = None) -> int:
    """The console script's entry point; `arguments` defaults to the process's own."""
    words = sys.argv[1:] if arguments is None else arguments
    return cli_errors.run(lambda: app(args=words, prog_name="signbind", standalone_mode=False))
