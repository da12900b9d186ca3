"""Who gets a slot and a decoder: a stream is admitted at once, or told at once why not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from app.captions import Choices
from app.errors import failure
from app.protocol import Event, Options
from app.services import Services
from app.session import Origin, Session
from models.hypothesis import StreamOptions


async def open_session(
    services: Services, origin: Origin, options: Options, choices: Choices, emit: Callable[[Event], None]
) -> Session:
    """Admits a stream: a slot and a decoder at once, or a `ServiceError` that says why not."""
    settings = services.settings
    if services.closing.is_set():
        raise failure("shutting_down", retry_after_ms=5_000)
    _refuse_unknown(services, options)
    stream_options = StreamOptions(
        options.endpoint_ms or settings.endpoint_ms, settings.max_segment_ms, tuple(choices.vocabulary), options.adapter
    )
    deadline_ms = settings.refine_deadline_ms if origin.is_live else settings.upload_refine_deadline_ms
    async with AsyncExitStack() as taken:  # given back, the last first, if anything after it fails
        engine = services.pool.open(stream_options, deadline_ms / 1000)
        taken.push_async_callback(engine.aclose)
        decoder = await services.supervisor.take()
        taken.push_async_callback(services.supervisor.discard, decoder)
        await decoder.begin(origin.media, origin.codec, engine.ring, origin.file)
        taken.pop_all()
    return Session(services, origin, choices, (engine, decoder), emit)


def choices_of(options: Options, services: Services, interim: bool) -> Choices:
    """A stream's choices, where it made none the server's."""
    least = services.settings.min_confidence if options.min_confidence is None else options.min_confidence
    return Choices(interim, least, options.vocabulary)


def _refuse_unknown(services: Services, options: Options) -> None:
    for model in services.pool.models:
        languages = model.get("languages_out") or ["en"]
        if options.language_out not in languages:
            raise failure("language_unknown", known=" and ".join(languages), got=options.language_out)
        if options.adapter is not None and options.adapter not in (model.get("adapters") or []):
            raise failure("adapter_unknown", got=options.adapter)
