"""YouTube-ASL (Uthus et al. 2023): a list of videos; videos and captions are fetched by whoever uses it.

    youtube_asl_video_ids.txt                                 one id a line
    ID.mp4 (or .webm, .mkv), also in videos/                  e.g. by yt-dlp -o 'videos/%(id)s.%(ext)s' --write-subs
    ID.en.vtt or ID.en.json3, also in captions/ or videos/    the captions that people wrote

The corpus has no splits and no signers: a twentieth of the videos each is held out for val and test, by hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.training.corpora.captions import cues
from models.training.corpora.sample import Reading, Sample, found, missing, split_by, video_of, within

LONGEST_S = 30.0  # captions that stand longer are of a still, or not aligned


@dataclass(frozen=True)
class YoutubeAsl:
    """One sample a caption."""

    folder: Path
    name: str = "youtube-asl"
    signed: str = "ASL"
    written: str = "en"
    had_at: str = "https://github.com/google-research/google-research/tree/master/youtube_asl"

    def read(self) -> Reading:
        """Every listed video that has captions."""
        listing = next(iter(sorted(self.folder.glob("*video_ids.txt"))), None)
        if listing is None:
            raise missing(self, f"youtube_asl_video_ids.txt in {self.folder}")
        ids = list(dict.fromkeys(listing.read_text(encoding="utf-8").split()))
        captions = self._captions(set(ids))
        if not captions:
            raise missing(self, f"captions ID.en.vtt or ID.en.json3 beside the videos in {self.folder}")
        return found(self, self._cut(ids, captions), f"videos videos/ID.mp4 in {self.folder}")

    def _captions(self, ids: set[str]) -> dict[str, Path]:
        """Id -> captions; English ones last, so that they are taken."""
        paths = [path for ending in ("vtt", "json3") for path in within(self.folder, f"*.{ending}", 2)]
        paths.sort(key=lambda path: (".en" in path.name, path.name))
        return {stem: path for path in paths if (stem := path.name.split(".")[0]) in ids}

    def _cut(self, ids: list[str], captions: dict[str, Path]) -> Iterator[Sample]:
        for one in ids:
            if one not in captions:
                continue
            video = video_of([self.folder / "videos", self.folder], one)
            for number, cue in enumerate(cues(captions[one])):
                if cue.end_s - cue.start_s <= LONGEST_S:
                    name = f"{one}_{number}"
                    yield Sample(name, video, split_by(one), cue.text, cue.start_s, cue.end_s, source=one)
