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
from models.following import PARTS, PLACE
from models.hypothesis import StreamOptions
from models.layout import NUMBERS
from models.segments import Segmenter

NOWHERE = -1.0
SEGMENTER, SLOT = 8, 2
assert SEGMENTER + SLOT + PLACE * len(PARTS) == NUMBERS, "models.layout.NUMBERS says another size"


@dataclass(frozen=True)
class Numbers:
    """The numbers, taken apart. `since` is the first step that the temporal networks remember, `places` (PARTS, 9) where
    the signer was."""

    segmenter: Segmenter
    since: int
    seen: int
    places: NDArray[np.float64]

    def flat(self) -> NDArray[np.float64]:
        """As (NUMBERS,) float64: every value exactly."""
        s = self.segmenter
        start = NOWHERE if s.start is None else s.start
        numbers = (s.now, s.segment_id, start, s.last_signing, s.floor, *s.counts, self.since, self.seen)
        return np.concatenate((numbers, self.places.reshape(-1)))

    @classmethod
    def of(cls, flat: NDArray[np.float64], options: StreamOptions) -> Numbers:
        """The reverse of `flat`."""
        now, segment, start, last, floor, *counts, since, seen = (int(value) for value in flat[: SEGMENTER + SLOT])
        running = None if start == NOWHERE else start
        segmenter = Segmenter(options, now, segment, running, last, floor, (counts[0], counts[1], counts[2]))
        return cls(segmenter, since, seen, flat[SEGMENTER + SLOT :].reshape(len(PARTS), PLACE).copy())

    @property
    def chunks(self) -> int:
        """Chunks that the temporal networks remember: these are to be replayed."""
        return (self.segmenter.now - self.since) // CHUNK_FRAMES
