"""The wire messages of a live stream, version 1. Text messages are JSON, binary messages are media.

Client: session.start (first), session.update, keepalive, finalize, close, and media.
Server: session.ready, signing.started, signing.ended, caption, status, go_away, error, session.closed; each with
`session_id`, `seq` (1, 2, ... without gaps) and `server_ts_ms` (Unix time). All other times are media times.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.errors import ServiceError, failure, hint

MEDIA_HEADER = struct.Struct(">BIqB")
"""Head of a `packets` or `jpeg` message, big-endian: u8 type (1 video), u32 sequence, i64 pts_us, u8 flags (1 key)."""
VIDEO, KEY = 1, 1

Media = Literal["webm", "fmp4", "packets", "jpeg"]
Codec = Literal["vp8", "vp9", "h264", "av1"]
Source = Literal["sign", "fingerspelling", "lips", "language"]
VocabularyWord = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Message)


class Options(Message):
    """What a stream or an upload may choose; None takes the server's setting."""

    endpoint_ms: int | None = Field(None, ge=200, le=5_000, description="Rest that ends a segment.")
    min_confidence: float | None = Field(None, ge=0, le=1, description="Captions below it are withheld as [unclear].")
    vocabulary: tuple[VocabularyWord, ...] = Field(
        (), max_length=500, description="Words that fingerspelling is checked against."
    )
    language_out: str = Field("en", max_length=16, description="Language of the captions.")
    adapter: str | None = Field(None, max_length=64, description="Name of an adapter of the checkpoint.")


class SessionStart(Options):
    type: Literal["session.start"] = "session.start"
    media: Media
    codec: Codec | None = Field(None, description="Codec of `packets`.")
    interim: bool = Field(True, description="Send drafts before the final caption.")
    resume_token: str | None = None
    last_seq: int | None = Field(None, ge=0)


class SessionUpdate(Message):
    """Changes from now on; what is left out stays."""

    type: Literal["session.update"] = "session.update"
    interim: bool | None = None
    min_confidence: float | None = Field(None, ge=0, le=1)
    vocabulary: tuple[VocabularyWord, ...] | None = Field(None, max_length=500)


class Keepalive(Message):
    type: Literal["keepalive"] = "keepalive"


class Finalize(Message):
    """End the running segment now and send its final caption."""

    type: Literal["finalize"] = "finalize"


class Close(Message):
    """Finalize, then end the session."""

    type: Literal["close"] = "close"


ClientMessage = SessionStart | SessionUpdate | Keepalive | Finalize | Close
CLIENT_MESSAGES: dict[str, type[Message]] = {
    "session.start": SessionStart,
    "session.update": SessionUpdate,
    "keepalive": Keepalive,
    "finalize": Finalize,
    "close": Close,
}


class CaptionWord(Message):
    text: str
    start_ms: int
    end_ms: int
    confidence: float
    source: Source


class Route(Message):
    sign: float
    fingerspelling: float
    rest: float


class Gate(Message):
    alpha_mean: float = Field(description="Weight of the hands against the lips, 0..1.")
    route: Route


class Latency(Message):
    """Measured, of the newest frame behind this caption; `total` runs from its bytes' arrival to this event."""

    decode: float
    queue: float
    experts: float
    fusion: float
    llm: float
    total: float


class Event(Message):
    type: str


class SigningStarted(Event):
    type: Literal["signing.started"] = "signing.started"
    segment_id: int
    at_ms: int


class SigningEnded(Event):
    type: Literal["signing.ended"] = "signing.ended"
    segment_id: int
    at_ms: int


class CaptionEvent(Event):
    """One caption; `is_final` is said once for a segment, and the caption never changes after it.

    A final one without text takes back its drafts: no word was signed after all.
    """

    type: Literal["caption"] = "caption"
    segment_id: int
    rev: int
    is_final: bool
    stage: Literal["draft", "refined"]
    text: str
    withheld: bool = False
    stable_prefix_len: int = Field(description="Leading characters of the text that later signing cannot change.")
    start_ms: int
    end_ms: int
    newest_ms: int = Field(description="Media time up to which the video had been seen when this was said.")
    stability: float = Field(description="Share of the tokens that cannot change any more.")
    confidence: float = Field(description="Probability that the caption is right.")
    words: tuple[CaptionWord, ...]
    glosses: tuple[str, ...]
    gate: Gate
    latency_ms: Latency


