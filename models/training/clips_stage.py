"""Draws clips of synthetic signers and keeps them as the locator sees them: what the encoder, the lips and the experts
learn from."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from models.training import seen_clips
from models.training.seen_clips import CLIPS, FIRST_HELD_OUT_SEED, HELD_OUT_CLIPS


def train(
    data: Path, out: Path, *, minutes: float = 30, seed: int = 0, clips: int = 2000, held_out: int = 120,
    workers: int | None = None, permissive_only: bool = False,
) -> dict[str, float]:  # fmt: skip
    """Draws what is missing of `clips` training and `held_out` validation clips, seen by the locator of `out`; with
    `permissive_only` they say sentences of the grammar alone."""
    del minutes
    first, told = seed * 100_000, None if permissive_only else data
    kept_out = range(FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + held_out)
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        jobs = seen_clips.draw(HELD_OUT_CLIPS, kept_out, out, pool, held_out=True)
        jobs += seen_clips.draw(CLIPS, range(first, first + clips), out, pool, data=told)
        frames = sum(job.result() for job in jobs)
    return {"clips": float(len(jobs)), "frames": float(frames)}
