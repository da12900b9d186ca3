"""The largest load that passes: doubled while it does, then bisected. Pure: what a load is, the caller knows."""

from __future__ import annotations

from collections.abc import Callable

FINEST = 32
"""Loads that differ by less than this part of them count as one."""


def largest(passes: Callable[[int], bool], most: int, first: int = 2) -> int:
    """The largest number in 1..most that passes, 0 if not even 1 does; each is tried once.

    1 is tried, then `first`, then twice as many each time. It is exact below 2 * FINEST, beyond that to 1/FINEST, and
    assumes that what passes at N passes below N.
    """
    good, bad = 0, most + 1
    tried = 1
    while tried < bad:
        if not passes(tried):
            bad = tried
            break
        good = tried
        tried = min(most, max(first, 2 * tried)) if good < most else bad
    while bad - good > max(1, good // FINEST) and bad <= most:
        middle = (good + bad) // 2
        if passes(middle):
            good = middle
        else:
            bad = middle
    return good
