"""Runs unseen sentences of unseen signers through the translator, a chunk at a time as a live stream comes.

One stream in one slot; after the clip its last picture is held, with a camera's noise, until the segment ends by itself.
Nothing is paced: what passes between a chunk and its captions is measured, waiting for frames is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import load
from models.clock import CHUNK_FRAMES, CHUNK_MS, HEIGHT, WIDTH
from models.ctc import PrefixBeam
from models.evaluation.lips import BEAM
from models.evaluation.report.drawn import clip_of, look_of, truth_of, vocabulary_of
from models.evaluation.report.records import (
    FoundToken,
    FoundWord,
    Segment,
    Sentence,
    Shown,
    Tick,
    route_letters,
)
from models.experts import Expert
from models.hypothesis import Hypothesis, StreamOptions, Update
from models.layout import MANUAL
from models.pipeline import Translator
from models.prompts import as_spelled
from models.reading import chunks
from models.speech import Explained
from models.synthetic.scenes import before_camera
from models.vocabulary import PHONEMES, Vocabulary

MOST_REST_CHUNKS = 6
"""So often the last picture may be held: longer than the rest that ends a segment."""
ALONE = np.ones(1, bool)


class GateLog:
    """Keeps every alpha that the networks over time gave slot 0 since it was last read."""

    def __init__(self, translator: Translator) -> None:
        self._alpha: list[float] = []
        temporal, step = translator.temporal, translator.temporal.step

        def kept(*args: Any, **kwargs: Any) -> Any:
            spoken = step(*args, **kwargs)
            self._alpha += [round(float(value), 4) for value in spoken.alpha[0]]
            return spoken

        temporal.step = kept  # type: ignore[method-assign]

    def take(self) -> tuple[float, ...]:
        alpha, self._alpha = tuple(self._alpha), []
        return alpha


class Lips:
    """What the lips' expert alone reads of a segment, from the features that the translator saw."""

    def __init__(self, expert: Expert) -> None:
        self._expert, self._vocabulary = expert.eval(), Vocabulary(PHONEMES)

    @torch.inference_mode()
    def read(self, mouth: NDArray[np.float32]) -> tuple[str, ...]:
        """Mouth features (chunks, CHUNK_FRAMES, MOUTH) of one segment, its networks starting empty."""
        state, beam, active = self._expert.new_state(1), PrefixBeam(BEAM), torch.ones(1, dtype=torch.bool)
        for chunk in torch.from_numpy(mouth):
            beam.advance(self._expert.step(chunk[None], state, active).log_probs[0].numpy())
        return tuple(self._vocabulary.decode(beam.best().tokens))


