"""A live stream as its client sees it: every wait has an end, every event is checked for its number."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 30.0


class LiveClient:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []

    async def start(self, media: str = "webm", **options: Any) -> dict[str, Any]:
        """Sends session.start and waits for session.ready."""
        await self.say("session.start", media=media, **options)
        return await self.until("session.ready")

    async def say(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def send(self, *messages: bytes) -> None:
        for message in messages:
            await self.connection.send(message)

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next event of this kind and these fields; fails when the connection ends before."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event = await self.next_event()
                if event["type"] == kind and all(event.get(name) == value for name, value in fields.items()):
                    return event

    async def next_event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await self.connection.recv())
        self.events.append(event)
        assert event["seq"] == len(self.events), f"expected seq {len(self.events)}, got {event}"
        assert event["session_id"] == self.events[0]["session_id"]
        return event

    async def until_closed(self) -> int:
        """Reads to the end; the close code."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.next_event()
        assert self.connection.close_code is not None
        return self.connection.close_code

    async def leave(self) -> None:
        """Closes in order, so that the slot is free when this returns."""
        await self.say("close")
        assert await self.until_closed() == 1000

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def errors(self) -> list[str]:
        return [event["code"] for event in self.of("error")]
