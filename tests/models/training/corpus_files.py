"""Small corpora in their published layouts, with real videos and pictures of a few frames."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray


def picture(shade: int, width: int = 96, height: int = 72) -> NDArray[np.uint8]:
    """One plain colour, so that a frame can be told by it after coding."""
    return np.full((height, width, 3), shade, np.uint8)


def write_video(path: Path, shades: Sequence[int], rate: int = 25, codec: str = "libx264") -> None:
    """A video with a frame of one grey a shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for shade in shades:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(shade), format="rgb24")))
        container.mux(stream.encode(None))


def write_pictures(folder: Path, shades: Sequence[int], pattern: str = "{:04}.jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, shade in enumerate(shades, start=1):
        assert cv2.imwrite(str(folder / pattern.format(number)), picture(shade))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def how2sign(folder: Path, sentences: Sequence[tuple[str, str]] = (("train", "My name is Maria."),)) -> Path:
    """Sentences (split, English), each with a clip of 24 frames."""
    header = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"
    for split in dict.fromkeys(split for split, _ in sentences):
        rows = [header]
        for number, english in enumerate(text for kind, text in sentences if kind == split):
            video, name = f"-ab{split}", f"-ab{split}_{number}-5-rgb_front"
            rows.append(f"{video}\t{video}-5-rgb_front\t{video}_{number}\t{name}\t1.0\t1.96\t{english}")
            write_video(
                folder / f"{split}_rgb_front_clips" / "raw_videos" / f"{name}.mp4", [40 + 4 * i for i in range(24)]
            )
        write(folder / f"how2sign_realigned_{split}.csv", "\n".join(rows) + "\n")
    return folder


def chicago(
    folder: Path, words: Sequence[tuple[str, str]] = (("train", "maria"),), title: str = "ChicagoFSWild"
) -> Path:
    """Words (partition, letters), each with 24 pictures."""
    rows = ["filename,url,start_time,number_of_frames,width,height,label_proc,label_raw,label_notes,partition,signer"]
    for number, (partition, word) in enumerate(words):
        name = f"deafvideo_{number}/someone_{number:04}"
        rows.append(f"{name},http://x.invalid/1,00:00:01,24,96,72,{word},{word},,{partition},signer{number}")
        write_pictures(folder / f"{title}-Frames" / name, [40 + 4 * i for i in range(24)])
    write(folder / f"{title}.csv", "\n".join(rows) + "\n")
    return folder


def bobsl(folder: Path) -> Path:
    """Two episodes; the first has captions of both kinds."""
    write(
        folder / "metadata" / "subset2episode.json", json.dumps({"train": ["511"], "val": [], "public_test": ["622"]})
    )
    cue = "WEBVTT\n\n1\n00:00:00.200 --> 00:00:00.800\n{}\n\n00:00:01.000 --> 00:00:01.600 align:start\n<i>It rains</i>\nagain.\n"
    write(folder / "subtitles" / "manually-aligned" / "511.vtt", cue.format("By hand."))
    write(folder / "subtitles" / "audio-aligned-heuristic-correction" / "511.vtt", cue.format("By sound."))
    write(folder / "subtitles" / "audio-aligned-heuristic-correction" / "622.vtt", cue.format("Only sound."))
    for episode in ("511", "622"):
        write_video(folder / "videos" / f"{episode}.mp4", range(20, 220, 4))
    return folder


def youtube_asl(folder: Path) -> Path:
    """Three listed videos: one with VTT, one with json3, one that is gone."""
    write(folder / "youtube_asl_video_ids.txt", "abc-DEF_123\nzzz\ngone\n")
    first, second = "00:00.400 --> 00:01.200\nHello &amp; welcome [music]", "00:01.300 --> 00:01.500\n[applause]"
    cues = f"WEBVTT\nKind: captions\n\n{first}\n\n{second}\n"
    write(folder / "captions" / "abc-DEF_123.en.vtt", cues)
    write(folder / "captions" / "abc-DEF_123.de.vtt", cues.replace("Hello", "Hallo"))
    events = {
        "events": [{"tStartMs": 200, "dDurationMs": 900, "segs": [{"utf8": "My "}, {"utf8": "name"}]}, {"tStartMs": 1}]
    }
    write(folder / "videos" / "zzz.en.json3", json.dumps(events))
    write(folder / "captions" / "gone.en.vtt", cues)
    write_video(folder / "videos" / "abc-DEF_123.mp4", range(20, 220, 4))
    write_video(folder / "videos" / "zzz.mkv", range(20, 220, 4))
    return folder


def phoenix14t(folder: Path) -> Path:
    """One forecast a split."""
    root = folder / "PHOENIX-2014-T"
    for part in ("train", "dev", "test"):
        name = f"11August_2010_Wednesday_tagesschau-{len(part)}"
        rows = ["name|video|start|end|speaker|orth|translation",
                f'{name}|{name}/1/*.png|-1|-1|Signer08|DRUCK TIEF KOMMEN|"tiefer luftdruck" kommt .']  # fmt: skip
        write(root / "annotations" / "manual" / f"PHOENIX-2014-T.{part}.corpus.csv", "\n".join(rows) + "\n")
        pictures = root / "features" / "fullFrame-210x260px" / part / name
        write_pictures(pictures, [50, 60, 70, 80], "images{:04}.png")
    return folder


SIGNSTREAM = """<?xml version="1.0" encoding="UTF-8"?>
<SIGNSTREAM-DATABASE SIGNSTREAM-VERSION="2"><PARTICIPANTS><PARTICIPANT ID="0" NAME="Ben"/></PARTICIPANTS>
<CODING-SCHEME><FIELD ID="77" NAME="main gloss"/><FIELD ID="20001" NAME="English translation"/>
<FIELD ID="88" NAME="negative"><VALUE ID="2" NAME="neg"/></FIELD></CODING-SCHEME>
<MEDIA-FILES><MEDIA-FILE ID="1" LEGACY-PATH="Disk:data:side.mov"/><MEDIA-FILE ID="2" PATH="/x/front.mov"/></MEDIA-FILES>
<UTTERANCES><UTTERANCE ID="3" S="400" E="1600"><MEDIA-REF ID="1"/><MEDIA-REF ID="2"/><SEGMENT PARTICIPANT-ID="0">
<TRACK FID="77"><A S="100" E="300">fs-JOHN</A><A S="400" E="700">IX-1p</A><A S="750" E="760">part:indef</A></TRACK>
<TRACK FID="88"><A S="0" E="300" VID="2"/></TRACK><TRACK FID="20001"><A S="0" E="1200">I am John.</A></TRACK>
</SEGMENT></UTTERANCE></UTTERANCES></SIGNSTREAM-DATABASE>
"""

ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/x/front.mov"
RELATIVE_MEDIA_URL="./front.mov"/></HEADER><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="400"/>
<TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="700"/><TIME_SLOT TIME_SLOT_ID="c" TIME_VALUE="1600"/></TIME_ORDER>
<TIER TIER_ID="main gloss" PARTICIPANT="Lana"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="1" TIME_SLOT_REF1="a"
TIME_SLOT_REF2="b"><ANNOTATION_VALUE>BOOK</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="English translation" PARTICIPANT="Lana"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="2"
TIME_SLOT_REF1="a" TIME_SLOT_REF2="c"><ANNOTATION_VALUE>The book.</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
</TIER></ANNOTATION_DOCUMENT>
"""


def ncslgr(folder: Path, annotations: str = SIGNSTREAM, name: str = "story.xml") -> Path:
    """One utterance, seen by the front camera alone."""
    write(folder / name, annotations)
    write_video(folder / "videos" / "front.mov", range(20, 220, 4))
    return folder
