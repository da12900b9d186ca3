"""How help is laid out: paragraphs that flow at any width, and lists of names with what each means."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import metadata

import typer


def flowing(text: str) -> str:
    """A docstring with each paragraph on one line: typer would keep its line breaks, and break them again."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def lay_out(app: typer.Typer) -> None:
    """Every command's docstring as its help, whatever the terminal's width."""
    for command in app.registered_commands:
        command.help = flowing((command.callback and command.callback.__doc__) or "")


def say_version(asked: bool) -> None:
    """Of the installed package, or none where it runs from its sources."""
    if asked:
        try:
            typer.echo(f"signbind {metadata.version('signbind')}")
        except metadata.PackageNotFoundError:
            typer.echo("signbind, not installed as a package")
        raise typer.Exit


def told(names: Mapping[str, str], heading: str) -> str:
    """An epilogue with a line a name."""
    width = max(map(len, names))
    return "\n\n".join([heading, *(f"[cyan]{name:<{width}}[/]  {meaning}" for name, meaning in names.items())])
