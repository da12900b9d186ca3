"""BOBSL (Albanie et al. 2021): BBC programmes with a signer in BSL, under captions.

    subset2episode.json                          {"train": [EPISODE, ...], "val": ..., "test": ...}, also in metadata/
    subtitles/manually-aligned/EPISODE.vtt       taken first
    subtitles/audio-aligned*/EPISODE.vtt         for episodes that have no other
    videos/EPISODE.mp4                           also in videos/mp4/, original_data/videos/mp4/

The published splits share no signer; who signs is not in these files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.training.corpora.captions import cues
from models.training.corpora.sample import CorpusError, Reading, Sample, Split, found, missing, video_of, within

SUBSETS: dict[str, Split] = {"train": "train", "val": "val", "test": "test", "public_test": "test"}


@dataclass(frozen=True)
class Bobsl:
    """One sample a caption."""

    folder: Path
    name: str = "bobsl"
    signed: str = "BSL"
    written: str = "en"
    had_at: str = "https://www.robots.ox.ac.uk/~vgg/data/bobsl"

    def read(self) -> Reading:
        """Every episode that has captions."""
        path = next(iter(within(self.folder, "subset2episode.json", 3)), None)
        if path is None:
            raise missing(self, f"subset2episode.json in {self.folder}")
        try:
            subsets = json.loads(path.read_text(encoding="utf-8"))
            episodes = {str(one): SUBSETS[subset] for subset in SUBSETS for one in subsets.get(subset, ())}
        except (ValueError, AttributeError, TypeError) as error:
            raise CorpusError(f"expected lists of episodes in {path}, but got {error}: fetch it anew") from error
        captions = self._captions()
        if not captions.keys() & episodes.keys():
            raise missing(self, f"captions subtitles/manually-aligned/EPISODE.vtt in {self.folder}")
        return found(self, self._cut(episodes, captions), f"videos videos/EPISODE.mp4 in {self.folder}")

    def _captions(self) -> dict[str, Path]:
        """Episode -> captions, those aligned to the signing by hand before those aligned to the sound."""
        paths = sorted(within(self.folder, "*.vtt", 3), key=lambda path: ("manual" in path.parent.name, path))
        return {path.stem: path for path in paths}

    def _cut(self, episodes: dict[str, Split], captions: dict[str, Path]) -> Iterator[Sample]:
        folders = [self.folder / "videos", *within(self.folder, "videos/mp4", 2)]
        for episode, split in episodes.items():
            if episode not in captions:
                continue
            video = video_of(folders, episode)
            for number, cue in enumerate(cues(captions[episode])):
                yield Sample(
                    f"{episode}_{number}", video, split, cue.text, cue.start_s, cue.end_s, source=episode
                )  # fmt: skip
