"""The decoder processes of all streams: some are kept ready, and all end with the server."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from app.errors import ServiceError
from app.ingest.decoder import Decoder
from app.settings import Settings

log = logging.getLogger("signbind.ingest")


class Supervisor:
    """Hands out ready decoders, keeps spare ones, and ends all of them with the server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spares: deque[asyncio.Task[Decoder]] = deque()
        self._given: set[Decoder] = set()
        self._closed = False

    def prepare(self) -> None:
        """Starts the spare decoders; called again after each that is taken."""
        while not self._closed and len(self._spares) < self._settings.spare_decoders:
            self._spares.append(asyncio.create_task(self._start()))

    async def take(self) -> Decoder:
        """A ready decoder, which the caller gives to `discard` in the end."""
        decoder = await self._spare() or await self._start()
        self._given.add(decoder)
        self.prepare()
        return decoder

    async def discard(self, decoder: Decoder) -> None:
        await decoder.aclose()
        self._given.discard(decoder)

    async def aclose(self) -> None:
        """Ends every decoder, spare or given."""
        self._closed = True
        for task in self._spares:
            task.cancel()
        started = await asyncio.gather(*self._spares, return_exceptions=True)
        spares = [decoder for decoder in started if isinstance(decoder, Decoder)]
        await asyncio.gather(*(decoder.aclose() for decoder in [*spares, *self._given]))
        self._spares.clear()
        self._given.clear()

    async def _spare(self) -> Decoder | None:
        while self._spares:
            task = self._spares.popleft()
            try:
                decoder = await task
            except ServiceError as error:
                log.warning("a spare decoder failed: %s", error)
                continue
            except asyncio.CancelledError:
                await self._abandon(task)
                raise
            if decoder.is_alive:
                return decoder
            await decoder.aclose()
        return None

    async def _abandon(self, task: asyncio.Task[Decoder]) -> None:
        """Whoever waited for `task` is gone; its decoder must not be left behind."""
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, Decoder):
            await result.aclose()

    async def _start(self) -> Decoder:
        decoder = Decoder(self._settings)
        try:
            await decoder.ready()
        except BaseException:
            await decoder.aclose()
            raise
        return decoder
