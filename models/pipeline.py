"""The translator: one chunk of video in, what changed in the captions out. The contents page of this package.

    frames -> sight -> routing -> experts -> gate, fusion -> ctc -> segments        (step, every 320 ms)
    hypothesis -> names, refine -> confidence -> caption                            (refine, beside the hot path)

A segment is a function of its own frames: the temporal networks start empty at signing onset, with the chunk before it
as a pre-roll, and forget everything at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.backends import Backend
from models.clock import CHUNK_FRAMES
from models.config import BeamConfig
from models.decoded import search
from models.hypothesis import Caption, Hypothesis, Recall, StreamOptions, Update, milliseconds
from models.layout import MANUAL, STEP
from models.recall import Numbers
from models.segments import Segmenter
from models.sight import Chunks, Seen, Sight
from models.slots import Said, Slot
from models.speech import Speaker
from models.temporal import Temporal
from models.vocabulary import REST, Vocabulary

Mask = NDArray[np.bool_]


class Translator:
    """Video chunks of up to `slots` streams in, updates out; see `StreamOptions` for what a stream chooses.

    Not thread-safe but for `refine` and `draft`, which share nothing with `step`.
    """

    def __init__(
        self, sight: Sight, temporal: Temporal, joint: Vocabulary, speaker: Speaker, beam: BeamConfig | None = None
    ) -> None:
        self.sight, self.temporal, self.joint, self.speaker = sight, temporal, joint, speaker
        self.slots, self.lanes, self.beam = sight.slots, sight.lanes, beam or BeamConfig()
        self._open: list[Slot | None] = [None] * self.slots
        self.timings_ms: dict[str, float] = {}
        """How long each stage of the last step took."""
        self._last_seen: Seen | None = None

    @staticmethod
    def load(folder: Path, device: str = "cpu", slots: int = 4, backend: Backend | None = None) -> Translator:
        """Loads a checkpoint folder; raises `CheckpointError` with one sentence when a part is missing."""
        from models.bundle import translator

        return translator(folder, device, slots, backend=backend)

    @staticmethod
    def random(slots: int = 2, seed: int = 0) -> Translator:
        """A small translator with random weights, for tests of what surrounds it."""
        from models.bundle import random_translator

        return random_translator(slots, seed)

    def open(self, slot: int, options: StreamOptions | None = None) -> None:
        """Begins a stream in a free slot; nothing of the slot's previous stream remains."""
        assert self._open[slot] is None, f"slot {slot} is open already"
        self._open[slot] = Slot(Segmenter(options or StreamOptions()))
        self.sight.reset(slot)
        self.temporal.reset(self._mask([slot]))

    def expect(self, slot: int, vocabulary: tuple[str, ...]) -> None:
        """Words and names that will be spelled, from the stream's next segment on, in place of those before."""
        segmenter = self._slot(slot).segmenter
        segmenter.options = replace(segmenter.options, vocabulary=vocabulary)

    def close(self, slot: int) -> None:
        """Ends a stream without another word; `finalize` first to get its last segment."""
        self._open[slot] = None

    def last_routes(self, slot: int) -> list[int]:
        """The routes of the slot's last chunk, one a step."""
        return list(self._slot(slot).routes or [])

    def step(self, frames: Chunks, active: Mask, small: Chunks | None = None) -> list[list[Update]]:
        """One chunk, frames (slots, CHUNK_FRAMES, ...) uint8, RGB or I420 canvases, for the slots that are `active`; or for each
        of them its CHUNK_FRAMES frames, wherever they lie. `small` are the same frames by `canvas.shrink`, if at hand."""
        return self.advance(self.see(frames, active, small), active)

    @torch.inference_mode()
    def see(self, frames: Chunks, active: Mask, small: Chunks | None = None) -> Seen:
        """The first half of `step`, all that needs pixels. Up to `lanes` threads may look at chunks of different slots while
        another is in `advance`, as long as no slot is opened that is being looked at."""
        return self.sight.encode(frames, active, small)

    @staticmethod
    @torch.inference_mode()
    def together(parts: Sequence[tuple[Seen, list[int]]]) -> Seen:
        """What was seen apart, each with its slots, for one `advance`: it costs less than one for each."""
        return Seen.together(parts)

    @torch.inference_mode()
    def advance(self, seen: Seen, active: Mask) -> list[list[Update]]:
        """The second half of `step`: networks over time, search, segments, for the slots that are `active` still."""
        self._last_seen = seen
        updates: list[list[Update]] = [[] for _ in range(self.slots)]
        rows = [int(row) for row in np.flatnonzero(active)]
        running = [row for row in rows if self._slot(row).segmenter.running]
        idle = [row for row in rows if row not in running]
        onset = self._onsets(idle, seen, updates)
        ahead = [row for row in idle if row not in onset and self._slot(row).may_begin]
        self._advance(seen.manual, seen.mouth, running + onset, seen, ahead)
        for row in running + onset:
            updates[row].append(self._update(row, "hypothesis"))
            if self._slot(row).segmenter.over:
                updates[row].append(self._end(row))
        for row in rows:
            slot = self._slot(row)
            slot.previous, slot.places = (seen.manual[row].clone(), seen.mouth[row].clone()), seen.tracked[row]
        self.timings_ms = {
            "sight": seen.took_ms,
            "experts": self.temporal.experts_ms,
            "fusion": self.temporal.fusion_ms,
        }
        return updates

    def finalize(self, slot: int) -> list[Update]:
        """Ends the running segment now; nothing when none runs."""
        return [self._end(slot)] if self._slot(slot).segmenter.running else []

    def last_features(self) -> NDArray[np.float32]:
        """Features of the last step's chunk (slots, CHUNK_FRAMES, STEP); rows that were not active mean nothing."""
        assert self._last_seen is not None, "no step was taken yet"
        return torch.cat((self._last_seen.manual, self._last_seen.mouth), dim=-1).float().cpu().numpy()

    def numbers(self, slot: int) -> NDArray[np.float64]:
        """What the slot's stream could be recalled from, beside its features: (NUMBERS,)."""
        state = self._slot(slot)
        return Numbers(state.segmenter, state.since, state.seen, state.places).flat()

    @torch.inference_mode()
    def recall(self, recalls: list[Recall]) -> None:
        """Opens slots for streams that another process began, as it left them, and tells nothing again.

        Their features go through the networks once more, all slots side by side.
        """
        chunks: dict[int, Tensor] = {}
        for recall in recalls:
            self.open(recall.slot, recall.options)
            chunks[recall.slot] = self._recalled(recall)
        for at in range(max((len(features) for features in chunks.values()), default=0)):
            self._replay({row: features[at] for row, features in chunks.items() if at < len(features)})

    def refine(
        self,
        hypotheses: list[Hypothesis],
        vocabulary: tuple[str, ...] = (),
        context: tuple[str, ...] = (),
        deadline_s: float | None = None,
    ) -> list[Caption]:
        """The sentences of finished (or running) segments, by the language model, with calibrated confidence.

        What is not written within `deadline_s` comes as its draft.
        """
        return self.speaker.refine(hypotheses, vocabulary, context, deadline_s)

    def draft(self, hypothesis: Hypothesis, vocabulary: tuple[str, ...] = (), *, running: bool = True) -> Caption:
        """The tokens as readable text, at once; the last word of a `running` segment may still grow."""
        return self.speaker.draft(hypothesis, vocabulary, running=running)

    def _onsets(self, idle: list[int], seen: Seen, updates: list[list[Update]]) -> list[int]:
        """Routes the idle slots' chunk; slots where signing begins start afresh and take their pre-roll."""
        if not idle:
            return []
        routes = self.temporal.route(seen.manual, self._mask(idle))
        onset: list[int] = []
        for row in idle:
            slot = self._slot(row)
            slot.routes = _routes(routes[row], frozen=seen.frozen[row])
            if slot.segmenter.begins(slot.routes):
                onset.append(row)
                slot.begin(self.beam, self.joint)
                updates[row].append(self._update(row, "started"))
        cold = [row for row in onset if self._slot(row).ahead is None]
        for row in idle:
            self._slot(row).ahead = None
        if cold:
            self.temporal.begin(self._mask(cold))
            self._pre_roll([row for row in cold if self._slot(row).segmenter.has_pre_roll], seen)
        return onset

    def _pre_roll(self, rows: list[int], seen: Seen) -> None:
        manual, mouth = torch.zeros_like(seen.manual), torch.zeros_like(seen.mouth)
        for row in rows:
            previous = self._slot(row).previous
            assert previous is not None, "a pre-roll needs a chunk before it"
            manual[row], mouth[row] = previous
        self._advance(manual, mouth, rows, None)

    def _recalled(self, recall: Recall) -> Tensor:
        """Sets what needs no network; the chunks that do: (chunks, CHUNK_FRAMES, STEP)."""
        numbers = Numbers.of(recall.numbers, recall.options)
        slot, features = self._slot(recall.slot), torch.from_numpy(recall.features)
        assert len(features) >= numbers.chunks or not numbers.segmenter.running, (len(features), numbers)
        slot.segmenter, slot.since, slot.seen = numbers.segmenter, numbers.since, numbers.seen
        if numbers.segmenter.running:
            slot.beam = search(self.joint, self.beam, numbers.segmenter.options.vocabulary)
        if len(features):
            slot.previous = (features[-1, :, :MANUAL].clone(), features[-1, :, MANUAL:].clone())
        slot.places = self.sight.places[recall.slot] = numbers.places
        return features[max(0, len(features) - numbers.chunks) :]

    def _replay(self, chunks: dict[int, Tensor]) -> None:
        """One chunk of each slot through the networks that had it: the router between segments, all of them within."""
        features = torch.zeros(self.slots, CHUNK_FRAMES, STEP)
        for row, chunk in chunks.items():
            features[row] = chunk
        manual, mouth = features[..., :MANUAL].contiguous(), features[..., MANUAL:].contiguous()
        running = [row for row in chunks if self._slot(row).segmenter.running]
        if idle := [row for row in chunks if row not in running]:
            self.temporal.route(manual, self._mask(idle))
        self._advance(manual, mouth, running, None)

    def _advance(
        self, manual: Tensor, mouth: Tensor, rows: list[int], seen: Seen | None, ahead: Sequence[int] = ()
    ) -> None:
        """One chunk of the running segments through the temporal networks and the beam search. Where they take a step, the
        slots `ahead` take their first."""
        if not rows:
            return
        if ahead:
            self.temporal.begin(self._mask(ahead))
        out = self.temporal.step(manual, mouth, self._mask([*rows, *ahead]))
        for row in ahead:
            self._slot(row).ahead = Said(out.log_probs[row], out.alpha[row], _routes(out.routes[row]))
        for row in rows:
            slot = self._slot(row)
            routes = _routes(out.routes[row], frozen=seen is not None and seen.frozen[row])
            slot.hear(Said(out.log_probs[row], out.alpha[row], routes))
            if seen is not None:
                slot.routes = routes
                slot.seen += int(seen.hands[row].sum())
                slot.segmenter.advance(slot.routes)

    def _end(self, row: int) -> Update:
        update = self._update(row, "ended")
        slot = self._slot(row)
        slot.segmenter.end()
        slot.beam, slot.since = None, slot.segmenter.now
        self.temporal.reset(self._mask([row]))
        return update

    def _update(self, row: int, kind: str) -> Update:
        slot = self._slot(row)
        hypothesis = slot.hypothesis(self.joint) if kind != "started" else None
        segmenter = slot.segmenter
        at = {"started": segmenter.start or 0, "ended": segmenter.last_signing}.get(kind, segmenter.now)
        return Update(kind, segmenter.segment_id, milliseconds(at), hypothesis)  # type: ignore[arg-type]

    def _slot(self, row: int) -> Slot:
        slot = self._open[row]
        assert slot is not None, f"slot {row} is not open"
        return slot

    def _mask(self, rows: Sequence[int]) -> Mask:
        mask = np.zeros(self.slots, bool)
        mask[list(rows)] = True
        return mask


def _routes(routes: NDArray[np.int64], *, frozen: bool | np.bool_ = False) -> list[int]:
    """The routes of a chunk; rest where its pictures are all one: a frozen call or a photograph signs nothing, whatever the
    hands in it look like, and no person holds so still before a camera."""
    return [REST] * len(routes) if frozen else [int(route) for route in routes]
