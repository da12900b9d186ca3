"""Every failure that a client can see: its code, WebSocket close code, HTTP status and text. No other file words one.

`failure("no_slot", retry_after_ms=500)` makes a `ServiceError`; live streams send it as an `error` event and
close with its close code, HTTP answers are RFC 9457 problem documents.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any

PROBLEM_TYPE = "urn:signbind:error:"


@dataclass(frozen=True)
class Failure:
    """One kind of failure. `text` is a format string: what was expected, what came, how to mend it."""

    close_code: int
    http_status: int
    title: str
    text: str
    retryable: bool = False


MEDIA = (4415, 415)

FAILURES: dict[str, Failure] = {
    # what clients say
    "bad_json": Failure(
        4400,
        400,
        "Not JSON",
        'Expected a JSON object in a text message, got {got}; send one such as {{"type": "keepalive"}}.',
    ),
    "unknown_type": Failure(4400, 400, "Unknown message type", "Expected a message's type, got {got}; {hint}"),
    "unknown_option": Failure(
        4400,
        422,
        "Unknown option",
        "{owner} has no option {got!r}; {hint}",
    ),
    "bad_option": Failure(4400, 422, "Bad option", "{owner}: {option}: {problem}, got {got}."),
    "option_missing": Failure(4400, 422, "Option missing", "{owner} needs the option {option!r}: add it, {values}."),
    "media_before_start": Failure(
        4400,
        400,
        "Media before start",
        "Expected session.start as the first message, got {got}; send session.start first.",
    ),
    "started_already": Failure(
        4400,
        400,
        "Started already",
        "This connection has its session already; change options by session.update, or open another connection.",
    ),
    "bad_packet": Failure(
        4400,
        400,
        "Bad packet",
        "Expected a 14-byte header (type, sequence, pts_us, flags) and a payload, got {got}.",
    ),
    "message_too_big": Failure(
        1009,
        413,
        "Message too big",
        "Expected messages of at most {limit_bytes} bytes, got {got_bytes}; send smaller pieces.",
    ),
    "resume_unknown": Failure(
        4400,
        404,
        "Nothing to resume",
        "No session is kept for this resume_token; send session.start without it.",
    ),
    "adapter_unknown": Failure(
        4400,
        422,
        "Unknown adapter",
        "The loaded checkpoint has no adapter {got!r}; leave `adapter` out.",
    ),
    "language_unknown": Failure(
        4400,
        422,
        "Unknown language",
        "The loaded checkpoint writes {known}, not {got!r}; set language_out to one of them.",
    ),
    "idle": Failure(
        4408,
        408,
        "Idle",
        "Nothing came for {idle_s:g} s; send media, or keepalive while the camera is paused.",
    ),
    "start_timeout": Failure(
        4408,
        408,
        "No start",
        "Expected session.start within {limit_s:g} s after connecting; nothing came.",
    ),
    "client_too_slow": Failure(
        1008,
        408,
        "Client too slow",
        "The client reads its captions too slowly ({waiting} events waiting); read messages as they come.",
    ),
    # who they are
    "unauthorized": Failure(
        4401,
        401,
        "Unauthorized",
        "Expected a valid API key (Authorization: Bearer KEY) or client token, got {got}.",
    ),
    "origin_refused": Failure(
        1008,
        403,
        "Origin refused",
        "The origin {got!r} may not use this server; its operator can add it to SIGNBIND_ALLOWED_ORIGINS.",
    ),
    "over_quota": Failure(
        4429,
        429,
        "Over quota",
        "This key may run {limit} streams at the same time and runs them; end one first.",
        True,
    ),
    # their video
    "not_a_video": Failure(
        *MEDIA,
        "Not a video",
        "Expected {expected}, got data that is none; record the video as WebM or MP4.",
    ),
    "truncated": Failure(*MEDIA, "Truncated video", "The video is cut short: {got}; send the whole file again."),
    "no_video_track": Failure(
        *MEDIA,
        "No video track",
        "Expected a video track, got {got} only; turn the camera on and record again.",
    ),
    "no_frames": Failure(
        *MEDIA,
        "No frames",
        "Expected at least one picture, got a video without any; record it again.",
    ),
    "too_many_pixels": Failure(
        *MEDIA,
        "Picture too large",
        "Expected pictures of at most {limit} pixels, got {width}x{height}; scale the video down (640x480 is enough).",
    ),
    "media_undecodable": Failure(
        *MEDIA,
        "Undecodable media",
        "The {what} cannot be decoded ({got}); check the codec that session.start names, and the file.",
    ),
    "decoder_crashed": Failure(
        *MEDIA,
        "Decoder crashed",
        "The decoder stopped on this video ({got}); record or convert it again, the server is not harmed.",
    ),
    "decoder_stalled": Failure(
        *MEDIA,
        "Decoder stalled",
        "The decoder made no progress for {limit_s:g} s on this video; record or convert it again.",
    ),
    "too_large": Failure(
        1009,
        413,
        "Upload too large",
        "Expected at most {limit_bytes} bytes, got more; cut the video, or use a live stream.",
    ),
    "too_long": Failure(
        1009,
        413,
        "Video too long",
        "Expected at most {limit_s:g} s of video, got more; cut the video, or use a live stream.",
    ),
    "no_file": Failure(
        4400,
        422,
        "File missing",
        "Expected multipart/form-data with a part named `file`, got {got}.",
    ),
    # the server's own state
    "no_slot": Failure(
        1013,
        503,
        "No free slot",
        "All {slots} streams of this server are in use; try again in a moment.",
        True,
    ),
    "overloaded": Failure(
        1013,
        503,
        "Overloaded",
        "Video waits {wait_ms:.0f} ms for the engine, over the limit of {limit_ms} ms; try again in a moment.",
        True,
    ),
    "too_many_connections": Failure(
        1013,
        503,
        "Too many connections",
        "The server holds {limit} connections, its limit; try again in a moment.",
        True,
    ),
    "too_slow": Failure(
        1013,
        503,
        "Too slow",
        "The video was not translated within {limit_s:g} s; cut it into parts, or try again when the server has less to do.",
        True,
    ),
    "not_ready": Failure(
        1013,
        503,
        "Not ready",
        "No worker can take a stream now: {reason}; try again in a moment.",
        True,
    ),
    "worker_lost": Failure(
        1012,
        503,
        "Worker lost",
        "The worker that translated this stream stopped and could not be replaced in time; start the session again.",
        True,
    ),
    "shutting_down": Failure(
        1012,
        503,
        "Shutting down",
        "The server is draining: it ends its streams and takes no new ones; connect again in a moment.",
        True,
    ),
    "not_found": Failure(4400, 404, "Not found", "There is nothing at {got!r}; see /docs for what there is."),
    "wrong_method": Failure(
        4400, 405, "Wrong method", "Expected {allowed} at {path!r}, got {got}; see /docs for each path's."
    ),
    "websocket_needed": Failure(
        4400,
        426,
        "WebSocket needed",
        "Expected a WebSocket handshake, got a plain request; connect to ws://.../v1/live, or upload to /v1/translations.",
    ),
    "bad_request": Failure(4400, 400, "Bad request", "The request cannot be served: {got}."),
    "internal": Failure(
        1011,
        500,
        "Internal error",
        "The server met a fault of its own, kept in its log as {reference}; report it with that reference.",
    ),
}


class ServiceError(Exception):
    """A failure on its way to the client."""

    def __init__(self, code: str, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.retry_after_ms = code, message, retry_after_ms

    @property
    def failure(self) -> Failure:
        return FAILURES[self.code]

    def problem(self, instance: str | None = None) -> dict[str, Any]:
        """The RFC 9457 problem document."""
        document: dict[str, Any] = {
            "type": PROBLEM_TYPE + self.code,
            "title": self.failure.title,
            "status": self.failure.http_status,
            "detail": self.message,
            "code": self.code,
            "retryable": self.failure.retryable,
        }
        if instance is not None:
            document["instance"] = instance
        if self.retry_after_ms is not None:
            document["retry_after_ms"] = self.retry_after_ms
        return document

    def headers(self) -> dict[str, str]:
        """The answer's headers: Retry-After in whole seconds, WWW-Authenticate."""
        headers: dict[str, str] = {}
        if self.retry_after_ms is not None:
            headers["Retry-After"] = str(max(1, ceil(self.retry_after_ms / 1000)))
        if self.failure.http_status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="signbind"'
        if self.failure.http_status == 426:
            headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
        return headers


def hint(got: str, known: Iterable[str]) -> str:
    """All known names, and before them the one that `got` was probably meant to be."""
    names = list(known)
    near = difflib.get_close_matches(got, names, n=1)
    return f"{f'did you mean {near[0]!r}? Known' if near else 'known'} are {', '.join(names)}."


def failure(code: str, retry_after_ms: int | None = None, **values: object) -> ServiceError:
    """The failure `code`, its text filled with `values`."""
    kind = FAILURES[code]
    if kind.retryable and retry_after_ms is None:
        retry_after_ms = 1_000
    return ServiceError(code, kind.text.format(**values), retry_after_ms)
