"""signbind live: a file or a camera to a running server at its pace, captions on the terminal as they change."""

from __future__ import annotations

import enum
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_errors import CliError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.client import LiveRequest
    from app.client_media import Media, Piece

Event = dict[str, Any]


class Speed(enum.StrEnum):
    realtime = "realtime"
    max = "max"


class LiveFormat(enum.StrEnum):
    text = "text"
    ndjson = "ndjson"


def live(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A video file, or `camera` (`camera:1` for the second one).")
    ],
    url: Annotated[str, typer.Option(help="The server's address.")] = "http://127.0.0.1:8000",
    speed: Annotated[
        Speed, typer.Option(help="At the video's pace, or as fast as the server takes it.")
    ] = Speed.realtime,
    output: Annotated[
        LiveFormat, typer.Option("--format", help="Captions to read, or a line of JSON per event.")
    ] = LiveFormat.text,
    api_key: Annotated[
        str | None, typer.Option(envvar="SIGNBIND_API_KEY", help="Key, where the server wants one.")
    ] = None,
    vocabulary: Annotated[
        list[str] | None, typer.Option(help="A name to expect when fingerspelled; may be repeated.")
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Captions less sure than this are withheld.")
    ] = None,
    endpoint_ms: Annotated[int | None, typer.Option(min=200, max=5000, help="Rest that ends a sentence.")] = None,
) -> None:
    """Stream a video or the camera to a running server (`signbind serve`) and show the captions while it plays."""
    import asyncio

    from app.client import LiveError, LiveRequest, live_events
    from app.client_media import MediaError

    media, pieces = source_pieces(source)
    asked = {"vocabulary": vocabulary or None, "min_confidence": min_confidence, "endpoint_ms": endpoint_ms}
    options = {name: value for name, value in asked.items() if value is not None}
    request: LiveRequest = LiveRequest(url, media, speed.value, api_key, options)
    show = print_events if output is LiveFormat.ndjson else show_captions

    async def watch() -> None:
        async with aclosing(live_events(request, pieces)) as events:  # whatever ends it, the connection is closed
            await show(events)

    try:
        asyncio.run(watch())
    except (LiveError, MediaError) as error:
        raise CliError(str(error)) from error


def source_pieces(source: str) -> tuple[Media, Iterator[Piece]]:
    """(media, pieces) of what the user named."""
    from app.client_media import camera_pieces, file_pieces, media_of

    name, _, number = source.partition(":")
    if name == "camera" and not Path(source).exists():
        if number and not number.isdigit():
            raise CliError(f"{source} names no camera; write camera, camera:0, camera:1.")
        return "fmp4", camera_pieces(int(number or 0))
    return media_of(Path(source)), file_pieces(Path(source))


async def print_events(events: AsyncIterator[Event]) -> None:
    async for event in events:
        print(json.dumps(event, ensure_ascii=False), flush=True)
        raise_if_error(event)


async def show_captions(events: AsyncIterator[Event]) -> None:
    """The growing caption is rewritten in place on a terminal; final ones stay, one a line."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(Text(""), console=console, auto_refresh=False, transient=True) as screen:
        async for event in events:
            raise_if_error(event)
            if event["type"] == "caption" and event["is_final"]:
                screen.update(Text(""), refresh=console.is_terminal)
                if event["text"]:
                    console.print(final_line(event))
            elif console.is_terminal and (line := passing_line(event)):
                screen.update(Text(line, style="dim"), refresh=True)


def raise_if_error(event: Event) -> None:
    """An `error` ends the session, and so the command."""
    if event["type"] == "error":
        from app.client import error_sentence

        raise CliError(error_sentence(event))


def final_line(event: Event) -> str:
    return f"{clock(event['start_ms'])}  {event['text']}  ({round(100 * event['confidence'])} %)"


def passing_line(event: Event) -> str:
    """What shows below the final captions until the next event."""
    if event["type"] == "caption":
        return f"{clock(event['start_ms'])}  {event['text']} ..."
    if event["type"] == "status" and not event.get("signer_visible", True):
        return "No signer in the picture."
    return ""


def clock(at_ms: int) -> str:
    """62345 -> 01:02.3"""
    tenths = at_ms // 100
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"
