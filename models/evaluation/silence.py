"""What must bring no caption: rooms without people, noise, a still picture, people who do not sign.

Each scene runs through the whole live path; counted are captions (segments that ended with words) and the share of them that a
reader would see, whose confidence is at least `SHOWN`.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from models.clock import FRAME_RATE_HZ
from models.pipeline import Translator
from models.reading import read_many
from models.synthetic.corpus import FIRST_HELD_OUT_SEED
from models.synthetic.scenes import SCENES, Frames
from models.video import canvas_frames

GROUP, SHOWN = 4, 0.3


def evaluate(
    path: Path | None, checkpoint: Path, *, seed: int = 0, scenes: int = 8, seconds: float = 20.0
) -> dict[str, float | str]:
    """Captions a minute of every kind of scene, `scenes` of each; `path` may hold videos of people who do not sign."""
    translator = Translator.load(checkpoint, slots=GROUP)
    figures: dict[str, float | str] = {}
    kinds = dict(SCENES)
    if path is not None:
        videos = sorted(path.rglob("*.mp4"))
        kinds["videos"] = lambda seed: video(videos[seed % len(videos)])
    for kind, draw in kinds.items():
        first, frames = FIRST_HELD_OUT_SEED + seed * 10_000, round(seconds * FRAME_RATE_HZ)
        readings = read_many(translator, [islice(draw(first + number), frames) for number in range(scenes)])
        minutes = max(1, sum(reading.frames for reading in readings)) / FRAME_RATE_HZ / 60
        spoken = [segment for reading in readings for segment in reading.segments if segment.tokens]
        captions = [caption for caption in translator.speaker.refine(spoken) if caption.text]
        figures[f"{kind}_captions_per_minute"] = len(captions) / minutes
        figures[f"{kind}_shown_per_minute"] = sum(caption.confidence >= SHOWN for caption in captions) / minutes
    return figures


def video(path: Path) -> Frames:
    """A real recording."""
    return canvas_frames(path)
