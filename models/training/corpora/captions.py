"""Timed captions of whole videos: WebVTT, and the json3 that YouTube gives."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.training.corpora.sample import CorpusError

_TIMING = re.compile(r"^\s*((?:\d+:)?\d+:\d+[.,]\d+)\s+-->\s+((?:\d+:)?\d+:\d+[.,]\d+)")
_TAG = re.compile(r"<[^>]*>")
_SOUND = re.compile(r"\[[^\]]*\]|\([^)]*\)|♪")


@dataclass(frozen=True)
class Cue:
    """One caption, in seconds of the video."""

    start_s: float
    end_s: float
    text: str


def cues(path: Path) -> list[Cue]:
    """The captions of a .vtt or .json3 file that say something and last; CorpusError for a file that is neither."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        read = _json3(text) if path.suffix in (".json3", ".json") else _vtt(text)
        made = [Cue(start, end, _plain(said)) for start, end, said in read]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"expected captions in {path}, but they cannot be read ({error}): fetch them anew") from error
    return [cue for cue in made if cue.text and cue.end_s > cue.start_s]


def _vtt(text: str) -> Iterator[tuple[float, float, str]]:
    if not text.startswith("WEBVTT"):
        raise ValueError("the first line is not WEBVTT")
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines = block.split("\n")
        for number, line in enumerate(lines):
            if match := _TIMING.match(line):
                yield _seconds(match[1]), _seconds(match[2]), " ".join(lines[number + 1 :])
                break


def _seconds(clock: str) -> float:
    """ "01:02:03.500" or "02:03.500"."""
    value = 0.0
    for part in clock.replace(",", ".").split(":"):
        value = 60 * value + float(part)
    return value


def _json3(text: str) -> Iterator[tuple[float, float, str]]:
    for event in json.loads(text)["events"]:
        start = event["tStartMs"] / 1000
        said = "".join(part.get("utf8", "") for part in event.get("segs", ()))
        yield start, start + event.get("dDurationMs", 0) / 1000, said


def _plain(text: str) -> str:
    """Without markup, sounds in brackets and doubled blanks."""
    return " ".join(_SOUND.sub(" ", html.unescape(_TAG.sub("", text))).split()).strip(" -")
