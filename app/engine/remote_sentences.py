"""Sentences by the language model of another server (vLLM, or any that speaks OpenAI's HTTP), many requests at a time.

A `models.speech.Writer`: requests run at once in an event loop of their own; one that leaves closes its connection, so that
the server stops writing too. Its answers pass the same guard as the bundled model's. What fails is None: the draft stays.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import secrets
import threading
from collections.abc import Collection, Mapping

import httpx

from app.engine.messages import LlmConfig
from app.engine.remote_answers import PATHS, body, known_words, pieces_of, with_lower_start
from models.lexemes import Lexemes
from models.prompts import Refined, Request, Show
from models.sentence import sentence

log = logging.getLogger("signbind.refine")

MOST_CONNECTIONS = 64
LISTING_TIMEOUT_S = 5.0


class RemoteSentences:
    """Asks `llm.url`; `lexemes` and `show` are the guard's. All methods but `poke` are for one thread.

    No timeouts here: a caption's deadline ends its request, by `leave`.
    """

    def __init__(self, llm: LlmConfig, lexemes: Lexemes, show: Show) -> None:
        assert llm.url, "a remote language model has a URL"
        self._llm, self._lexemes, self._show = llm, lexemes, show
        self._known = known_words(lexemes)
        self._open: set[int] = set()
        self._done: queue.SimpleQueue[tuple[int, Refined | None] | None] = queue.SimpleQueue()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._open)

    def join(self, requests: Mapping[int, Request]) -> None:
        self._open |= requests.keys()
        self._loop.call_soon_threadsafe(self._begin, dict(requests))

    def leave(self, keys: Collection[int]) -> None:
        self._open -= set(keys)
        self._loop.call_soon_threadsafe(self._cancel, list(keys))

    def step(self, wait_s: float) -> list[tuple[int, Refined | None]]:
        """Waits for an answer or a poke, at most `wait_s`; all answers that are there."""
        found: list[tuple[int, Refined | None]] = []
        try:
            one = self._done.get(timeout=wait_s)
            while True:
                if one is not None and one[0] in self._open:
                    self._open.discard(one[0])
                    found.append(one)
                one = self._done.get_nowait()
        except queue.Empty:
            return found

    def poke(self) -> None:
        self._done.put(None)

    def close(self) -> None:
        """Ends all requests and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()
            self._loop.close()

    async def _serve(self) -> None:
        async with _client(self._llm) as self._client:
            await self._ended.wait()
            self._cancel(list(self._tasks))
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _begin(self, requests: dict[int, Request]) -> None:
        for key, request in requests.items():
            self._tasks[key] = asyncio.create_task(self._answer(key, request))

    def _cancel(self, keys: list[int]) -> None:
        for key in keys:
            if task := self._tasks.get(key):
                task.cancel()

    async def _answer(self, key: int, request: Request) -> None:
        try:
            refined = await self._ask(request)
        except (httpx.HTTPError, ValueError) as error:
            log.warning("the language model at %s: %s; the draft stays", self._llm.url, error or type(error).__name__)
            refined = None
        except Exception:
            log.exception("its answer cannot be read, reference %s; the draft stays", secrets.token_hex(4))
            refined = None
        finally:
            del self._tasks[key]
        self._done.put((key, refined))

    async def _ask(self, request: Request) -> Refined:
        api = self._llm.api
        posted = body(request, api, request.adapter or self._llm.model, self._lexemes)
        response = await self._client.post(PATHS[api], json=posted)
        response.raise_for_status()
        pieces = with_lower_start(pieces_of(response.json(), api), self._lexemes.proper, self._known)
        refined = sentence(pieces, request, self._lexemes, self._show)
        if not refined.text:
            raise ValueError("its answer holds no sentence")
        return refined


def remote_adapters(llm: LlmConfig) -> list[str]:
    """Models of the server that stand on `llm.model` (vLLM lists LoRA adapters so); none where it cannot be asked."""
    headers = _headers(llm)
    try:
        answer = httpx.get(f"{_base(llm)}models", headers=headers, timeout=LISTING_TIMEOUT_S)
        answer.raise_for_status()
        return sorted(str(model["id"]) for model in answer.json()["data"] if model.get("parent") == llm.model)
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("the language model at %s does not list its adapters: %s", llm.url, error or type(error).__name__)
        return []


def _client(llm: LlmConfig) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS)
    transport = httpx.AsyncHTTPTransport(retries=1, limits=limits)
    return httpx.AsyncClient(base_url=_base(llm), headers=_headers(llm), timeout=None, transport=transport)


def _base(llm: LlmConfig) -> str:
    return f"{str(llm.url).rstrip('/')}/"


def _headers(llm: LlmConfig) -> dict[str, str]:
    return {"authorization": f"Bearer {llm.api_key}"} if llm.api_key else {}
