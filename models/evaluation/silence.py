"""What must bring no caption: rooms without people, noise, a still picture, people who do not sign.

Each scene runs through the whole live path; counted are captions (segments that ended with words) and those of them whose
confidence is at least `SURE`. The product withholds none of them unless a session asks for it.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path

from models.clock import FRAME_RATE_HZ
from models.evaluation.synthetic import keep, recorded
from models.pipeline import Translator
from models.reading import read_many
from models.synthetic.corpus import FIRST_HELD_OUT_SEED
from models.synthetic.scenes import SCENES, Frames
from models.video import canvas_frames

GROUP, SURE = 4, 0.3
NOTHING = ""
"""What was signed."""


def evaluate(
    path: Path | None, checkpoint: Path, *, seed: int = 0, scenes: int = 8, seconds: float = 20.0,
    record: Path | None = None,
) -> dict[str, float | str]:  # fmt: skip
    """Captions a minute of every kind of scene, `scenes` of each; `path` may be a folder of .mp4 of people who do not sign, of
    which as many are taken, none twice. ValueError where it holds none.

    `record`: a file that gets a line a caption, for `signbind train confidence`: nothing in it is right.
    """
    videos = videos_in(path, seed, scenes) if path is not None else []
    translator = Translator.load(checkpoint, slots=GROUP)
    figures: dict[str, float | str] = {}
    lines: list[str] = []
    first, frames = FIRST_HELD_OUT_SEED + seed * 10_000, round(seconds * FRAME_RATE_HZ)
    kinds = {kind: [partial(draw, first + number) for number in range(scenes)] for kind, draw in SCENES.items()}
    if videos:
        kinds["videos"] = [partial(video, file) for file in videos]
    for kind, drawn in kinds.items():
        readings = read_many(translator, [islice(scene(), frames) for scene in drawn])
        minutes = max(1, sum(reading.frames for reading in readings)) / FRAME_RATE_HZ / 60
        spoken = [segment for reading in readings for segment in reading.segments if segment.tokens]
        captions = [said for said in translator.speaker.explain(spoken) if said.caption.text]
        lines += recorded(captions, NOTHING)
        figures[f"{kind}_captions_per_minute"] = len(captions) / minutes
        sure = sum(said.caption.confidence >= SURE for said in captions)
        figures[f"{kind}_of_confidence_{round(100 * SURE)}_per_minute"] = sure / minutes
    keep(lines, record)
    return figures


def videos_in(folder: Path, seed: int, count: int) -> list[Path]:
    """At most `count` videos of a folder, none twice, from another place on for each seed."""
    found = sorted(folder.rglob("*.mp4"))
    if not found:
        raise ValueError(f"expected a folder of .mp4 videos without signing, got none in {folder}: name another folder")
    first = seed * count % len(found)
    return (found[first:] + found[:first])[:count]


def video(path: Path) -> Frames:
    """A real recording."""
    return canvas_frames(path)
