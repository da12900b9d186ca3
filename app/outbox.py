"""Events on their way to one client: numbered without gaps when they leave, bounded while they wait.

A client that reads too slowly first loses drafts that a newer one has overtaken and old status reports; none of these
had a number yet. When that does not help, it is told `client_too_slow`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable

from app.errors import failure
from app.protocol import CaptionEvent, ErrorEvent, Event, SessionClosed, Status

MOST_WAITING = 128
LAST_WORDS = (ErrorEvent, SessionClosed)
"""Said once each, as the connection ends: there is always room for them."""


class Outbox:
    def __init__(self, session_id: str, send_text: Callable[[str], Awaitable[None]]) -> None:
        self._session_id, self._send_text = session_id, send_text
        self._waiting: deque[Event] = deque()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.overflowed = asyncio.Event()
        self.seq = 0

    def put(self, event: Event) -> None:
        """Never waits; sets `overflowed` when the client is too slow."""
        if len(self._waiting) >= MOST_WAITING:
            self._thin_out()
        if len(self._waiting) >= MOST_WAITING and not isinstance(event, LAST_WORDS):
            self.overflowed.set()
            return
        self._waiting.append(event)
        self._empty.clear()
        self._filled.set()

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            await self._filled.wait()
            while self._waiting:
                await self._send_text(self._numbered(self._waiting.popleft()))
            self._filled.clear()
            self._empty.set()

    async def until_empty(self, timeout_s: float) -> None:
        """Waits until all is sent; raises `client_too_slow`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            raise failure("client_too_slow", waiting=len(self._waiting)) from None

    def _numbered(self, event: Event) -> str:
        self.seq += 1
        head = {"session_id": self._session_id, "seq": self.seq, "server_ts_ms": round(time.time() * 1000)}
        return json.dumps({"type": event.type, **head, **event.model_dump(exclude={"type"})}, ensure_ascii=False)

    def _thin_out(self) -> None:
        newest: dict[object, Event] = {}
        for event in self._waiting:
            if (key := _overtaken_by(event)) is not None:
                newest[key] = event
        self._waiting = deque(
            event for event in self._waiting if (key := _overtaken_by(event)) is None or newest[key] is event
        )


def _overtaken_by(event: Event) -> object:
    """Events of one key make each other superfluous; None: the event must be sent."""
    if isinstance(event, Status):
        return "status"
    if isinstance(event, CaptionEvent) and not event.is_final:
        return event.segment_id
    return None