class Status(Event):
    type: Literal["status"] = "status"
    lag_ms: int
    fps_effective: float
    frames_dropped: int
    signer_visible: bool


class Limits(Message):
    max_message_bytes: int
    max_stream_s: float
    idle_timeout_s: float
    max_pixels: int


class SessionReady(Event):
    type: Literal["session.ready"] = "session.ready"
    limits: Limits
    model: str
    resume_token: str | None = None
    expires_at: str = Field(description="When the stream must end, ISO 8601.")
    captions_url: str | None = None


class GoAway(Event):
    type: Literal["go_away"] = "go_away"
    time_left_ms: int
    resume_token: str | None = None


class ErrorEvent(Event):
    type: Literal["error"] = "error"
    code: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None


class Summary(Message):
    reason: str
    duration_ms: int = Field(description="Media time received.")
    captions: int
    words: int
    frames_dropped: int


class SessionClosed(Event):
    type: Literal["session.closed"] = "session.closed"
    summary: Summary


SERVER_EVENTS: tuple[type[Event], ...] = (
    SessionReady, SigningStarted, SigningEnded, CaptionEvent, Status, GoAway, ErrorEvent, SessionClosed,
)  # fmt: skip


@dataclass(frozen=True)
class Packet:
    """One media message of `packets` or `jpeg`."""

    sequence: int
    pts_us: int
    is_key: bool
    payload: bytes


def parse_packet(message: bytes) -> Packet:
    """The header and payload of a `packets` or `jpeg` message; raises `bad_packet`."""
    if len(message) <= MEDIA_HEADER.size:
        raise failure("bad_packet", got=f"{len(message)} bytes")
    kind, sequence, pts_us, flags = MEDIA_HEADER.unpack_from(message)
    if kind != VIDEO:
        raise failure("bad_packet", got=f"type {kind} (1 is video)")
    return Packet(sequence, pts_us, bool(flags & KEY), message[MEDIA_HEADER.size :])


def error_event(error: ServiceError) -> ErrorEvent:
    return ErrorEvent(
        code=error.code, message=error.message, retryable=error.failure.retryable, retry_after_ms=error.retry_after_ms
    )


def parse_client_message(text: str) -> ClientMessage:
    """One text message of a client; raises `ServiceError` that says what is wrong with it."""
    try:
        message = json.loads(text)
    except ValueError:
        raise failure("bad_json", got=f"text that is no JSON ({_shortened(text)})") from None
    if not isinstance(message, dict):
        raise failure("bad_json", got=f"a JSON {type(message).__name__}")
    name = message.get("type")
    kind = CLIENT_MESSAGES.get(name) if isinstance(name, str) else None
    if kind is None:
        got = repr(_shortened(name)) if "type" in message else "none"
        raise failure("unknown_type", got=got, hint=hint(str(name or ""), CLIENT_MESSAGES))
    return parse_options(kind, message, owner=str(name))  # type: ignore[return-value]


def parse_options(model: type[Model], values: dict[str, Any], owner: str) -> Model:
    """`values` checked against `model`; raises `unknown_option`, `option_missing` or `bad_option`."""
    try:
        checked = model.model_validate(values)
    except ValidationError as error:
        raise _option_failure(error.errors()[0], model, owner) from None
    if isinstance(checked, SessionStart) and checked.media == "packets" and checked.codec is None:
        raise failure("option_missing", owner=owner, option="codec", values=_choices(Codec))
    return checked


def _option_failure(first: Any, model: type[Message], owner: str) -> ServiceError:
    option = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = [name for name in model.model_fields if name != "type"]
        return failure("unknown_option", owner=owner, got=_shortened(option), hint=hint(option, known))
    if first["type"] == "missing":
        return failure(
            "option_missing", owner=owner, option=option, values=_choices(model.model_fields[option].annotation)
        )
    return failure("bad_option", owner=owner, option=option, problem=first["msg"], got=_shortened(first["input"]))


def _choices(kind: Any) -> str:
    """ "one of webm, fmp4", for a Literal; all options that must be given are of that kind."""
    return f"one of {', '.join(get_args(kind))}"


def _shortened(value: object, limit: int = 60) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[:limit] + "..."
