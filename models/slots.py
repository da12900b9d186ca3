"""What the translator knows of one open stream, outside of the networks: its segment, its search, where its hands were."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.clock import CHUNK_FRAMES
from models.config import BeamConfig
from models.ctc import PrefixBeam
from models.decoded import reading_so_far, search
from models.following import nowhere
from models.hypothesis import Hypothesis
from models.segments import REST, Segmenter
from models.sight import Places
from models.vocabulary import Vocabulary

AHEAD_CHUNKS = 2
"""After a segment's end, the chunks that the networks have as if another segment began with them, where others take a step
anyway: a segment that follows soon finds its pre-roll done."""


class Said(NamedTuple):
    """What the networks say of one chunk of a stream: log posteriors (C, V), alpha (C,), the routes of its steps."""

    log_probs: NDArray[np.float32]
    alpha: NDArray[np.float32]
    routes: list[int]


@dataclass
class Slot:
    """Host-side state of one open stream."""

    segmenter: Segmenter
    beam: PrefixBeam | None = None
    previous: tuple[Tensor, Tensor] | None = None
    """Features of the chunk before, the pre-roll of a segment that begins now."""
    places: Places = field(default_factory=lambda: nowhere(1)[0])
    """Where the signer was after that chunk."""
    routes: list[int] | None = None
    alpha_sum: float = 0.0
    seen: int = 0
    since: int = 0
    """First step that the temporal networks remember."""
    signing: list[bool] = field(default_factory=list)
    """Whether somebody signs or spells, of each step of the running segment."""
    ahead: Said | None = None
    """What was said of the chunk before, if the networks had it as a segment's first."""

    def begin(self, config: BeamConfig, joint: Vocabulary) -> None:
        """A segment begins, with what was said ahead of it."""
        self.beam = search(joint, config, self.segmenter.options.vocabulary)
        self.alpha_sum, self.seen, self.signing = 0.0, 0, []
        self.since = self.segmenter.start or 0
        if self.ahead is not None:
            assert self.segmenter.has_pre_roll, "the chunk before belongs to the last segment"
            self.hear(self.ahead)

    @property
    def may_begin(self) -> bool:
        """Whether a segment is likely to begin with the next chunk: the last one ended not long ago."""
        return self.segmenter.now - self.since <= AHEAD_CHUNKS * CHUNK_FRAMES

    def hear(self, said: Said) -> None:
        """Takes what the networks say of a chunk of the running segment."""
        assert self.beam is not None, "no segment runs"
        self.beam.advance(said.log_probs)
        self.alpha_sum += float(said.alpha.sum())
        self.signing.extend(route != REST for route in said.routes)

    def hypothesis(self, joint: Vocabulary) -> Hypothesis:
        """The reading of the running segment so far."""
        assert self.beam is not None, "no segment runs"
        steps = max(1, len(self.signing))
        alpha, locator = self.alpha_sum / steps, min(1.0, self.seen / steps)
        signing = np.array(self.signing, bool)
        return reading_so_far(self.beam, self.segmenter, joint, alpha=alpha, locator=locator, signing=signing)
