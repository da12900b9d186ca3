"""Where a segment begins and ends: signing onset, rest, `finalize`, the longest allowed length.

Pure Python, one instance a slot; it counts steps of the frame clock and knows no network. The pipeline asks it before
the experts run (does a segment begin in this chunk?) and tells it the routes afterwards (does it end?).
"""

from __future__ import annotations

from dataclasses import dataclass

from models.clock import CHUNK_FRAMES, FRAME_RATE_HZ
from models.hypothesis import StreamOptions
from models.vocabulary import ROUTES

REST = ROUTES.index("rest")
ONSET_STEPS = 3
"""Steps of signing within a chunk that begin a segment: fewer are a twitch of the classifier."""


@dataclass
class Segmenter:
    """The state of one stream's segmentation; times are steps since the stream was opened."""

    options: StreamOptions
    now: int = 0
    """Steps seen, the chunk last taken included."""
    segment_id: int = -1
    start: int | None = None
    """First step of the running segment, its pre-roll included; None between segments."""
    last_signing: int = 0
    floor: int = 0
    """The chunk boundary after the last segment's signing: no pre-roll reaches before it."""
    counts: tuple[int, int, int] = (0, 0, 0)

    @property
    def running(self) -> bool:
        return self.start is not None

    def begins(self, routes: list[int]) -> bool:
        """Takes an idle chunk's routes; when signing begins in it, the segment runs and `advance` takes the chunk."""
        assert not self.running, "a segment already runs"
        if sum(route != REST for route in routes) < ONSET_STEPS:
            self.now += len(routes)
            return False
        self.segment_id += 1
        self.start = max(self.floor, self.now - CHUNK_FRAMES)
        self.last_signing, self.counts = self.now, (0, 0, 0)
        return True

    @property
    def has_pre_roll(self) -> bool:
        """True when the segment that has just begun reaches back into the chunk before."""
        return self.start is not None and self.start < self.now

    def advance(self, routes: list[int]) -> None:
        """Counts the routes of a running segment's chunk."""
        assert self.running, "no segment runs"
        counts = list(self.counts)
        for route in routes:
            self.now += 1
            counts[route] += 1
            if route != REST:
                self.last_signing = self.now
        self.counts = (counts[0], counts[1], counts[2])

    @property
    def over(self) -> bool:
        """True when the running segment has rested for `endpoint_ms` or reached `max_segment_ms`."""
        if self.start is None:
            return False
        rest_ms = (self.now - self.last_signing) * 1000 / FRAME_RATE_HZ
        length_ms = (self.now - self.start) * 1000 / FRAME_RATE_HZ
        return rest_ms >= self.options.endpoint_ms or length_ms >= self.options.max_segment_ms

    def end(self) -> None:
        """Drops the running segment; the next one starts from nothing."""
        self.floor = -(-self.last_signing // CHUNK_FRAMES) * CHUNK_FRAMES
        self.start = None

    def shares(self) -> tuple[float, float, float]:
        """Share of sign, fingerspelling and rest steps in the running segment."""
        total = max(1, sum(self.counts))
        return self.counts[0] / total, self.counts[1] / total, self.counts[2] / total
