"""Threads that look at pictures, so that the rest of a worker goes on meanwhile. They know slots, not streams.

An eye looks at one batch of chunks at a time, then takes the next by itself if any waits: it never waits for what follows a
look. A slot is with one eye at most, so its chunks are looked at in their order.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from app.engine.messages import Chunk

Batch = dict[int, Chunk]
"""Chunks by their slots."""


@dataclass(frozen=True)
class Looked:
    """Chunks whose pictures were looked at, by slot; the networks over time have not had them yet."""

    chunks: Batch
    seen: Any
    begun_s: float


class Eyes:
    """`count` threads that run `look` on what `take` gives them, which is called with the slots that are looked at already and
    the number of idle eyes, under `lock`. Its file descriptor can be read when a look is over: wait for it beside a pipe."""

    def __init__(self, count: int, look: Callable[[Batch], Looked], take: Callable[[Set[int], int], Batch]) -> None:
        self._count, self._look, self._take = count, look, take
        self._pool = ThreadPoolExecutor(count, "eyes")
        self.lock = threading.RLock()
        """Guards what `take` reads, and what is looked at and over."""
        self._changed = threading.Condition(self.lock)
        self._looking: list[Batch] = []
        self._over: list[Looked | Exception] = []
        self._is_closed = False
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._woken, False)

    def fileno(self) -> int:
        return self._woken

    @property
    def idle(self) -> int:
        """Eyes that look at nothing."""
        return self._count - len(self._looking)

    @property
    def slots(self) -> Set[int]:
        """Slots whose chunks are being looked at."""
        with self.lock:
            return frozenset[int]().union(*self._looking)

    @property
    def is_over(self) -> bool:
        """Whether there is something to collect."""
        return bool(self._over)

    def start(self) -> None:
        """Sets idle eyes to look at what waits."""
        with self.lock:
            while chunks := self._next():
                self._pool.submit(self._run, chunks)

    def collect(self) -> list[Looked]:
        """What was looked at since the last time, a slot's chunks in their order; raises what a look raised."""
        self._forget_waking()
        with self.lock:
            over, self._over = self._over, []
        looked: list[Looked] = []
        for outcome in over:
            if isinstance(outcome, Exception):
                raise outcome
            looked.append(outcome)
        return looked

    def settle(self, slot: int) -> None:
        """Waits until no eye looks at the slot; what was looked at is there to collect."""
        with self._changed:
            self._changed.wait_for(lambda: slot not in self.slots)

    def close(self) -> None:
        """Ends the threads, after what they look at."""
        self._is_closed = True
        self._pool.shutdown()
        os.close(self._woken)
        os.close(self._wakes)

    def _next(self) -> Batch:
        """The next batch, noted as being looked at; nothing where no eye is idle or nothing waits."""
        chunks = self._take(self.slots, self.idle) if self.idle and not self._is_closed else {}
        if chunks:
            self._looking.append(chunks)
        return chunks

    def _run(self, chunks: Batch) -> None:
        """An eye's work until nothing waits."""
        while chunks:
            outcome = self._outcome(chunks)
            with self.lock:
                self._looking = [batch for batch in self._looking if batch is not chunks]
                self._over.append(outcome)
                chunks = self._next() if isinstance(outcome, Looked) else {}
                self._changed.notify_all()
            os.write(self._wakes, b".")

    def _outcome(self, chunks: Batch) -> Looked | Exception:
        """A failure is raised where it is collected."""
        try:
            return self._look(chunks)
        except Exception as error:
            return error

    def _forget_waking(self) -> None:
        try:
            os.read(self._woken, 4096)
        except BlockingIOError:
            return  # nothing was over