class Meter:
    """Wall and processor time since it was made, in ms."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        wall_s, cpu_s = time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s
        return round(wall_s * 1e3, 2), round(cpu_s * 1e3, 2)


class Stream:
    """One clip on its way: what was told of it so far."""

    def __init__(self, translator: Translator, lips: Lips, gates: GateLog, vocabulary: tuple[str, ...]) -> None:
        self._translator, self._lips, self._gates, self._vocabulary = translator, lips, gates, vocabulary
        self.media_ms = 0
        self.segments: list[Segment] = []
        self.shown: list[Shown] = []
        self.ticks: list[Tick] = []
        self.refine: list[tuple[float, float]] = []
        self.routes: list[int] = []
        self._mouths: list[NDArray[np.float32]] = []
        self._drafted = ""
        self.running = False

    def take(self, chunk: NDArray[np.uint8], own: int) -> None:
        """One chunk (CHUNK_FRAMES, 480, 640, 3) through the live path; `own` of its frames count for the routes."""
        meter = Meter()
        updates = self._translator.step(chunk[None], ALONE)[0]
        wall_ms, cpu_ms = meter.read()
        parts = (round(self._translator.timings_ms[part], 2) for part in ("sight", "experts", "fusion"))
        self.media_ms += CHUNK_MS
        self.ticks.append(Tick(wall_ms, cpu_ms, *parts))
        self._mouths.append(self._translator.last_features()[0, :, MANUAL:].copy())
        self.routes += self._translator.last_routes(0)[:own]
        for update in updates:
            self._hear(update, meter)

    def finish(self) -> None:
        """Ends a segment that rest did not end."""
        meter = Meter()
        for update in self._translator.finalize(0):
            self._hear(update, meter)

    def _hear(self, update: Update, meter: Meter) -> None:
        if update.kind == "started":
            self.running, self._drafted = True, ""
        elif update.kind == "hypothesis" and update.hypothesis is not None:
            self._draft(update.hypothesis, meter)
        elif update.kind == "ended" and update.hypothesis is not None:
            self.running = False
            self._end(update.hypothesis, meter)

    def _draft(self, hypothesis: Hypothesis, meter: Meter) -> None:
        text = self._translator.draft(hypothesis).text
        if text != self._drafted:
            self._drafted = text
            self.shown.append(Shown(len(self.segments), text, False, self.media_ms, *meter.read()))

    def _end(self, hypothesis: Hypothesis, meter: Meter) -> None:
        own = Meter()
        said = self._explained(hypothesis)
        self.refine.append(own.read())
        self.shown.append(Shown(len(self.segments), said.caption.text, True, self.media_ms, *meter.read()))
        first = hypothesis.start_ms // CHUNK_MS
        mouths = np.stack(self._mouths[first:])
        self.segments.append(self._segment(hypothesis, said, self._lips.read(mouths)))

    def _explained(self, hypothesis: Hypothesis, vocabulary: tuple[str, ...] = ()) -> Explained:
        if not hypothesis.tokens:
            return self._translator.speaker.explained(hypothesis, None, vocabulary)
        return self._translator.speaker.explain([hypothesis], vocabulary)[0]

    def _as_seen(self, hypothesis: Hypothesis) -> str:
        """The sentence with its spelled words as their letters were seen, corrected by nothing."""
        refiner = self._translator.speaker.refiner
        assert refiner is not None, "a report needs the checkpoint's language model"
        show, refiner.show = refiner.show, as_spelled
        try:
            return self._explained(hypothesis).caption.text
        finally:
            refiner.show = show

    def _segment(self, hypothesis: Hypothesis, said: Explained, phonemes: tuple[str, ...]) -> Segment:
        tokens = (
            FoundToken(
                t.text, t.kind, t.start_ms, t.end_ms, round(t.posterior, 4), tuple(round(p, 4) for p in t.letters)
            )
            for t in hypothesis.tokens
        )
        words = (FoundWord(w.text, w.start_ms, w.end_ms, round(w.confidence, 4), w.source) for w in said.caption.words)
        return Segment(
            hypothesis.start_ms, hypothesis.end_ms, tuple(tokens), phonemes, self._gates.take(), said.caption.text,
            round(said.caption.confidence, 4), tuple(words), round(said.features["log_prob_mean"], 4),
            self._translator.draft(hypothesis, running=False).text, self._as_seen(hypothesis),
            self._explained(hypothesis, self._vocabulary).caption.text,
        )  # fmt: skip


class Measure:
    """One translator with one slot, and what listens to it."""

    def __init__(self, translator: Translator, lips: Expert) -> None:
        assert translator.slots == 1, translator.slots
        self._translator, self._lips, self._gates = translator, Lips(lips), GateLog(translator)

    @classmethod
    def load(cls, checkpoint: Any) -> Measure:
        """Raises CheckpointError with one sentence when a part is missing."""
        translator = Translator.load(checkpoint, slots=1)
        blank = np.zeros((1, CHUNK_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
        translator.open(0)
        translator.step(blank, ALONE)  # what is built at its first use shall not count
        translator.close(0)
        return cls(translator, load(Expert, checkpoint, "lips"))

    def sentence(self, number: int, seed: int) -> Sentence:
        """Draws and reads one sentence."""
        signer, clip = clip_of(number, seed)
        vocabulary = vocabulary_of(clip, number, seed)
        self._translator.open(0, StreamOptions())
        try:
            stream = Stream(self._translator, self._lips, self._gates, vocabulary)
            rest_ms = self._watch(stream, (frame for frame, _ in clip.frames()), number)
        finally:
            self._translator.close(0)
        return Sentence(
            number, signer, look_of(clip.signer), truth_of(clip), route_letters(stream.routes),
            tuple(stream.segments), tuple(stream.shown),
            tuple(stream.ticks), tuple(stream.refine), vocabulary, rest_ms,
        )  # fmt: skip

    def _watch(self, stream: Stream, frames: Iterator[NDArray[np.uint8]], seed: int) -> int:
        """The whole clip, then its last picture until nothing runs; how long that was, in ms."""
        last: NDArray[np.uint8] | None = None
        for chunk, own in chunks(frames):
            stream.take(chunk, own)
            last = chunk[-1]
        assert last is not None, "a clip has frames"
        held, waited = before_camera(last, seed), 0
        while stream.running and waited < MOST_REST_CHUNKS:
            stream.take(np.stack(list(islice(held, CHUNK_FRAMES))), 0)
            waited += 1
        stream.finish()
        return waited * CHUNK_MS
