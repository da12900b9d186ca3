"""signbind serve: the server, with the environment's settings and the options given here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_errors import CliError

if TYPE_CHECKING:
    from app.settings import Settings


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
    settings = load_settings(**{name: value for name, value in asked.items() if value is not None})
    refuse_unservable(settings)
    run(settings)


def refuse_unservable(settings: Settings) -> None:
    """CliError for weights or a GPU that are not there, a port that is taken: better now than as a server that is never ready."""
    from app.cli_doctor import free_port, lacking_device, weights

    found = weights(Path(settings.checkpoint))
    if found.level == "missing":
        raise CliError(f"The weights cannot be served: {found.text}.")
    if (lacking := lacking_device(settings.worker_devices)) is not None:
        raise CliError(f"{lacking}.")
    port = free_port(settings.host, settings.port)
    if port.level != "ok":
        raise CliError(f"{port.text}.")
