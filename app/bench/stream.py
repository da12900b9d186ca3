"""One paced live stream of the load: frames out when they are due, events in, and when each came.

The stream's own cost is kept small, so that many fit beside the server that they measure: frames are encoded already, and
a frame is one timer and one write.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

from app.bench.clip import START, Clip
from app.client import LiveError, LiveRequest, begin, closed_sentence, connected, error_sentence
from models.clock import STEP_MS

STEP_S = STEP_MS / 1000
GRID_S = 0.004
"""Ten phases of a step, eighty of a chunk."""
FAREWELL_S = 15.0
"""After `close`, the last captions and `session.closed` come within this."""


@dataclass(frozen=True)
class Entry:
    """How a stream of the load begins."""

    url: str
    first: int
    """The clip's frame it begins with, a key frame."""
    delay_s: float = 0.0
    """Between `session.ready` and the first frame: streams of one load shall not tick together."""
    api_key: str | None = None


@dataclass(frozen=True)
class Answer:
    """A caption that came: when the newest frame behind it was sent, and how long after that it was here."""

    sent_s: float
    lag_ms: float


@dataclass(frozen=True)
class Report:
    """One `status` event."""

    at_s: float
    lag_ms: float
    frames_per_s: float
    dropped: int


@dataclass
class Record:
    """What one stream saw; times in seconds of the monotonic clock."""

    sent_s: array[float] = field(default_factory=lambda: array("d"))
    """Of every frame, when it was given to the socket."""
    late_s: array[float] = field(default_factory=lambda: array("d"))
    """How long after its time this program sent every frame."""
    drafts: list[Answer] = field(default_factory=list)
    finals: list[Answer] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    def note(self, event: dict[str, Any], now_s: float) -> None:
        """Counts an event that has just come; LiveError where it is the stream's failure."""
        kind = event["type"]
        if kind == "caption":
            number = event["newest_ms"] // STEP_MS - 1
            if 0 <= number < len(self.sent_s):
                sent_s = self.sent_s[number]
                answers = self.finals if event["is_final"] else self.drafts
                answers.append(Answer(sent_s, 1e3 * (now_s - sent_s)))
        elif kind == "status":
            self.reports.append(Report(now_s, event["lag_ms"], event["fps_effective"], event["frames_dropped"]))
        elif kind == "error":
            raise LiveError(error_sentence(event))


class PacedStream:
    """`run` is the whole life of a stream; `ready` is set once the server has taken it."""

    def __init__(self, clip: Clip, entry: Entry) -> None:
        self._clip, self._entry = clip, entry
        self.record = Record()
        self.ready = asyncio.Event()

    async def run(self, stop: asyncio.Event, door: asyncio.Semaphore) -> None:
        """Streams until `stop`, then closes in order; LiveError where the server does not go along.

        `door` bounds how many streams are being taken in at the same time.
        """
        async with self._opened(door) as connection:
            listening = asyncio.create_task(self._listen(connection))
            sender = Sender(connection, self._clip, self._entry.first, self.record)
            stopping = asyncio.create_task(stop.wait())
            tasks: set[asyncio.Task[Any]] = {listening, stopping}
            try:
                sender.begin(self._entry.delay_s)
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if not stopping.done():
                    await listening  # it has ended, or will: why, only the receiving side can say
                    raise LiveError("The server ended a stream that was still being sent; look at its log.")
                sender.stop()
                await connection.send(json.dumps({"type": "close"}))
                await asyncio.wait_for(listening, FAREWELL_S)
            except TimeoutError as error:
                raise LiveError(f"The server did not end a closed stream within {FAREWELL_S:.0f} s.") from error
            except websockets.ConnectionClosed as closed:
                raise LiveError(closed_sentence(closed)) from closed
            finally:
                sender.stop()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def _opened(self, door: asyncio.Semaphore) -> AsyncIterator[ClientConnection]:
        """A connection whose stream the server has taken."""
        async with AsyncExitStack() as closing:
            async with door:
                connection = await connected(LiveRequest(self._entry.url, "fmp4", api_key=self._entry.api_key))
                closing.push_async_callback(connection.close)
                await begin(connection, START)
                await self._until_ready(connection)
            self.ready.set()
            yield connection

    async def _until_ready(self, connection: ClientConnection) -> None:
        kind = ""
        while kind != "session.ready":
            try:
                event = json.loads(await connection.recv())
            except websockets.ConnectionClosed as closed:
                raise LiveError(closed_sentence(closed)) from closed
            self.record.note(event, time.monotonic())
            kind = event["type"]

    async def _listen(self, connection: ClientConnection) -> None:
        """Every event, to `session.closed`."""
        while True:
            try:
                event = json.loads(await connection.recv())
            except websockets.ConnectionClosed as closed:
                raise LiveError(closed_sentence(closed)) from closed
            self.record.note(event, time.monotonic())
            if event["type"] == "session.closed":
                return


class Sender:
    """Sends a stream's frames by timer, one a step, past the client's own queueing: no task, no future, no wait for each.

    A socket that is held up gathers them, as a camera's would; they count as sent when their time had come. Streams begin
    on a common grid of GRID_S, so that one waking of the event loop serves all that are due.
    """

    def __init__(self, connection: ClientConnection, clip: Clip, first: int, record: Record) -> None:
        self._connection, self._clip, self._first, self._record = connection, clip, first, record
        self._loop = asyncio.get_running_loop()
        self._due_s, self._number = 0.0, 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, delay_s: float) -> None:
        self._due_s = GRID_S * math.ceil((self._loop.time() + delay_s) / GRID_S)
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        protocol, transport = self._connection.protocol, self._connection.transport
        if protocol.state is not State.OPEN or transport.is_closing():
            return  # why it ended, the receiving side says
        now_s = self._loop.time()
        self._record.sent_s.append(now_s)
        self._record.late_s.append(now_s - self._due_s)
        protocol.send_binary(self._clip.message(self._first, self._number))
        transport.write(b"".join(protocol.data_to_send()))
        self._number += 1
        self._due_s += STEP_S
        self._timer = self._loop.call_at(self._due_s, self._tick)
