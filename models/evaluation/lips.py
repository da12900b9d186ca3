"""How well lips are read: GRID's videos on the whole live path, from the canvas to the beam, against their words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import crops
from models.canvas import letterbox
from models.checkpoint import load
from models.clock import CHUNK_FRAMES
from models.config import BeamConfig
from models.ctc import PrefixBeam
from models.error_rate import ErrorRate
from models.experts import Expert
from models.layout import MOUTH
from models.lips import MouthEncoder
from models.locate import BoxSmoother, Locator
from models.training.grid import GridClip, grid_clips, read_frames, read_phonemes
from models.training.lips_clips import colour_boxes
from models.vocabulary import PHONEMES, Vocabulary

Frames = NDArray[np.uint8]
Box = tuple[float, float, float]
Finder = Callable[[Frames], Iterator[Box | None]]
BEAM = BeamConfig(width=8, symbols=12)


@dataclass(frozen=True)
class LipReading:
    """What was read of one clip, and on which share of its frames a mouth was found."""

    phonemes: list[str]
    found: float


@dataclass
class LipReader:
    """The live path of lips alone: a chunk of frames at a time through encoder, expert and beam."""

    encoder: MouthEncoder
    expert: Expert
    find: Finder
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary(PHONEMES))

    @torch.inference_mode()
    def read(self, frames: Frames) -> LipReading:
        """Frames of a whole clip, uint8 RGB (frames, height, width, 3)."""
        features, found = self._embedded(frames)
        state, beam = self.expert.new_state(1), PrefixBeam(BEAM)
        active = torch.ones(1, dtype=torch.bool)
        for start in range(0, len(features), CHUNK_FRAMES):
            own = features[start : start + CHUNK_FRAMES]
            filled = torch.cat([own, own[-1:].expand(CHUNK_FRAMES - len(own), -1)])
            log_probs = self.expert.step(filled[None], state, active).log_probs[0, : len(own)]
            beam.advance(log_probs.numpy())
        return LipReading(self.vocabulary.decode(beam.best().tokens), found)

    def _embedded(self, frames: Frames) -> tuple[Tensor, float]:
        """Embeddings (frames, 96), zero where no mouth was found, and the share of frames where one was."""
        canvases = np.stack([letterbox(frame)[0] for frame in frames])
        boxes = list(self.find(canvases))
        seen = [at for at, box in enumerate(boxes) if box is not None]
        features = torch.zeros(len(frames), MOUTH)
        if seen:
            cut = [crops.mouth(canvas, box) for canvas, box in zip(canvases, boxes, strict=True) if box is not None]
            features[seen] = self.encoder(torch.from_numpy(np.stack(cut)))
        return features, len(seen) / len(frames)


def by_locator(locator: Locator) -> Finder:
    """Mouths as the live path finds them: the locator, chunk by chunk, and its smoother."""

    def find(canvases: Frames) -> Iterator[Box | None]:
        smoother = BoxSmoother()
        for start in range(0, len(canvases), CHUNK_FRAMES):
            for found in locator.find(list(canvases[start : start + CHUNK_FRAMES])):
                yield smoother(found).get("mouth")

    return find


def by_colour(canvases: Frames) -> Iterator[Box | None]:
    """Mouths from lip colour over the whole clip: how well lips are read without the locator's faults. The canvas'
    black bars are no skin and do no harm."""
    yield from map(tuple, colour_boxes(canvases[:, ::2, ::2]).tolist())


def evaluate(path: Path | None, checkpoint: Path, *, boxes: str = "locator") -> dict[str, float]:
    """`path`/NAME.mp4 with NAME.align -> phoneme_error_rate, mouths_found (a share of frames), clips.

    Of a folder with more than 90 clips only the last 90 by name count, which no training saw. `boxes` is "locator" (the
    live path) or "colour".
    """
    if path is None:
        raise ValueError("expected a folder of NAME.mp4 with NAME.align, but got none: give GRID's")
    if boxes not in ("locator", "colour"):
        raise ValueError(f'boxes is "locator" or "colour", but got {boxes!r}: choose one of them')
    find = by_colour if boxes == "colour" else by_locator(load(Locator, checkpoint, "locate"))
    reader = LipReader(load(MouthEncoder, checkpoint, "mouth_encoder"), load(Expert, checkpoint, "lips"), find)
    return measure(reader, grid_clips(path, held_out=True))


def measure(reader: LipReader, clips: Sequence[GridClip]) -> dict[str, float]:
    """Error rate over all clips' phonemes."""
    errors, found = ErrorRate(), 0.0
    for clip in clips:
        reading = reader.read(read_frames(clip.video))
        errors.add(reading.phonemes, [span.text for span in read_phonemes(clip)])
        found += reading.found
    return {
        "phoneme_error_rate": errors.value, "mouths_found": found / max(1, len(clips)), "clips": float(len(clips)),
    }  # fmt: skip
