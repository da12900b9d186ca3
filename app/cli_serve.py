"""signbind serve: the server, with the environment's settings and the options given here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="The port to listen on.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The weights to serve; the bundled ones if not given.")
    ] = None,
) -> None:
    """Serve live captions: the page at /, WebSocket /v1/live, uploads, health and metrics."""
    from app.main import serve as run
    from app.settings import load_settings

    asked: dict[str, Any] = {"host": host, "port": port, "checkpoint": str(checkpoint) if checkpoint else None}
    run(load_settings(**{name: value for name, value in asked.items() if value is not None}))
