"""When the next request may go: spaced to a number a minute, and held back while the server asks for a rest."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Callable, Mapping

LONGEST_WAIT_S = 300.0


class Pace:
    """Shared by all threads that ask one server; `per_minute` 0 is no limit."""

    def __init__(self, per_minute: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = 60.0 / per_minute if per_minute else 0.0
        self._clock, self._lock, self._next_s = clock, threading.Lock(), 0.0

    def take(self) -> float:
        """Takes the next place in the line; gives the seconds until it comes."""
        with self._lock:
            now = self._clock()
            start = max(now, self._next_s)
            self._next_s = start + self._every_s
            return start - now

    def rest(self, seconds: float) -> None:
        """No new place before so many seconds from now."""
        with self._lock:
            self._next_s = max(self._next_s, self._clock() + seconds)


def told_wait_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """What a server asks for by `retry-after-ms` or `retry-after` (seconds or a date); None when it says nothing usable.

    `now_s` is the time of the day in seconds since 1970.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        told = headers.get(name, "")
        try:
            return min(LONGEST_WAIT_S, max(0.0, float(told) * unit_s))
        except ValueError:
            continue  # absent, or a date
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(LONGEST_WAIT_S, max(0.0, moment.timestamp() - now_s))


def backoff_s(attempt: int, first_s: float, jitter: float) -> float:
    """Doubling from `first_s`, up to a quarter more by `jitter` in 0..1 so that clients do not come back in step."""
    return float(min(LONGEST_WAIT_S, first_s * 2.0 ** (attempt - 1)) * (1 + jitter / 4))
