"""Pseudo-glosses from an OpenAI-compatible server: cached on disk, paced, resumable, patient with a busy server.

Every answer is in the cache (`label_cache.py`) as soon as it comes, so a run that was stopped or killed asks only for what
is missing. An answer that is no gloss is asked for once more with the complaint; then its sentence is refused by name.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from models.training.label_answers import AnswerError, tokens_of
from models.training.label_cache import Answer, AnswerCache, Message, key_of
from models.training.label_rate import Pace, backoff_s, told_wait_s

Progress = Callable[[int, int], None]
PROMPT = Path(__file__).with_name("label_prompt.txt")
ROUNDS = 2
"""Answers asked of a model for one sentence: the first, and one after a complaint."""
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_ITS_SENTENCE = frozenset({400, 413, 422})
"""Once others were answered, these are about the sentence (its content, its length), not about the server."""


class EndpointError(ValueError):
    """The server gives no answers; the text says what came and how to mend it."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask: `url` is the server's base with its version, such as http://localhost:8000/v1."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    prompt: str = ""
    temperature: float | None = 0.0
    requests_per_minute: float = 0.0
    concurrency: int = 4
    timeout_s: float = 60.0
    attempts: int = 8
    first_wait_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")) or not self.model:
            raise ValueError(
                f"an endpoint is a http(s) address and a model, got {self.url!r}, {self.model!r}: give both"
            )
        if self.concurrency < 1 or self.attempts < 1 or self.requests_per_minute < 0:
            raise ValueError("expected at least one request at a time and one attempt, and no negative pace: mend them")


