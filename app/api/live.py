"""GET /v1/live: one WebSocket is one live stream. What it says is in `protocol`, what it does in `session`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect

from app.access import Access, Caller
from app.admission import choices_of, open_session
from app.api.problems import problem_responses
from app.errors import FAILURES, ServiceError, failure
from app.ingest.sources import framed
from app.outbox import Outbox
from app.protocol import (
    CLIENT_MESSAGES,
    SERVER_EVENTS,
    Close,
    Finalize,
    GoAway,
    Limits,
    SessionClosed,
    SessionReady,
    SessionStart,
    SessionUpdate,
    Summary,
    error_event,
    parse_client_message,
    parse_packet,
)
from app.services import Services
from app.session import Origin, Session

log = logging.getLogger("signbind.live")
router = APIRouter()

SEND_TIMEOUT_S = 5.0
DRAIN_SHARE = 0.7
"""Of the grace time, what streams have for their last captions; the rest is for ending."""


def _messages() -> dict[str, Any]:
    """JSON Schemas of what either side says, and every failure, for the OpenAPI document: it has no place for WebSockets."""
    return {
        "x-client-messages": {name: model.model_json_schema() for name, model in CLIENT_MESSAGES.items()},
        "x-server-messages": {
            str(model.model_fields["type"].default): model.model_json_schema() for model in SERVER_EVENTS
        },
        "x-failures": {
            code: {
                "title": one.title,
                "close_code": one.close_code,
                "status": one.http_status,
                "retryable": one.retryable,
            }
            for code, one in FAILURES.items()
        },
    }


@router.get(
    "/v1/live", tags=["captions"], summary="A live stream (WebSocket)", response_class=Response, status_code=101,
    responses={101: {"description": "The WebSocket is open."}, **problem_responses(426)}, openapi_extra=_messages(),
)  # fmt: skip
async def live_without_socket() -> Response:
    """Text frames are JSON, binary frames are media. `session.start` comes first and names the media: `webm` or `fmp4` (one
    byte stream, cut anywhere), `packets` or `jpeg` (one frame a message after a 14-byte header: u8 type 1, u32 sequence,
    i64 pts_us, u8 flags with 1 for a key frame, big-endian). The server answers with events, numbered by `seq`.
    """
    raise failure("websocket_needed")


@router.websocket("/v1/live")
async def live(websocket: WebSocket) -> None:
    """A live stream in, caption events out."""
    services: Services = websocket.app.state.services
    access: Access = websocket.app.state.access
    try:
        access.check_origin(websocket.headers)
    except ServiceError as error:
        services.metrics.failures.labels(error.code).inc()
        await websocket.close(error.failure.close_code, error.message[:120])
        return
    await LiveConnection(websocket, services, access).run()


class LiveConnection:
    """From the handshake to the close frame."""

    def __init__(self, websocket: WebSocket, services: Services, access: Access) -> None:
        self._websocket, self._services, self._access = websocket, services, access
        self._settings = services.settings
        self._outbox = Outbox(f"s_{secrets.token_urlsafe(12)}", websocket.send_text)
        self._session: Session | None = None
        self._media = ""
        self._reason = "closed by the client"
        self._closing = False
        self._close_code = 1000

    async def run(self) -> None:
        """Serves the client; whatever happens, it is told, and nothing of the stream is left."""
        sender: asyncio.Task[None] | None = None
        with self._access.connected(self._services.metrics.connections.set):
            try:
                caller, refusal = self._admitted()
                await self._websocket.accept(subprotocol=caller.subprotocol)
                sender = asyncio.create_task(self._outbox.run())
                await self._end(refusal or await self._served(caller))
            except WebSocketDisconnect:
                log.debug("the client is gone")
            finally:
                if sender is not None:
                    sender.cancel()
                    await asyncio.gather(sender, return_exceptions=True)

    def _admitted(self) -> tuple[Caller, ServiceError | None]:
        limit = self._settings.max_connections
        if self._services.closing.is_set():
            return Caller("", self._first_subprotocol()), failure("shutting_down", retry_after_ms=5_000)
        try:
            caller = self._access.caller(
                self._websocket.headers.get("authorization"), self._websocket.scope.get("subprotocols")
            )
        except ServiceError as error:
            return Caller("", self._first_subprotocol()), error
        if self._access.connections > limit:
            return caller, failure("too_many_connections", retry_after_ms=5_000, limit=limit)
        return caller, None

    def _first_subprotocol(self) -> str | None:
        return next(iter(self._websocket.scope.get("subprotocols") or []), None)

    async def _served(self, caller: Caller) -> ServiceError | None:
        """The whole session; the failure that ended it, None after a proper close."""
        try:
            start = await self._first_message()
            with self._access.counted(caller):
                await self._stream(start)
        except ServiceError as error:
            return error
        except WebSocketDisconnect:
            raise
        except Exception:
            reference = secrets.token_hex(4)
            log.exception("live stream failed, reference %s", reference)
            return failure("internal", reference=reference)
        return None

    async def _first_message(self) -> SessionStart:
        receiving = asyncio.create_task(self._receive())
        closing = asyncio.create_task(self._services.closing.wait())
        try:
            await asyncio.wait(
                (receiving, closing), timeout=self._settings.start_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if closing.done():
                raise failure("shutting_down", retry_after_ms=5_000)
            if not receiving.done():
                raise failure("start_timeout", limit_s=self._settings.start_timeout_s)
            message = receiving.result()
        finally:
            receiving.cancel()
            closing.cancel()
            await asyncio.gather(receiving, closing, return_exceptions=True)
        if isinstance(message, bytes):
            raise failure("media_before_start", got=f"{len(message)} bytes of media")
        parsed = parse_client_message(message)
        if not isinstance(parsed, SessionStart):
            raise failure("media_before_start", got=parsed.type)
        if parsed.resume_token is not None:
            raise failure("resume_unknown")
        return parsed

    async def _stream(self, start: SessionStart) -> None:
        choices = choices_of(start, self._services, start.interim)
        session = await open_session(self._services, Origin(start.media, start.codec), start, choices, self._outbox.put)
        self._session, self._media = session, start.media
        active = self._services.metrics.active_streams.labels("live")
        active.inc()
        try:
            self._outbox.put(self._ready())
            await self._until_over(session)
        finally:
            active.dec()
            await session.aclose()

    async def _until_over(self, session: Session) -> None:
        """Runs the session beside the client's messages; the session's end is the end."""
        running = asyncio.create_task(session.run())
        beside = (
            self._listen(session), self._report(session), self._keep_time(session), self._watch_outbox(),
            self._watch_server(session),
        )  # fmt: skip
        others = [asyncio.create_task(work) for work in beside]
        try:
            waited: set[asyncio.Task[None]] = {running, *others}
            while not running.done():
                done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                waited -= done
        finally:
            for task in (running, *others):
                task.cancel()
            await asyncio.gather(running, *others, return_exceptions=True)

    async def _listen(self, session: Session) -> None:
        """The client's messages, until it closes or falls silent."""
        idle_s = self._settings.idle_timeout_s
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    message = await self._receive()
            except TimeoutError:
                raise failure("idle", idle_s=idle_s) from None
            if self._closing:
                continue
            if isinstance(message, bytes):
                await session.feed(self._checked(message))
                continue
            self._obey(session, message)

    def _obey(self, session: Session, text: str) -> None:
        command = parse_client_message(text)
        if isinstance(command, SessionStart):
            raise failure("started_already")
        if isinstance(command, SessionUpdate):
            session.update(command.interim, command.min_confidence, command.vocabulary)
        elif isinstance(command, Finalize):
            session.finalize()
        elif isinstance(command, Close):
            self._closing = True
            session.end_media()

    def _checked(self, message: bytes) -> bytes:
        if self._media in ("webm", "fmp4"):
            return message
        parse_packet(message)
        return framed(message)

    async def _receive(self) -> str | bytes:
        """The next message; WebSocketDisconnect when the client is gone."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006), message.get("reason"))
        data: str | bytes = message["bytes"] if message.get("bytes") is not None else message["text"]
        size, limit = len(data if isinstance(data, bytes) else data.encode()), self._settings.max_message_bytes
        if size > limit:
            raise failure("message_too_big", limit_bytes=limit, got_bytes=size)
        return data

    async def _report(self, session: Session) -> None:
        while True:
            await asyncio.sleep(self._settings.status_interval_s)
            self._outbox.put(session.status())

    async def _keep_time(self, session: Session) -> None:
        """Says `go_away` some time before the longest stream's end, and ends it then."""
        lead_s = min(self._settings.go_away_lead_s, self._settings.max_stream_s)
        await asyncio.sleep(self._settings.max_stream_s - lead_s)
        self._outbox.put(GoAway(time_left_ms=round(lead_s * 1000)))
        await asyncio.sleep(lead_s)
        self._reason, self._closing = "the longest time of a stream is over", True
        session.end_media()

    async def _watch_outbox(self) -> None:
        await self._outbox.overflowed.wait()
        raise failure("client_too_slow", waiting="too many")

    async def _watch_server(self, session: Session) -> None:
        """When the server drains, the running segment is finished and told; who takes too long is told that."""
        await self._services.closing.wait()
        left_s = self._settings.drain_s * DRAIN_SHARE
        if not self._closing:
            self._outbox.put(GoAway(time_left_ms=round(left_s * 1000)))
            self._reason, self._closing = "shutting_down", True
            self._close_code = FAILURES["shutting_down"].close_code
            session.end_media()
        await asyncio.sleep(left_s)
        raise failure("shutting_down", retry_after_ms=5_000)

    def _ready(self) -> SessionReady:
        settings = self._settings
        expires = datetime.now(UTC) + timedelta(seconds=settings.max_stream_s)
        limits = Limits(
            max_message_bytes=settings.max_message_bytes, max_stream_s=settings.max_stream_s,
            idle_timeout_s=settings.idle_timeout_s, max_pixels=settings.max_pixels,
        )  # fmt: skip
        model = next((str(model["id"]) for model in self._services.pool.models), "")
        return SessionReady(limits=limits, model=model, expires_at=expires.isoformat(timespec="seconds"))

    async def _end(self, error: ServiceError | None) -> None:
        """Tells what there is to tell, sends it all, closes."""
        if error is not None:
            self._services.metrics.failures.labels(error.code).inc()
            self._outbox.put(error_event(error))
            self._reason = error.code
        session = self._session
        if session is not None:
            summary = Summary(
                reason=self._reason, duration_ms=session.duration_ms, captions=session.captions, words=session.words,
                frames_dropped=session.frames_dropped,
            )  # fmt: skip
            self._outbox.put(SessionClosed(summary=summary))
        with contextlib.suppress(ServiceError, RuntimeError, WebSocketDisconnect):
            await self._outbox.until_empty(SEND_TIMEOUT_S)
        close_code = self._close_code if error is None else error.failure.close_code
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._websocket.close(
                    close_code, error.code if error else "" if close_code == 1000 else self._reason
                )
