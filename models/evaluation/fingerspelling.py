"""Words spelled at a camera, through the whole translator: DIR/WORD.mp4, the file's stem is the truth."""

from __future__ import annotations

from pathlib import Path

from models.error_rate import ErrorRate
from models.evaluation.synthetic import found_letters
from models.pipeline import Translator
from models.reading import read_many
from models.video import canvas_frames

GROUP = 4


def evaluate(path: Path | None, checkpoint: Path, *, details: bool = False) -> dict[str, float]:
    """letter_accuracy: 1 - edit distance over letters; glosses found in place of letters are letters missed."""
    videos = sorted(path.glob("*.mp4")) if path else []
    if not videos:
        raise ValueError(f"expected WORD.mp4 files in {path}, but there are none: name each file after its word")
    translator = Translator.load(checkpoint, slots=GROUP)
    letters = ErrorRate()
    for start in range(0, len(videos), GROUP):
        group = videos[start : start + GROUP]
        for video, reading in zip(group, read_many(translator, [canvas_frames(v) for v in group]), strict=True):
            truth = [letter for letter in video.stem.upper().split("_")[0] if letter.isalnum()]
            found = found_letters(reading)
            letters.add(found, truth)
            if details:
                tokens = [token.text for segment in reading.segments for token in segment.tokens]
                shares = [reading.routes.count(route) for route in range(3)]
                print(f"{video.stem}: {''.join(found)}   tokens {tokens} routes {shares}")
    return {"letter_accuracy": letters.accuracy, "words": float(len(videos))}
