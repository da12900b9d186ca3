"""How2Sign (Duarte et al. 2021): ASL of instructions, cut to sentences; times by hand in the realigned lists.

how2sign_realigned_{train,val,test}.csv     anywhere in the folder; tabs between columns (commas are taken too)
.../raw_videos/SENTENCE_NAME.mp4            cut clips of the frontal camera, in one folder or one a split
.../raw_videos/VIDEO_NAME.mp4               or the whole videos, cut here by START_REALIGNED, END_REALIGNED
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.training.corpora.sample import SPLITS, CorpusError, Reading, Sample, Split, found, missing, video_of, within

COLUMNS = ("VIDEO_ID", "VIDEO_NAME", "SENTENCE_NAME", "START_REALIGNED", "END_REALIGNED", "SENTENCE")


@dataclass(frozen=True)
class How2Sign:
    """Clips of the frontal camera with their English."""

    folder: Path
    name: str = "how2sign"
    signed: str = "ASL"
    written: str = "en"
    had_at: str = "https://how2sign.github.io"

    def read(self) -> Reading:
        """Of every list that is there; one split is enough."""
        lists = {split: self._list(split) for split in SPLITS}
        if not any(lists.values()):
            raise missing(self, f"how2sign_realigned_train.csv in {self.folder}")
        videos = [self.folder, *within(self.folder, "raw_videos", 3)]
        listed = (sample for split, path in lists.items() if path for sample in self._rows(path, split, videos))
        return found(self, listed, f"clips raw_videos/SENTENCE_NAME.mp4 in {self.folder}")

    def _list(self, split: Split) -> Path | None:
        return next(iter(within(self.folder, f"how2sign_realigned_{split}.csv", 6)), None)

    def _rows(self, path: Path, split: Split, videos: list[Path]) -> Iterator[Sample]:
        with path.open(encoding="utf-8", newline="") as file:
            tabs = "\t" in file.readline()
            file.seek(0)
            # in the published lists quotation marks are the sentences' own
            plain = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            rows = plain if tabs else csv.DictReader(file)
            if lost := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
                raise missing(self, f"a column {lost[0]} in {path}")
            for number, row in enumerate(rows, start=2):
                try:
                    sample = self._sample(row, split, videos)
                except (TypeError, ValueError, AttributeError) as error:  # a short row, a time that is no number
                    raise CorpusError(f"line {number} of {path} is not whole ({error}): fetch the list anew") from error
                if sample is not None:
                    yield sample

    def _sample(self, row: Mapping[str, str], split: Split, videos: list[Path]) -> Sample | None:
        """None for a sentence that takes no time."""
        start, end = float(row["START_REALIGNED"]), float(row["END_REALIGNED"])
        if end <= start:
            return None
        name, video = row["SENTENCE_NAME"], row["VIDEO_NAME"]
        clip = video_of(videos, name)
        cut: tuple[float, float | None] = (0.0, None)
        if not clip.is_file() and (whole := video_of(videos, video)).is_file():
            clip, cut = whole, (start, end)
        signer = video.removeprefix(row["VIDEO_ID"]).strip("-").split("-")[0]
        return Sample(name, clip, split, row["SENTENCE"].strip(), *cut, signer=signer, source=row["VIDEO_ID"])
