"""signbind serve: the server, with the environment's settings and the options given here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on [127.0.0.1 if not given].")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="The port to listen on [8000 if not given].")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The weights to serve; the bundled ones if not given.")
    ] = None,
) -> None:
    """Serve live captions: the page at /, WebSocket /v1/live, uploads, health and metrics.

    Every setting can come from the environment (SIGNBIND_PORT, SIGNBIND_API_KEYS, ...); an option given here wins.
    """
    from app.main import serve as run
    from app.settings import load_settings

    asked: dict[str, Any] = {"host": host, "port": port, "checkpoint": str(checkpoint) if checkpoint else None}
    run(load_settings(**{name: value for name, value in asked.items() if value is not None}))
