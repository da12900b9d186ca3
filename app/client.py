"""A live session seen from the client: pieces of video out at their pace, events in as they come.

Both ways are bounded: one piece is read ahead, and a slow socket slows the sender. Every wait has an end.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import websockets
from websockets.asyncio.client import ClientConnection, connect

from app.client_media import Media, Piece

Event = dict[str, Any]
Speed = Literal["realtime", "max"]

LIVE_PATH = "/v1/live"
OPEN_TIMEOUT_S = 15.0
SILENCE_TIMEOUT_S = 60.0
"""A live server says something every second; after this long without a word it is taken for dead."""
MAX_MESSAGE_BYTES = 64 * 1024
MAX_SENT_MARKS = 100_000


class LiveError(Exception):
    """The session failed; the text is one sentence that says how to mend it."""


@dataclass(frozen=True)
class LiveRequest:
    """What to ask of the server; `options` are the other fields of `session.start`."""

    url: str
    media: Media
    speed: Speed = "realtime"
    api_key: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class SentMarks:
    """When each piece of media time left this machine (monotonic seconds), for measuring how late an answer is."""

    def __init__(self) -> None:
        self._at_ms: list[int] = []
        self._sent_s: list[float] = []

    def add(self, at_ms: int) -> None:
        if len(self._at_ms) < MAX_SENT_MARKS and (not self._at_ms or at_ms >= self._at_ms[-1]):
            self._at_ms.append(at_ms)
            self._sent_s.append(time.monotonic())

    def sent_s(self, at_ms: float) -> float | None:
        """When the first piece that holds media time `at_ms` was sent; None if it was not."""
        index = bisect.bisect_left(self._at_ms, at_ms)
        return self._sent_s[index] if index < len(self._sent_s) else None


def live_url(url: str) -> str:
    """`http://host:8000`, `host:8000` or a full `ws://` address -> the address of the live socket."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise LiveError(f"{url} is no server address; expected one such as http://127.0.0.1:8000.")
    path = parts.path if parts.path not in ("", "/") else LIVE_PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


async def live_events(
    request: LiveRequest, pieces: Iterator[Piece], marks: SentMarks | None = None
) -> AsyncGenerator[Event]:
    """Every event of one session, from `session.ready` to `session.closed`; LiveError where it can't be had."""
    connection = await connected(request)
    sender: asyncio.Task[None] | None = None
    try:
        start = {"type": "session.start", "media": request.media, **request.options}
        await begin(connection, start)
        async with aclosing(received(connection)) as events:
            async for event in events:
                if event.get("type") == "session.ready":
                    sender = asyncio.create_task(send_pieces(connection, pieces, request.speed, marks or SentMarks()))
                raise_if_failed(sender)
                yield event
                if event.get("type") == "session.closed":
                    return
    finally:
        await stop(sender)
        await connection.close()


async def connected(request: LiveRequest) -> ClientConnection:
    address = live_url(request.url)
    headers = {"Authorization": f"Bearer {request.api_key}"} if request.api_key else None
    try:
        return await connect(
            address,
            additional_headers=headers,
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=5,
            max_size=2**20,
            max_queue=64,
            proxy=None,
        )
    except websockets.InvalidStatus as refusal:
        raise LiveError(refusal_sentence(address, refusal.response)) from refusal
    except (OSError, TimeoutError, websockets.InvalidHandshake, websockets.InvalidURI) as error:
        raise LiveError(f"No SignBind server answers at {address}; start one with `signbind serve`.") from error


async def begin(connection: ClientConnection, start: Event) -> None:
    """Sends `session.start`. A server that refuses may have closed by then: what it said of that is still to be received."""
    with contextlib.suppress(websockets.ConnectionClosed):
        await connection.send(json.dumps(start))


def refusal_sentence(address: str, response: Any) -> str:
    status = int(response.status_code)
    mend = {
        401: "give its key with --api-key or SIGNBIND_API_KEY",
        403: "give the server's address alone, such as http://127.0.0.1:8000",
        404: "give the address of a SignBind server",
        503: "it is full: try again later",
    }.get(status, "look at the server's log")
    return f"{address} refused the stream with status {status}; {mend}."


async def received(connection: ClientConnection) -> AsyncGenerator[Event]:
    """Decoded text messages until the server closes; LiveError on silence or an early end."""
    while True:
        try:
            message = await asyncio.wait_for(connection.recv(), SILENCE_TIMEOUT_S)
        except TimeoutError as error:
            raise LiveError(f"The server said nothing for {SILENCE_TIMEOUT_S:.0f} s; look at its log.") from error
        except websockets.ConnectionClosed as closed:
            raise LiveError(closed_sentence(closed)) from closed
        if isinstance(message, str):
            yield json.loads(message)


def error_sentence(event: Event) -> str:
    """What an `error` event says, for who runs a command."""
    said = str(event.get("message") or event.get("code") or "the server reported an error")
    if event.get("code") == "unauthorized":
        return f"{said.rstrip('.')}; give it with --api-key or SIGNBIND_API_KEY."
    return said


def closed_sentence(closed: websockets.ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "The connection broke off before the session ended; look whether the server still runs."
    reason = closed.rcvd.reason or "it gave no reason"
    return f"The server closed the session (code {closed.rcvd.code}): {reason.rstrip('.')}; look at its log."


async def send_pieces(connection: ClientConnection, pieces: Iterator[Piece], speed: Speed, marks: SentMarks) -> None:
    """Send every piece when its time has come, then ask for the last captions and the end."""
    with ThreadPoolExecutor(1, thread_name_prefix="media") as reader:
        loop = asyncio.get_running_loop()
        began_s = time.monotonic()
        while (piece := await loop.run_in_executor(reader, next, pieces, None)) is not None:
            if speed == "realtime":
                await asyncio.sleep(max(0.0, began_s + piece.at_ms / 1000 - time.monotonic()))
            for cut in range(0, len(piece.data), MAX_MESSAGE_BYTES):
                await connection.send(piece.data[cut : cut + MAX_MESSAGE_BYTES])
            marks.add(piece.at_ms)
    await connection.send(json.dumps({"type": "finalize"}))
    await connection.send(json.dumps({"type": "close"}))


def raise_if_failed(sender: asyncio.Task[None] | None) -> None:
    """Pass on what went wrong while reading the media; a closed socket is the receiver's to report."""
    if sender is None or not sender.done() or sender.cancelled():
        return
    error = sender.exception()
    if error is not None and not isinstance(error, websockets.ConnectionClosed):
        raise error


async def stop(sender: asyncio.Task[None] | None) -> None:
    if sender is None:
        return
    sender.cancel()
    await asyncio.wait([sender], timeout=5)
    if sender.done() and not sender.cancelled():
        sender.exception()
