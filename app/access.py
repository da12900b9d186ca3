"""Who may use the server: API keys, short-lived client tokens for browsers, and web origins."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.errors import failure
from app.settings import Settings

TOKEN_SUBPROTOCOL = "token."
SHORTEST_TOKEN_S, LONGEST_TOKEN_S, USUAL_TOKEN_S = 10, 7_200, 600


@dataclass(frozen=True)
class Caller:
    """Who calls: a digest of the key (never the key), or `anonymous` where no keys are set."""

    name: str
    subprotocol: str | None = None
    """What a WebSocket answer must name, so that a browser accepts it."""


ANONYMOUS = "anonymous"


class Access:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = {_digest(key.get_secret_value()): _name_of(key.get_secret_value()) for key in settings.api_keys}
        secret = settings.token_secret
        self._secret = secret.get_secret_value().encode() if secret else secrets.token_bytes(32)
        self._streams: Counter[str] = Counter()
        self.connections = 0
        """Live connections now open."""
        self.unconnected = asyncio.Event()
        """Set while none is open."""
        self.unconnected.set()

    @property
    def is_open(self) -> bool:
        return not self._keys

    def caller(self, authorization: str | None, subprotocols: list[str] | None = None) -> Caller:
        """Checks the bearer key or token, or the `token.` subprotocol; raises `unauthorized`."""
        offered = next((name for name in subprotocols or [] if name.startswith(TOKEN_SUBPROTOCOL)), None)
        if self.is_open:
            return Caller(ANONYMOUS, offered)
        if authorization:
            scheme, _, value = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise failure("unauthorized", got=f"the scheme {scheme[:20]!r}")
            return Caller(self._key(value.strip()) or self._token(value.strip()), offered)
        if offered is not None:
            return Caller(self._token(offered.removeprefix(TOKEN_SUBPROTOCOL)), offered)
        raise failure("unauthorized", got="none")

    def key_holder(self, authorization: str | None) -> Caller:
        """Only the holder of an API key (any caller where no keys are set), not of a token."""
        caller = self.caller(authorization)
        if not self.is_open and self._key((authorization or "").partition(" ")[2].strip()) is None:
            raise failure("unauthorized", got="a client token, which cannot make others")
        return caller

    def issue(self, caller: Caller, ttl_s: int) -> tuple[str, int]:
        """(token, Unix time of its end), signed and good for `ttl_s`."""
        expires_s = int(time.time()) + ttl_s
        claims = _encode(json.dumps({"key": caller.name, "exp": expires_s}, separators=(",", ":")).encode())
        return f"{claims}.{self._signature(claims)}", expires_s

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """A web page's origin must be this server's own or allowed; other clients send none. `origin_refused`."""
        origin, allowed = headers.get("origin"), self._settings.allowed_origins
        if origin is None or "*" in allowed or origin in allowed:
            return
        if _host_of(origin) != headers.get("host"):
            raise failure("origin_refused", got=origin[:100])

    @contextmanager
    def connected(self, observe: Callable[[int], None]) -> Iterator[None]:
        """One more live connection for the time of the block; `observe` hears how many there are."""
        self.connections += 1
        self.unconnected.clear()
        observe(self.connections)
        try:
            yield
        finally:
            self.connections -= 1
            observe(self.connections)
            if not self.connections:
                self.unconnected.set()

    @contextmanager
    def counted(self, caller: Caller) -> Iterator[None]:
        """One more stream of this caller for the time of the block; raises `over_quota`."""
        limit = self._settings.max_streams_per_key
        if limit and self._streams[caller.name] >= limit:
            raise failure("over_quota", retry_after_ms=5_000, limit=limit)
        self._streams[caller.name] += 1
        try:
            yield
        finally:
            self._streams[caller.name] -= 1

    def _key(self, value: str) -> str | None:
        found = None
        for digest, name in self._keys.items():  # all of them, so that the time says nothing
            if hmac.compare_digest(digest, _digest(value)):
                found = name
        return found

    def _token(self, token: str) -> str:
        claims, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(claims).encode()):
            raise failure("unauthorized", got="an unknown key or token")
        try:
            stated = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        except (binascii.Error, ValueError):
            raise failure("unauthorized", got="a malformed token") from None
        if stated["exp"] < time.time():
            raise failure("unauthorized", got="a token that has expired")
        if stated["key"] not in self._keys.values():
            raise failure("unauthorized", got="a token of a key that is gone")
        return str(stated["key"])

    def _signature(self, claims: str) -> str:
        return _encode(hmac.new(self._secret, claims.encode(), hashlib.sha256).digest())


def _host_of(origin: str) -> str:
    """Host and port; "" of what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def _name_of(key: str) -> str:
    return "key-" + hashlib.sha256(key.encode()).hexdigest()[:12]
