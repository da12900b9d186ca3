"""Final captions as files: plain text, JSON, WebVTT, SRT."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.protocol import CaptionEvent

ResponseFormat = Literal["json", "verbose_json", "text", "srt", "vtt"]
CONTENT_TYPES: dict[ResponseFormat, str] = {
    "json": "application/json",
    "verbose_json": "application/json",
    "text": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
LINE_CHARACTERS = 42
SHORTEST_CUE_MS = 500


@dataclass(frozen=True)
class Transcript:
    """Everything a finished video said."""

    captions: tuple[CaptionEvent, ...]
    duration_ms: int
    model: str
    language: str = "en"

    @property
    def text(self) -> str:
        return " ".join(caption.text for caption in self.captions if caption.text)

    def rendered(self, response_format: ResponseFormat) -> str | dict[str, Any]:
        """A JSON object for the json formats, text for the others."""
        if response_format == "json":
            return {"text": self.text}
        if response_format == "verbose_json":
            return self.as_json()
        return {"text": as_text, "srt": as_srt, "vtt": as_vtt}[response_format](self.captions)

    def as_json(self) -> dict[str, Any]:
        """Text, language, duration, and each caption with its words, times and confidence."""
        return {
            "task": "translate",
            "language": self.language,
            "model": self.model,
            "duration_ms": self.duration_ms,
            "text": self.text,
            "captions": [
                caption.model_dump(exclude={"type", "rev", "is_final", "stability", "newest_ms"})
                for caption in self.captions
            ],
        }


def as_text(captions: Sequence[CaptionEvent]) -> str:
    """One caption a line."""
    return "".join(f"{_one_line(caption.text)}\n" for caption in captions if caption.text)


def as_vtt(captions: Sequence[CaptionEvent]) -> str:
    """WebVTT (W3C); the cue's identifier is its segment's number."""
    cues = [
        f"{caption.segment_id}\n{_stamp(start_ms, '.')} --> {_stamp(end_ms, '.')}\n{_escaped(_lines(caption.text))}\n"
        for caption, start_ms, end_ms in _timed(captions)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def as_srt(captions: Sequence[CaptionEvent]) -> str:
    """SubRip: cues numbered from 1."""
    cues = [
        f"{number}\n{_stamp(start_ms, ',')} --> {_stamp(end_ms, ',')}\n{_lines(caption.text).replace('-->', '->')}\n"
        for number, (caption, start_ms, end_ms) in enumerate(_timed(captions), 1)
    ]
    return "\n".join(cues)


def _timed(captions: Sequence[CaptionEvent]) -> list[tuple[CaptionEvent, int, int]]:
    """Captions with text, by time; none ends before it can be read, nor overlaps the next."""
    shown = sorted((caption for caption in captions if caption.text), key=lambda caption: caption.start_ms)
    timed: list[tuple[CaptionEvent, int, int]] = []
    for index, caption in enumerate(shown):
        end_ms = max(caption.end_ms, caption.start_ms + SHORTEST_CUE_MS)
        if index + 1 < len(shown):
            end_ms = max(caption.start_ms + 1, min(end_ms, shown[index + 1].start_ms))
        timed.append((caption, caption.start_ms, end_ms))
    return timed


def _stamp(time_ms: int, point: str) -> str:
    seconds, milliseconds = divmod(max(0, time_ms), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{milliseconds:03}"


def _lines(text: str) -> str:
    return "\n".join(textwrap.wrap(text, LINE_CHARACTERS, break_long_words=False)) or text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _one_line(text: str) -> str:
    return " ".join(text.split())
