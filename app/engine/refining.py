"""Segments -> sentences, in a thread beside the steps, so that the language model never delays the video.

All streams share one running batch: a segment joins it at once, leaves with its sentence or at its deadline. What was too
late or failed is answered with None, and the draft stays; what fails is logged with a reference and keeps nobody else waiting.
Drafts of running segments are written in spare time, if asked.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.engine.messages import Refined, RefinedDraft
from app.engine.refine_queue import MOST_WAITING, RefineQueue, RefineRequest
from models.hypothesis import Caption, Wanted

__all__ = ["RefineRequest", "RefineThread"]

log = logging.getLogger("signbind.refine")

CONTEXT_CAPTIONS = 3
MOST_STREAMS = 1_024
DRAFT_PAUSE_S = 0.05
"""After so long it is looked again whether there is time for drafts."""
MOST_ROWS = 32
"""Sentences written at a time; on one core 64 at once take a quarter longer in batches of 32, the first half come sooner."""


@dataclass(frozen=True)
class Before:
    """Sentences that another worker wrote for the stream."""

    stream: int
    texts: tuple[str, ...]


class Captions(Protocol):
    """What the thread asks of `models.speech.Captions`."""

    def join(self, wanted: Mapping[int, Wanted]) -> None: ...
    def leave(self, keys: Collection[int]) -> None: ...
    def step(self, wait_s: float) -> list[tuple[int, Caption | None]]: ...
    def poke(self) -> None: ...
    def close(self) -> None: ...


class RefineThread:
    """Takes requests at any time; answers each final once through `send`, a draft at most once.

    Without `captions` (no language model) finals are answered by None. `writes_drafts` takes drafts, which are else ignored;
    they begin only while there `has_time` for them, so that under full load they are rarer, or are dropped at their deadline.
    """

    def __init__(
        self,
        captions: Captions | None,
        send: Callable[[Refined | RefinedDraft], None],
        *,
        most_rows: int = MOST_ROWS,
        writes_drafts: bool = False,
        has_time: Callable[[], bool] = lambda: True,
    ) -> None:
        self._has_time = has_time
        self._captions, self._send, self._writes_drafts = captions, send, writes_drafts
        self._inbox: queue.Queue[RefineRequest | Before | None] = queue.Queue(MOST_WAITING)
        self._queue = RefineQueue(most_rows)
        self._begun_s: dict[int, float] = {}
        self._context: dict[int, deque[str]] = {}
        self._thread = threading.Thread(target=self._run, name="refine", daemon=True)
        self._thread.start()

    def request(self, request: RefineRequest) -> None:
        """Never waits: a final beyond the bound is answered with None."""
        if not request.is_final and (not self._writes_drafts or self._captions is None):
            return
        try:
            self._inbox.put_nowait(request)
        except queue.Full:
            if request.is_final:
                self._send(Refined(request.stream, request.segment_id, None, 0.0))
        if self._captions is not None:
            self._captions.poke()

    def remember(self, stream: int, texts: tuple[str, ...]) -> None:
        """The stream goes on after these sentences; without them, its next one is written as if it were the first."""
        with contextlib.suppress(queue.Full):
            self._inbox.put_nowait(Before(stream, texts))

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after what it is doing; it is a daemon, so it cannot hold up the process."""
        try:
            self._inbox.put(None, timeout=timeout_s)
        except queue.Full:
            return
        if self._captions is not None:
            self._captions.poke()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while self._take_in():
                self._leave_late()
                self._begin()
                if self._queue.running:
                    self._step()
        except OSError:
            log.info("the server is gone, and this process is about to follow")
        finally:
            if self._captions is not None:
                self._captions.close()

    def _take_in(self) -> bool:
        """All that has come, waiting for it only where nothing else is to do; False at the end."""
        is_idle = self._queue.is_empty
        pauses = self._queue.only_drafts_wait and not self._has_time()
        while True:
            try:
                request = self._inbox.get(is_idle or pauses, None if is_idle else DRAFT_PAUSE_S)
            except queue.Empty:
                return True
            if request is None:
                return False
            is_idle = pauses = False
            if isinstance(request, Before):
                for text in request.texts:
                    self._remember(request.stream, text)
            elif not self._queue.put(request):
                self._answer(request, None, 0.0)

    def _leave_late(self) -> None:
        """Ends what is past its deadline or out of date."""
        waited, written = self._queue.pop_late(time.monotonic())
        for request in waited:
            self._answer(request, None, 0.0)
        self._end(list(dict.fromkeys([*written, *self._queue.outdated()])))

    def _end(self, keys: list[int]) -> None:
        """Ends running requests without a sentence: they are answered first, whether or not the language model can end them."""
        ended = {key: self._queue.running[key] for key in keys}
        for key in keys:
            self._finish(key, None)
        self._leave(ended)

    def _leave(self, ended: Mapping[int, RefineRequest]) -> None:
        if not ended or self._captions is None:
            return
        try:
            self._captions.leave(list(ended))
        except Exception:
            _log_failure("ending", ended.values())

    def _begin(self) -> None:
        """Joins what may begin to the running batch."""
        begun = self._queue.take(drafts=self._has_time())
        self._begun_s |= dict.fromkeys(begun, time.monotonic())
        if not begun:
            return
        if self._captions is None:
            self._end(list(begun))
            return
        if not self._join(begun):
            for key, one in begun.items():
                if len(begun) == 1 or not self._join({key: one}):
                    self._end([key])

    def _join(self, begun: Mapping[int, RefineRequest]) -> bool:
        """False where it fails; of several, one that is at fault keeps out the others."""
        assert self._captions is not None, "nothing joins without a language model"
        try:
            self._captions.join({key: self._wanted(one) for key, one in begun.items()})
        except Exception:
            _log_failure("beginning", begun.values())
            self._leave(begun)
            return False
        return True

    def _wanted(self, request: RefineRequest) -> Wanted:
        context = tuple(self._context.get(request.stream, ()))
        return Wanted(request.hypothesis, request.vocabulary, context, request.adapter, not request.is_final)

    def _step(self) -> None:
        assert self._captions is not None, "nothing runs without a language model"
        try:
            finished = self._captions.step(max(0.0, self._queue.first_deadline_s - time.monotonic()))
        except Exception:
            _log_failure("writing", self._queue.running.values())
            self._end(list(self._queue.running))
            return
        for key, caption in finished:
            if key in self._queue.running:  # else it was answered before, and could not be ended
                self._finish(key, caption)

    def _finish(self, key: int, caption: Caption | None) -> None:
        request = self._queue.running.pop(key)
        self._answer(request, caption, (time.monotonic() - self._begun_s.pop(key)) * 1e3)

    def _answer(self, request: RefineRequest, caption: Caption | None, llm_ms: float) -> None:
        if request.is_final:
            self._remember(request.stream, caption.text if caption else request.draft)
            self._send(Refined(request.stream, request.segment_id, caption, llm_ms))
        elif caption is not None:
            self._send(RefinedDraft(request.stream, request.segment_id, request.hypothesis, caption, llm_ms))

    def _remember(self, stream: int, text: str) -> None:
        self._context.setdefault(stream, deque(maxlen=CONTEXT_CAPTIONS)).append(text)
        while len(self._context) > MOST_STREAMS:
            del self._context[next(iter(self._context))]


def _log_failure(doing: str, requests: Collection[RefineRequest]) -> None:
    """Of the exception that is being handled."""
    segments = ", ".join(f"{one.segment_id} of stream {one.stream}" for one in requests)
    log.exception("%s segments failed (%s), reference %s; the drafts stay", doing, segments, secrets.token_hex(4))
