"""What a slot's stream goes on from in another process: a few numbers after each chunk, and the features it was told of.

Pixels are not needed again: the temporal networks see features only, so a stream whose process died is replayed from the
features since its networks last started empty, bit for bit, and sight goes on from the boxes it had. All is flat arrays of
fixed size, so that it can lie in memory which outlives the process (`NUMBERS` float64 a slot, see the order below).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.clock import CHUNK_FRAMES
from models.hypothesis import StreamOptions
from models.layout import NUMBERS
from models.locate import PARTS, Boxes, BoxSmoother
from models.segments import Segmenter

NOWHERE = -1.0
SEGMENTER, SLOT = 8, 2
PART = 9
"""Of a part: its smoothed box (there, x, y, side), frames it was missed, its box of the frame before."""
assert SEGMENTER + SLOT + 1 + PART * len(PARTS) == NUMBERS, "models.layout.NUMBERS says another size"


@dataclass(frozen=True)
class Numbers:
    """The numbers, taken apart. `since` is the first step that the temporal networks remember."""

    segmenter: Segmenter
    since: int
    seen: int
    smoother: BoxSmoother
    previous: Boxes | None

    def flat(self) -> NDArray[np.float64]:
        """As (NUMBERS,) float64: every value exactly."""
        s = self.segmenter
        start = NOWHERE if s.start is None else s.start
        flat = [s.now, s.segment_id, start, s.last_signing, s.floor, *s.counts, self.since, self.seen]
        flat.append(self.previous is not None)
        for part in PARTS:
            flat += _flat(self.smoother.last.get(part))
            flat.append(self.smoother.missed.get(part, 0))
            flat += _flat((self.previous or {}).get(part))
        return np.array(flat, np.float64)

    @classmethod
    def of(cls, flat: NDArray[np.float64], options: StreamOptions) -> Numbers:
        """The reverse of `flat`."""
        now, segment, start, last, floor, *counts, since, seen = (int(value) for value in flat[: SEGMENTER + SLOT])
        running = None if start == NOWHERE else start
        segmenter = Segmenter(options, now, segment, running, last, floor, (counts[0], counts[1], counts[2]))
        smoother, previous = BoxSmoother(), {}
        for part, row in zip(PARTS, flat[SEGMENTER + SLOT + 1 :].reshape(-1, PART).tolist(), strict=True):
            smoother.missed[part] = int(row[4])
            if row[0]:
                smoother.last[part] = (row[1], row[2], row[3])
            previous[part] = (row[6], row[7], row[8]) if row[5] else None
        return cls(segmenter, since, seen, smoother, previous if flat[SEGMENTER + SLOT] else None)

    @property
    def chunks(self) -> int:
        """Chunks that the temporal networks remember: these are to be replayed."""
        return (self.segmenter.now - self.since) // CHUNK_FRAMES


def _flat(box: tuple[float, float, float] | None) -> list[float]:
    return [0.0, 0.0, 0.0, 0.0] if box is None else [1.0, *box]
