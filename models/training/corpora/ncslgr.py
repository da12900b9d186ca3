"""NCSLGR (ASLLRP, Boston University): ASL annotated by people, with the time of every sign.

    *.xml     SignStream databases, or
    *.eaf     ELAN's, with tiers "main gloss" and "English translation"
    *.mov     the videos under the names that the annotations give them, in the folder or in videos/

Times in SignStream's XML are milliseconds, an utterance's of the video, a sign's of its utterance. Several cameras see
an utterance; the first one whose video is there is taken. Recordings are split by hash: the corpus has no splits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from models.training.corpora.sample import (
    CorpusError,
    Reading,
    Sample,
    found,
    missing,
    spelled,
    split_by,
    video_of,
    within,
)
from models.training.gloss_corpora import clean_english, ncslgr_tokens

GLOSS, ENGLISH = "main gloss", "english translation"
FIELDS = {"10000": GLOSS, "20001": ENGLISH}
"""Tracks by the numbers that most databases give them; a database's own coding scheme comes first."""


class Sign(NamedTuple):
    """A gloss as annotated, in milliseconds of the video."""

    start_ms: int
    end_ms: int
    gloss: str


@dataclass(frozen=True)
class Utterance:
    """What both formats hold of one utterance."""

    name: str
    media: tuple[str, ...]
    signer: str
    start_ms: int
    end_ms: int
    signs: tuple[Sign, ...]
    english: str


@dataclass(frozen=True)
class Ncslgr:
    """One sample an utterance, with its glosses and their times."""

    folder: Path
    name: str = "ncslgr"
    signed: str = "ASL"
    written: str = "en"
    had_at: str = "https://www.bu.edu/asllrp/ncslgr.html"

    def read(self) -> Reading:
        """All databases in the folder."""
        paths = [path for ending in ("xml", "eaf") for path in within(self.folder, f"*.{ending}", 3)]
        if not paths:
            raise missing(self, f"SignStream databases *.xml or ELAN files *.eaf in {self.folder}")
        folders = [self.folder / "videos", self.folder, *sorted({path.parent for path in paths})]
        listed = (
            self._sample(path, one, folders) for path in paths for one in _utterances(path) if one.end_ms > one.start_ms
        )
        return found(self, listed, f"the videos that the annotations name (*.mov) in {self.folder / 'videos'}")

    def _sample(self, path: Path, one: Utterance, folders: Sequence[Path]) -> Sample:
        paths = [video_of(folders, Path(media).stem) for media in one.media]
        clip = next((path for path in paths if path.is_file()), paths[0] if paths else folders[0] / "unnamed.mov")
        glosses, times = list[str](), list[tuple[float, float]]()
        for sign in one.signs:
            start = max(0, sign.start_ms - one.start_ms) / 1000
            end = max(start + 0.001, (sign.end_ms - one.start_ms) / 1000)
            for token in ncslgr_tokens(sign.gloss):
                glosses.append(token)
                times.append((start, end))
        letters = "".join(spelled(gloss) for gloss in glosses if gloss.startswith("#"))
        return Sample(
            f"{path.stem}_{one.name}", clip, split_by(path.stem), clean_english(one.english), one.start_ms / 1000,
            one.end_ms / 1000, tuple(glosses), tuple(times), letters, one.signer, path.stem,
        )  # fmt: skip


def _utterances(path: Path) -> Iterator[Utterance]:
    try:
        root = ElementTree.parse(path).getroot()
        yield from _elan(root) if root.tag == "ANNOTATION_DOCUMENT" else _signstream(root)
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise CorpusError(
            f"expected annotations in {path}, but they cannot be read ({error!r}): fetch them anew"
        ) from error


def _signstream(root: Element) -> Iterator[Utterance]:
    fields = FIELDS | {field.attrib["ID"]: field.get("NAME", "").lower() for field in root.iter("FIELD")}
    media = {one.attrib["ID"]: _file_name(one) for one in root.iter("MEDIA-FILE")}
    people = {one.attrib["ID"]: one.get("NAME", "") for one in root.iter("PARTICIPANT")}
    for utterance in root.iter("UTTERANCE"):
        begun = int(utterance.attrib["S"])
        tracks: dict[str, list[Sign]] = {GLOSS: [], ENGLISH: []}
        for track in utterance.iter("TRACK"):
            tracks.setdefault(fields.get(track.attrib["FID"], ""), []).extend(_signs(track, begun))
        segment = utterance.find("SEGMENT")
        yield Utterance(
            utterance.attrib["ID"],
            tuple(media[ref.attrib["ID"]] for ref in utterance.iter("MEDIA-REF") if ref.attrib["ID"] in media),
            people.get(segment.get("PARTICIPANT-ID", ""), "") if segment is not None else "",
            begun, int(utterance.attrib["E"]), tuple(sorted(tracks[GLOSS])),
            " ".join(sign.gloss for sign in tracks[ENGLISH]),
        )  # fmt: skip


def _signs(track: Element, begun: int) -> Iterator[Sign]:
    for one in track.iter("A"):
        text = "".join(one.itertext()).strip()
        if text:
            yield Sign(begun + int(one.attrib["S"]), begun + int(one.attrib["E"]), text)


def _file_name(media: Element) -> str:
    """The last part of a path, however the annotating machine wrote it (`Disk:folder:file`, `C:\\...`)."""
    path = media.get("PATH") or media.get("LEGACY-PATH") or media.get("NAME") or ""
    return re.split(r"[/\\:]", path)[-1]


def _elan(root: Element) -> Iterator[Utterance]:
    """An utterance is an annotation of the translation's tier, with the signs that lie in it."""
    slots = {one.attrib["TIME_SLOT_ID"]: int(one.get("TIME_VALUE", -1)) for one in root.iter("TIME_SLOT")}
    media = tuple(
        re.split(r"[/\\:]", one.get("RELATIVE_MEDIA_URL") or one.get("MEDIA_URL") or "")[-1]
        for one in root.iter("MEDIA_DESCRIPTOR")
    )
    tiers = list(root.iter("TIER"))
    signs = sorted(sign for tier in tiers if _is(tier, GLOSS) for sign in _annotations(tier, slots))
    number = 0
    for tier in tiers:
        if not _is(tier, ENGLISH):
            continue
        for start, end, english in _annotations(tier, slots):
            own = tuple(sign for sign in signs if sign.start_ms < end and sign.end_ms > start)
            yield Utterance(str(number), media, tier.get("PARTICIPANT", ""), start, end, own, english)
            number += 1


def _is(tier: Element, name: str) -> bool:
    return name in tier.get("TIER_ID", "").lower().replace("_", " ")


def _annotations(tier: Element, slots: dict[str, int]) -> Iterator[Sign]:
    for one in tier.iter("ALIGNABLE_ANNOTATION"):
        value = one.find("ANNOTATION_VALUE")
        text = ("" if value is None else value.text or "").strip()
        start, end = slots[one.attrib["TIME_SLOT_REF1"]], slots[one.attrib["TIME_SLOT_REF2"]]
        if text and 0 <= start < end:
            yield Sign(start, end, text)
