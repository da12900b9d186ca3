"""signbind bench live: one stream at its pace; share of the cores, lag of drafts, delay of final captions."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.bench.figures import percentiles
from app.bench.machine import cpu_seconds
from app.cli_errors import CliError
from app.client import LiveRequest, SentMarks, live_events
from app.client_media import Piece, decoded_frames, encoded_pieces
from app.settings import usable_cores
from models.clock import STEP_MS

GOALS = {"cpu_share": 0.5, "compute_lag_ms_p95": 150.0, "final_caption_ms_p95": 1000.0}
"""On two cores, with one stream of 25 frames a second: at most so much."""


def filmed(file: Path, seconds: float) -> list[Piece]:
    """The video as a camera would send it, every frame in a piece of its own; encoded before the clock runs."""
    return list(encoded_pieces(decoded_frames(file, repeat_for_ms=round(1000 * seconds))))


@dataclass
class Lateness:
    """How late events were, in ms after the frames they answer were sent."""

    drafts: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    after_signing: list[float] = field(default_factory=list)

    def note(self, event: dict[str, Any], marks: SentMarks, now_s: float) -> None:
        """Counts a caption that has just come."""
        last_frame_ms = event["newest_ms"] - STEP_MS
        if event["is_final"]:
            add_since(self.finals, marks.sent_s(last_frame_ms), now_s)
            add_since(self.after_signing, marks.sent_s(event["end_ms"] - STEP_MS), now_s)
        else:
            add_since(self.drafts, marks.sent_s(last_frame_ms), now_s)


def add_since(times_ms: list[float], sent_s: float | None, now_s: float) -> None:
    if sent_s is not None:
        times_ms.append((now_s - sent_s) * 1e3)


async def measured(pieces: list[Piece], url: str, pid: int) -> dict[str, Any]:
    """Streams the pieces once at their pace; times are of this machine's monotonic clock."""
    marks, late, summary = SentMarks(), Lateness(), dict[str, Any]()
    before_s, begun_s = cpu_seconds(pid), time.monotonic()
    async with aclosing(live_events(LiveRequest(url, "fmp4"), iter(pieces), marks)) as events:
        async for event in events:
            if event["type"] == "caption":
                late.note(event, marks, time.monotonic())
            elif event["type"] == "error":
                raise CliError(str(event["message"]))
            elif event["type"] == "session.closed":
                summary = event["summary"]
    elapsed_s, used_s = time.monotonic() - begun_s, cpu_seconds(pid) - before_s
    return {
        "cpu_share": used_s / elapsed_s / usable_cores(), "cores": usable_cores(),
        "cpu_s_per_media_s": used_s / max(1e-3, summary["duration_ms"] / 1000),
        **percentiles("compute_lag_ms", late.drafts, 50, 95), **percentiles("final_caption_ms", late.finals, 50, 95),
        **percentiles("final_after_last_sign_ms", late.after_signing, 95),
        "drafts": len(late.drafts), "captions": len(late.finals), "frames_dropped": summary["frames_dropped"],
        "seconds": elapsed_s,
    }  # fmt: skip
