"""RWTH-PHOENIX-Weather 2014T (Camgoz et al. 2018): DGS weather forecasts with glosses and German.

[PHOENIX-2014-T/]annotations/manual/PHOENIX-2014-T.{train,dev,test}.corpus.csv    name|video|...|speaker|orth|translation
[PHOENIX-2014-T/]features/fullFrame-210x260px/{train,dev,test}/NAME/*.png         25 pictures a second
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.training.corpora.sample import CorpusError, Reading, Sample, Split, found, missing, within

FRAME_RATE_HZ = 25.0
PARTITIONS: dict[str, Split] = {"train": "train", "dev": "val", "test": "test"}
COLUMNS = ("name", "speaker", "orth", "translation")


@dataclass(frozen=True)
class Phoenix14T:
    """Sequences of pictures; the splits share signers."""

    folder: Path
    name: str = "phoenix14t"
    signed: str = "DGS"
    written: str = "de"
    had_at: str = "https://www-i6.informatik.rwth-aachen.de/~koller/RWTH-PHOENIX-2014-T"

    def read(self) -> Reading:
        """Of every list that is there; one split is enough."""
        lists = {part: self._list(part) for part in PARTITIONS}
        if not any(lists.values()):
            raise missing(self, f"annotations/manual/PHOENIX-2014-T.train.corpus.csv in {self.folder}")
        pictures = self._pictures()
        listed = (sample for part, path in lists.items() if path for sample in self._rows(path, part, pictures))
        return found(self, listed, f"pictures {pictures.name}/SPLIT/NAME/*.png in features of {self.folder}")

    def _list(self, part: str) -> Path | None:
        return next(iter(within(self.folder, f"PHOENIX-2014-T.{part}.corpus.csv", 4)), None)

    def _pictures(self) -> Path:
        name = "fullFrame-210x260px"
        return next(iter(within(self.folder, name, 3)), self.folder / "features" / name)

    def _rows(self, path: Path, part: str, pictures: Path) -> Iterator[Sample]:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="|", quoting=csv.QUOTE_NONE)
            if lost := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
                raise missing(self, f"a column {lost[0]} in {path}")
            for number, row in enumerate(rows, start=2):
                if None in row.values():
                    raise CorpusError(f"line {number} of {path} has too few columns: fetch the list anew")
                name = row["name"]
                folder = pictures / part / name
                yield Sample(
                    name, folder / "1" if (folder / "1").is_dir() else folder, PARTITIONS[part], row["translation"],
                    glosses=tuple(row["orth"].split()), signer=row["speaker"], source=name.rpartition("-")[0] or name,
                    frame_rate_hz=FRAME_RATE_HZ,
                )  # fmt: skip
