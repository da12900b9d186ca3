"""Pseudo-glosses from an OpenAI-compatible server: cached on disk, resumable, patient with a busy server.

Every answer is appended to the cache file as it comes, under a digest of model, instruction and sentence, so a run that
was stopped asks only for what is missing.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

INSTRUCTION = (
    "Write the American Sign Language pseudo-glosses of the English sentence: its content words as lemmas in capital"
    " letters, in ASL order (time, topic, comment), without articles, copulas and inflection. Write I and me as ME. Write a"
    " proper noun as # and its letters, such as #MARIA. Answer with the glosses on one line, blanks between them, and"
    " nothing else."
)
_TOKEN = re.compile(r"#?[A-Z0-9]+(?:[-'][A-Z0-9]+)*")
_BUSY = frozenset({408, 409, 429, 500, 502, 503, 504})


class EndpointError(ValueError):
    """The server did not give glosses; the text says what came."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask: `url` is the server's base with its version, such as http://localhost:8000/v1."""

    url: str
    model: str
    key: str = ""
    timeout_s: float = 60.0
    attempts: int = 5
    first_wait_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")) or not self.model:
            raise ValueError(
                f"an endpoint is a http(s) address and a model, got {self.url!r}, {self.model!r}: give both"
            )


class EndpointGlosser:
    """English -> tokens through the server, each sentence asked once for all time; a context manager."""

    def __init__(self, endpoint: Endpoint, cache: Path) -> None:
        self.endpoint, self.cache = endpoint, cache
        self.asked = 0
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._client = httpx.Client(base_url=endpoint.url.rstrip("/"), headers=headers, timeout=endpoint.timeout_s)
        self._known = _read(cache)
        cache.parent.mkdir(parents=True, exist_ok=True)
        self._file = cache.open("a", encoding="utf-8")

    def __enter__(self) -> EndpointGlosser:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._file.close()

    def __call__(self, english: str) -> tuple[str, ...]:
        key = hashlib.sha256(f"{self.endpoint.model}\n{INSTRUCTION}\n{english}".encode()).hexdigest()
        if key not in self._known:
            self._known[key] = tokens_of(self._ask(english), english)
            self._file.write(json.dumps({"key": key, "english": english, "tokens": self._known[key]}) + "\n")
            self._file.flush()
        return self._known[key]

    def _ask(self, english: str) -> str:
        messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": english}]
        body = {"model": self.endpoint.model, "messages": messages, "temperature": 0}
        self.asked += 1
        for attempt in range(1, self.endpoint.attempts + 1):
            try:
                response = self._client.post("/chat/completions", json=body)
            except httpx.TransportError as error:
                failure, wait_s = f"{type(error).__name__}: {error}", self._wait_s(attempt)
            else:
                if response.is_success:
                    return _content(response)
                failure = f"status {response.status_code}: {response.text[:120]}"
                if response.status_code not in _BUSY:
                    break
                wait_s = self._wait_s(attempt, response.headers.get("retry-after", ""))
            if attempt < self.endpoint.attempts:
                time.sleep(wait_s)
        raise EndpointError(
            f"expected glosses from {self.endpoint.url}, got {failure}; look at the server, then run again"
        )

    def _wait_s(self, attempt: int, told: str = "") -> float:
        """Doubling, unless the server says how long."""
        return (
            min(60.0, float(told)) if told.isdigit() else min(60.0, self.endpoint.first_wait_s * 2.0 ** (attempt - 1))
        )


def tokens_of(answer: str, english: str) -> tuple[str, ...]:
    """The tokens of an answer of one line; raises EndpointError when it holds anything but glosses."""
    tokens = tuple(answer.strip().replace(",", " ").rstrip(".?!").split())
    odd = [token for token in tokens if not _TOKEN.fullmatch(token)]
    if odd or not tokens:
        raise EndpointError(
            f"expected glosses in capitals for {english!r}, got {answer.strip()[:80]!r}; try another model"
        )
    return tokens


def _content(response: httpx.Response) -> str:
    try:
        return str(response.json()["choices"][0]["message"]["content"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise EndpointError(
            f"expected a chat completion, got {response.text[:120]!r}; check that the address ends with its version, as /v1"
        ) from error


def _read(cache: Path) -> dict[str, tuple[str, ...]]:
    """A line cut off by a crash is left out: its sentence is asked again."""
    known: dict[str, tuple[str, ...]] = {}
    if not cache.is_file():
        return known
    text = cache.read_text(encoding="utf-8")
    for line in text.split("\n"):
        try:
            held = json.loads(line)
            known[held["key"]] = tuple(held["tokens"])
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    if text and not text.endswith("\n"):
        with cache.open("a", encoding="utf-8") as file:
            file.write("\n")
    return known
