"""signbind translate: a video file to its captions, without a server."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated

import typer

from app.cli_errors import CliError


class Format(enum.StrEnum):
    json = "json"
    verbose_json = "verbose_json"
    text = "text"
    srt = "srt"
    vtt = "vtt"


def translate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video file.")],
    output: Annotated[Format, typer.Option("--format", help="How the captions are written.")] = Format.text,
    vocabulary: Annotated[
        list[str] | None, typer.Option(help="A name to expect when fingerspelled; may be repeated.")
    ] = None,
    endpoint_ms: Annotated[int | None, typer.Option(min=200, max=5000, help="Rest that ends a sentence.")] = None,
) -> None:
    """Write the captions of a video FILE to the terminal; this needs no server.

    Settings come from the environment, as the server's do: SIGNBIND_CHECKPOINT, SIGNBIND_DEVICE, ...
    """
    if not file.is_file():
        raise CliError(f"{file} is no file; name a video that is there.")
    from app.errors import ServiceError
    from app.offline import translate_file

    asked = {"vocabulary": vocabulary, "endpoint_ms": endpoint_ms}
    try:
        transcript = translate_file(file, {name: value for name, value in asked.items() if value is not None})
    except ServiceError as error:
        raise CliError(str(error)) from error
    rendered = transcript.rendered(output.value)
    typer.echo(rendered if isinstance(rendered, str) else json.dumps(rendered, ensure_ascii=False), nl=False)
    if not isinstance(rendered, str):
        typer.echo()