@dataclass
class Spent:
    """What this run asked of the server; `requests` counts every attempt, the tokens are what the server said."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class EndpointGlosser:
    """English -> tokens through the server, each sentence asked once for all time; a context manager, for threads too."""

    def __init__(self, endpoint: Endpoint, cache: Path) -> None:
        self.endpoint, self.spent = endpoint, Spent()
        self._prompt = endpoint.prompt or PROMPT.read_text(encoding="utf-8").strip()
        self._cache, self._pace = AnswerCache(cache), Pace(endpoint.requests_per_minute)
        self._stop, self._lock, self._answered, self._done = threading.Event(), threading.Lock(), False, 0
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._client = httpx.Client(base_url=endpoint.url.rstrip("/"), headers=headers, timeout=endpoint.timeout_s)

    def __enter__(self) -> EndpointGlosser:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._client.close()
        self._cache.__exit__()

    def __call__(self, english: str) -> tuple[str, ...]:
        """Tokens of a sentence; raises AnswerError when no round gave glosses, EndpointError when the server fails."""
        tokens = self._rounds(english, ask=True)
        assert tokens is not None, english
        return tokens

    def known(self, english: str) -> tuple[str, ...] | None:
        """As the call, but asks nothing: None for a sentence that the server was not asked to the end."""
        return self._rounds(english, ask=False)

    def fetch(self, sentences: Iterable[str], seconds: float, progress: Progress | None = None) -> None:
        """Asks for all that are not known, several at a time, for so many seconds; then `known` has them.

        `progress` hears after each sentence how many are done, and of how many, from one thread at a time. Raises
        EndpointError at the first that the server fails; answers under way are still kept.
        """
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for english in dict.fromkeys(sentences):
            waiting.put(english)
        end, count = time.monotonic() + seconds, waiting.qsize()

        def told() -> None:
            with self._lock:
                self._done += 1
                if progress is not None:
                    progress(self._done, count)

        self._done = 0
        with ThreadPoolExecutor(self.endpoint.concurrency, "labels") as pool:
            workers = [pool.submit(self._work, waiting, end, told) for _ in range(self.endpoint.concurrency)]
            try:
                for worker in as_completed(workers):
                    worker.result()
            except BaseException:
                self._stop.set()  # the others end after the request that they have under way
                raise

    def _work(self, waiting: queue.SimpleQueue[str], end: float, told: Callable[[], None]) -> None:
        while time.monotonic() < end and not self._stop.is_set():
            try:
                english = waiting.get_nowait()
            except queue.Empty:
                return
            with suppress(AnswerError):  # it is in the cache; `known` raises it where the sample is refused by name
                self(english)
            told()

    def _rounds(self, english: str, *, ask: bool) -> tuple[str, ...] | None:
        messages = [{"role": "system", "content": self._prompt}, {"role": "user", "content": english}]
        refused = AnswerError("")
        for _ in range(ROUNDS):
            key = key_of(self.endpoint.model, messages)
            answer = self._cache.get(key) or (self._asked(key, messages, english) if ask else None)
            if answer is None:
                return None
            if answer.text is None:
                raise AnswerError(f"the server refused {english!r} ({answer.why}); leave the sample out")
            try:
                return tokens_of(answer.text, english)
            except AnswerError as error:
                refused = error
                complaint = (
                    f"That was no line of glosses: {str(error).split(';')[0]}. Answer again with the glosses alone."
                )
                messages += [{"role": "assistant", "content": answer.text}, {"role": "user", "content": complaint}]
        raise refused

    def _asked(self, key: str, messages: list[Message], english: str) -> Answer:
        body: dict[str, object] = {"model": self.endpoint.model, "messages": messages}
        if self.endpoint.temperature is not None:
            body["temperature"] = self.endpoint.temperature
        answer = self._post(body)
        self._cache.put(key, english, answer)
        with self._lock:
            self._answered = self._answered or answer.text is not None
            self.spent.prompt_tokens += answer.prompt_tokens
            self.spent.completion_tokens += answer.completion_tokens
        return answer

    def _post(self, body: dict[str, object]) -> Answer:
        failure = "nothing"
        for attempt in range(1, self.endpoint.attempts + 1):
            if self._stop.wait(self._pace.take()):
                break
            with self._lock:
                self.spent.requests += 1
            wait_s = backoff_s(attempt, self.endpoint.first_wait_s, random.random())
            try:
                response = self._client.post("/chat/completions", json=body)
            except httpx.TransportError as error:
                failure = f"{type(error).__name__}: {error}"
            else:
                answer, failure = self._read(response)
                if answer is not None:
                    return answer
                told_s = told_wait_s(response.headers, time.time())
                if told_s is not None:
                    wait_s = 0.0  # all wait, by the shared pace
                    self._pace.rest(told_s)
            if attempt < self.endpoint.attempts and self._stop.wait(wait_s):
                break
        raise EndpointError(
            f"expected glosses from {self.endpoint.url}, got {failure}; look at the server, then run again: answers are kept"
        )

    def _read(self, response: httpx.Response) -> tuple[Answer | None, str]:
        """The answer, or None and what failed when another attempt may mend it; raises EndpointError when none would."""
        said = " ".join(response.text.split())[:160]
        status = f"status {response.status_code}: {said}"
        if response.is_success:
            answer = _answer(response)
            return answer, f"no chat completion: {said!r} (does the address end with its version, as /v1?)"
        if response.status_code in _ITS_SENTENCE and self._answered:
            return Answer(None, status), ""
        if response.status_code not in _BUSY or "insufficient_quota" in response.text:
            raise EndpointError(
                f"{self.endpoint.url} refuses: {status}; mend address, model, key or quota, then run again"
            )
        return None, status


def _answer(response: httpx.Response) -> Answer | None:
    """None when the body is no chat completion; a completion without a text (a refusal, say) has an empty one."""
    try:
        held = response.json()
        content = held["choices"][0]["message"]["content"]
        usage = held.get("usage") or {}
        counts = (int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
    except (LookupError, TypeError, AttributeError, ValueError):  # no JSON is a ValueError
        return None
    return Answer(content if isinstance(content, str) else "", "", *counts)
