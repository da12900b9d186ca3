"""Which segments the language model writes next: finals by their deadline, drafts in spare time alone.

No threads, no clocks, no torch. A draft is out of date when a newer one of its segment comes, or its final.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from models.hypothesis import Hypothesis

MOST_WAITING = 256


@dataclass(frozen=True)
class RefineRequest:
    """A segment to be written: ended, or (not `is_final`) still running. `deadline_s` is of the monotonic clock."""

    stream: int
    segment_id: int
    hypothesis: Hypothesis
    vocabulary: tuple[str, ...]
    draft: str
    deadline_s: float
    adapter: str | None = None
    is_final: bool = True

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.hypothesis.tokens)

    @property
    def segment(self) -> tuple[int, int]:
        return self.stream, self.segment_id


@dataclass
class RefineQueue:
    """Requests that wait, and those that are being written, by key; at most `most_rows` are written at a time."""

    most_rows: int
    running: dict[int, RefineRequest] = field(default_factory=dict)
    _finals: list[RefineRequest] = field(default_factory=list)
    _drafts: dict[tuple[int, int], RefineRequest] = field(default_factory=dict)
    _texts: OrderedDict[tuple[int, int], tuple[str, ...]] = field(default_factory=OrderedDict)
    """What was asked of running segments last: tokens that only moved in time are not written again."""
    _next_key: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.running or self._finals or self._drafts)

    @property
    def only_drafts_wait(self) -> bool:
        """Whether nothing is written, and drafts alone could be."""
        return bool(self._drafts) and not (self.running or self._finals)

    @property
    def first_deadline_s(self) -> float:
        """The earliest deadline of all; only where there is one."""
        return min(one.deadline_s for one in (*self.running.values(), *self._finals, *self._drafts.values()))

    def put(self, request: RefineRequest) -> bool:
        """False where it is not taken: too many wait."""
        if not request.is_final:
            self._put_draft(request)
            return True
        self._drafts.pop(request.segment, None)
        self._texts.pop(request.segment, None)
        if len(self._finals) >= MOST_WAITING:
            return False
        self._finals.append(request)
        return True

    def _put_draft(self, request: RefineRequest) -> None:
        is_bounded = len(self._drafts) < MOST_WAITING or request.segment in self._drafts
        if is_bounded and self._texts.get(request.segment) != request.texts:
            self._drafts[request.segment] = request
            self._texts[request.segment] = request.texts
            while len(self._texts) > MOST_WAITING:
                self._texts.popitem(last=False)

    def pop_late(self, now_s: float) -> tuple[list[RefineRequest], list[int]]:
        """(requests that waited too long, keys of those that are written too long); drafts are dropped in silence."""
        late = [one for one in self._finals if one.deadline_s <= now_s]
        self._finals = [one for one in self._finals if one.deadline_s > now_s]
        self._drafts = {segment: one for segment, one in self._drafts.items() if one.deadline_s > now_s}
        return late, [key for key, one in self.running.items() if one.deadline_s <= now_s]

    def outdated(self) -> list[int]:
        """Keys of running drafts that are not worth going on with: a newer word of their segment, or any final, waits."""
        waiting = {one.segment for one in self._finals} | set(self._drafts)
        return [
            key for key, one in self.running.items() if not one.is_final and (self._finals or one.segment in waiting)
        ]

    def take(self, *, drafts: bool = True) -> dict[int, RefineRequest]:
        """What to begin now, by new keys: finals, the earliest deadline first; `drafts` only where no final waits or runs."""
        room = self.most_rows - len(self.running)
        self._finals.sort(key=lambda one: one.deadline_s)
        taken, self._finals = self._finals[:room], self._finals[room:]
        if drafts and not taken and not any(one.is_final for one in self.running.values()):
            taken = list(self._drafts.values())[:room]
            for one in taken:
                del self._drafts[one.segment]
        begun = {self._next_key + place: one for place, one in enumerate(taken)}
        self._next_key += len(taken)
        self.running |= begun
        return begun
