"""Ended segments -> sentences, in a thread beside the steps, so that the language model never delays the video.

A request that is late already is not begun; what was too late or failed is answered with None, and the draft stays.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.engine.messages import Refined
from models.hypothesis import Caption, Hypothesis

log = logging.getLogger("signbind.refine")

CONTEXT_CAPTIONS = 3
MOST_WAITING = 256
MOST_STREAMS = 1_024


class Refiner(Protocol):
    def refine(
        self,
        hypotheses: list[Hypothesis],
        vocabulary: tuple[str, ...] = (),
        context: tuple[str, ...] = (),
        deadline_s: float | None = None,
    ) -> list[Caption]: ...


@dataclass(frozen=True)
class RefineRequest:
    stream: int
    segment_id: int
    hypothesis: Hypothesis
    vocabulary: tuple[str, ...]
    draft: str
    deadline_s: float


class RefineThread:
    """Takes requests at any time; answers each once through `send`. Without a refiner (no language model), by None."""

    def __init__(self, refiner: Refiner | None, send: Callable[[Refined], None]) -> None:
        self._refiner, self._send = refiner, send
        self._requests: queue.Queue[RefineRequest | None] = queue.Queue(MOST_WAITING)
        self._context: dict[int, deque[str]] = {}
        self._thread = threading.Thread(target=self._run, name="refine", daemon=True)
        self._thread.start()

    def request(self, request: RefineRequest) -> None:
        """Never waits: a request beyond the bound is answered with None."""
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            self._send(Refined(request.stream, request.segment_id, None, 0.0))

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after what it is doing; it is a daemon, so it cannot hold up the process."""
        try:
            self._requests.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            begun_s = time.monotonic()
            caption = self._refined(request, begun_s)
            self._remember(request.stream, caption.text if caption else request.draft)
            llm_ms = (time.monotonic() - begun_s) * 1e3
            try:
                self._send(Refined(request.stream, request.segment_id, caption, llm_ms))
            except OSError:
                return  # the server is gone, and this process is about to follow

    def _refined(self, request: RefineRequest, now_s: float) -> Caption | None:
        if self._refiner is None or now_s >= request.deadline_s:
            return None
        context = tuple(self._context.get(request.stream, ()))
        try:
            left_s = request.deadline_s - now_s
            return self._refiner.refine([request.hypothesis], request.vocabulary, context, left_s)[0]
        except Exception:
            log.exception(
                "refining segment %s of stream %s failed; its draft stays", request.segment_id, request.stream
            )
            return None

    def _remember(self, stream: int, text: str) -> None:
        self._context.setdefault(stream, deque(maxlen=CONTEXT_CAPTIONS)).append(text)
        while len(self._context) > MOST_STREAMS:
            del self._context[next(iter(self._context))]
