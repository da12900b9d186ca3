"""ChicagoFSWild and ChicagoFSWildPlus (Shi et al. 2018, 2019): fingerspelling cut out of ASL videos, as pictures.

    ChicagoFSWild.csv | ChicagoFSWildPlus.csv          filename, number_of_frames, label_proc, partition, signer, ...
    ChicagoFSWild-Frames/FILENAME/0001.jpg, ...        unpacked from ChicagoFSWild-Frames.tgz (Plus likewise)

The lists say nothing of the frame rate; 30 Hz is what most of the videos have.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.training.corpora.sample import Reading, Sample, Split, found, missing, spelled

FRAME_RATE_HZ = 30.0
PARTITIONS: dict[str, Split] = {"train": "train", "dev": "val", "test": "test"}
COLUMNS = ("filename", "label_proc", "partition", "signer")


@dataclass(frozen=True)
class ChicagoFSWild:
    """Sequences of pictures with what is spelled in them; the partitions share no signer."""

    folder: Path
    name: str = "chicagofswild"
    title: str = "ChicagoFSWild"
    signed: str = "ASL"
    written: str = "en"
    had_at: str = "https://home.ttic.edu/~klivescu/ChicagoFSWild.htm"

    def read(self) -> Reading:
        """All partitions; labels without a letter are left out."""
        path = self.folder / f"{self.title}.csv"
        if not path.is_file():
            raise missing(self, f"{path.name} in {self.folder}")
        frames = self._frames()
        return found(self, self._rows(path, frames), f"pictures {frames.name}/FILENAME/0001.jpg in {self.folder}")

    def _frames(self) -> Path:
        places = [self.folder / f"{self.title}-Frames", self.folder / "Frames"]
        inner = [place / place.name for place in places]  # an archive unpacked into a folder of its own name
        return next((place for place in (*inner, *places) if place.is_dir()), places[0])

    def _rows(self, path: Path, frames: Path) -> Iterator[Sample]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if lost := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
                raise missing(self, f"a column {lost[0]} in {path}")
            for row in rows:
                letters, partition = spelled(row["label_proc"] or ""), PARTITIONS.get(row["partition"])
                if letters and partition:
                    name = row["filename"]
                    yield Sample(
                        name, frames / name, partition, letters=letters, signer=row["signer"],
                        source=name.rpartition("/")[0] or name, frame_rate_hz=FRAME_RATE_HZ,
                    )  # fmt: skip


def plus(folder: Path) -> ChicagoFSWild:
    """ChicagoFSWildPlus: the same layout under its own name."""
    return ChicagoFSWild(folder, "chicagofswildplus", "ChicagoFSWildPlus")
