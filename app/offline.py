"""A video file -> its captions, by the same session as a live stream, at full speed and without dropping a frame.

`translate_file` needs no server: it starts an engine of its own and ends it. POST /v1/translations uses the server's.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from app.admission import choices_of, open_session
from app.errors import failure
from app.protocol import CaptionEvent, Event, Options, parse_options
from app.services import Services
from app.session import Origin
from app.settings import load_settings
from app.transcript import Transcript


async def transcribe(services: Services, file: int, options: Options, interim: bool = False) -> Transcript:
    """All captions of the video behind the descriptor `file`; `interim` has drafts made as for a live stream.

    Raises `ServiceError` for what is no video, cut short, too large or too long, and where there is no slot.
    """
    finals: list[CaptionEvent] = []

    def hear(event: Event) -> None:
        if isinstance(event, CaptionEvent) and event.is_final and event.text:
            finals.append(event)

    choices = choices_of(options, services, interim)
    session = await open_session(services, Origin("file", file=file), options, choices, hear)
    active = services.metrics.active_streams.labels("upload")
    active.inc()
    try:
        async with asyncio.timeout(services.settings.upload_timeout_s):
            await session.run()
    except TimeoutError:
        raise failure("too_slow", retry_after_ms=30_000, limit_s=services.settings.upload_timeout_s) from None
    finally:
        active.dec()
        await session.aclose()
    finals.sort(key=lambda caption: caption.segment_id)
    model = next((str(model["id"]) for model in services.pool.models), "")
    return Transcript(tuple(finals), session.duration_ms, model, options.language_out)


def translate_file(path: Path, options: dict[str, Any]) -> Transcript:
    """The captions of one file, without a server; `options` as in session.start (endpoint_ms, vocabulary, ...)."""
    chosen = parse_options(Options, options, owner="translate")
    settings = load_settings(slots=1, workers=1)

    async def work() -> Transcript:
        async with Services.create(settings) as services:
            await services.pool.until_ready(settings.worker_start_timeout_s, gives_up=True)
            with path.open("rb") as file:
                return await transcribe(services, file.fileno(), chosen)

    return asyncio.run(work())
