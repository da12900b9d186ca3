"""The noise study: language models from nothing for equal processor time, taught without recognition's noise, with it, and
with more of it and marks behind doubtful signs; then all read the same held-out sentences with controlled noise.

They are small ones on the grammar's sentences alone: what is compared is the teaching. Runs resume; the models stay in `out`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from models.evaluation import noise
from models.training import language_stage
from models.training.language_pool import HARDER, Noise
from models.training.language_stage import Course, Size
from models.training.loop import RUNS

GRAMMAR = Course(pairs=RUNS / "noise_pairs", clock=time.process_time)
ARMS = {
    "without": replace(GRAMMAR, name="noise_without", noise=Noise(clean=1.0)),
    "with": replace(GRAMMAR, name="noise_with"),
    "marked": replace(GRAMMAR, name="noise_marked", noise=HARDER, marked=True),
}
"""What each model is taught; the first knows clean glosses alone."""
SMALL = Size(width=128, inner=384, layers=4)


def train(
    data: Path, out: Path, *, minutes: float = 4.0, seed: int = 0, device: str | None = None, size: Size = SMALL,
    sentences: int = noise.SENTENCES,
) -> dict[str, float]:  # fmt: skip
    """Trains every arm into `out`/ARM/llm, `minutes` each, prints the table, and returns BLEU-4 by arm, kind and rate."""
    for name, course in ARMS.items():
        language_stage.train(
            data, out / name, minutes=minutes, seed=seed, permissive_only=True, device=device, size=size, course=course
        )
    studied = {name: noise.studied(out / name / "llm", sentences) for name in ARMS}
    print(noise.table(studied), flush=True)
    return {f"{name} {row}": score for name, rows in studied.items() for row, score in rows.items()}
