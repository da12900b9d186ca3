"""Threads that look at pictures, so that the rest of a worker goes on meanwhile. They know slots, not streams.

An eye looks at one batch of chunks at a time; a slot is with one eye at most, so its chunks are looked at in their order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from app.engine.messages import Chunk


@dataclass(frozen=True)
class Looked:
    """Chunks whose pictures were looked at, by slot; the networks over time have not had them yet."""

    chunks: dict[int, Chunk]
    seen: Any
    begun_s: float


class Eyes:
    """`count` threads that run `look`. Its file descriptor can be read when a look is over: wait for it beside a pipe."""

    def __init__(self, count: int, look: Callable[[dict[int, Chunk]], Looked]) -> None:
        self._count, self._look = count, look
        self._pool = ThreadPoolExecutor(count, "eyes")
        self._looking: dict[Future[Looked], Set[int]] = {}
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
        """Slots whose chunks are being looked at, or were and are not collected yet."""
        return frozenset().union(*self._looking.values())

    def look(self, chunks: dict[int, Chunk]) -> None:
        """Sets an idle eye to look."""
        future = self._pool.submit(self._look, chunks)
        self._looking[future] = chunks.keys()
        future.add_done_callback(self._wake)

    def collect(self) -> list[Looked]:
        """What was looked at since the last time, in the order in which it was begun; raises what a look raised."""
        self._forget_waking()
        over = [future for future in self._looking if future.done()]
        for future in over:
            del self._looking[future]
        return [future.result() for future in over]

    def settle(self, slot: int) -> None:
        """Waits until no eye looks at the slot; what was looked at is there to collect."""
        wait([future for future, slots in self._looking.items() if slot in slots])

    def close(self) -> None:
        """Ends the threads, after what they look at."""
        self._pool.shutdown()
        os.close(self._woken)
        os.close(self._wakes)

    def _wake(self, _: Future[Looked]) -> None:
        """Called when a look is over already; who collected it meanwhile is woken once for nothing."""
        os.write(self._wakes, b".")

    def _forget_waking(self) -> None:
        try:
            os.read(self._woken, 4096)
        except BlockingIOError:
            return  # nothing was over
