"""Every reader on small files in the published layout; what is missing is said in one sentence."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.training.corpora import chicago
from models.training.corpora.bobsl import Bobsl
from models.training.corpora.captions import cues
from models.training.corpora.catalogue import CORPORA, opened
from models.training.corpora.chicago import ChicagoFSWild
from models.training.corpora.clip_frames import clip_frames
from models.training.corpora.how2sign import How2Sign
from models.training.corpora.ncslgr import Ncslgr
from models.training.corpora.phoenix14t import Phoenix14T
from models.training.corpora.sample import CorpusError, Sample, resplit, split_by
from models.training.corpora.youtube_asl import YoutubeAsl
from models.video import on_clock
from tests.models.training import corpus_files as files


def test_how2sign_clips(tmp_path: Path) -> None:
    sentences = [("train", 'It is "great", she said.'), ("train", "Go."), ("val", "Stop.")]
    reading = How2Sign(files.how2sign(tmp_path, sentences)).read()
    first, second, held = reading.samples
    assert (first.name, first.text, first.signer) == ("-abtrain_0-5-rgb_front", 'It is "great", she said.', "5")
    assert (first.split, second.text, held.split, held.source) == ("train", "Go.", "val", "-abval")
    assert first.end_s is None and len(clip_frames(first)) == 24


@pytest.mark.parametrize("line", ["-ab\t-ab-5-rgb_front\t-ab_1\tname", "a\tb\tc\td\tsoon\t2.0\tGo."])
def test_a_line_that_is_not_whole_is_named(tmp_path: Path, line: str) -> None:
    files.how2sign(tmp_path)
    (path,) = tmp_path.rglob("how2sign_realigned_train.csv")
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="line 3 of .* is not whole"):
        How2Sign(tmp_path).read()


def test_how2sign_cuts_whole_videos_and_counts_what_is_absent(tmp_path: Path) -> None:
    files.how2sign(tmp_path, [("train", "Here."), ("val", "Gone.")])
    for clip in tmp_path.rglob("*.mp4"):
        clip.unlink()
    files.write_video(tmp_path / "raw_videos" / "-abtrain-5-rgb_front.mp4", range(0, 250, 5))
    reading = How2Sign(tmp_path).read()
    assert reading.absent == 1
    (sample,) = reading.samples
    frames = clip_frames(sample)
    assert (sample.start_s, sample.end_s, len(frames)) == (1.0, 1.96, 24)
    assert abs(int(frames[0][240, 320, 0]) - 25 * 5) <= 3  # the frame at one second


def test_how2sign_leaves_out_a_sentence_that_takes_no_time(tmp_path: Path) -> None:
    files.how2sign(tmp_path, [("train", "Here.")])
    (path,) = tmp_path.rglob("how2sign_realigned_train.csv")
    head, row = path.read_text(encoding="utf-8").splitlines()
    *cells, start, _, text = row.split("\t")
    path.write_text("\n".join([head, row, "\t".join([*cells, start, start, text])]), encoding="utf-8")
    for clip in tmp_path.rglob("*.mp4"):
        clip.unlink()
    files.write_video(tmp_path / "raw_videos" / "-abtrain-5-rgb_front.mp4", range(0, 250, 5))
    assert [sample.text for sample in How2Sign(tmp_path).read().samples] == ["Here."]


def test_how2sign_saved_with_commas(tmp_path: Path) -> None:
    files.how2sign(tmp_path)
    path = tmp_path / "how2sign_realigned_train.csv"
    path.write_text(path.read_text().replace("My name is Maria.", '"Well, hello."').replace("\t", ","))
    assert How2Sign(tmp_path).read().samples[0].text == "Well, hello."


@pytest.mark.parametrize(("reader", "title"), [(ChicagoFSWild, "ChicagoFSWild"), (chicago.plus, "ChicagoFSWildPlus")])
def test_chicago(reader: Callable[[Path], ChicagoFSWild], title: str, tmp_path: Path) -> None:
    files.chicago(tmp_path, [("train", "o'brien 7"), ("dev", "b&b"), ("test", "-"), ("odd", "x")], title)
    first, second = reader(tmp_path).read().samples
    assert (first.letters, first.split, first.signer, first.source) == ("OBRIEN7", "train", "signer0", "deafvideo_0")
    assert (second.letters, second.split) == ("BB", "val")
    assert len(clip_frames(first)) == 21  # the last of 24 pictures at 30 Hz comes at 0.767 s


def test_bobsl_takes_captions_by_hand_first(tmp_path: Path) -> None:
    samples = Bobsl(files.bobsl(tmp_path)).read().samples
    assert [(one.text, one.split) for one in samples] == [
        ("By hand.", "train"), ("It rains again.", "train"), ("Only sound.", "test"), ("It rains again.", "test"),
    ]  # fmt: skip
    frames = clip_frames(samples[1])
    assert len(frames) == 15 and abs(int(frames[0][240, 320, 0]) - (20 + 25 * 4)) <= 3


def test_youtube_asl(tmp_path: Path) -> None:
    reading = YoutubeAsl(files.youtube_asl(tmp_path)).read()
    assert [(one.text, one.start_s, one.end_s) for one in reading.samples] == [
        ("Hello & welcome", 0.4, 1.2), ("My name", 0.2, pytest.approx(1.1)),
    ]  # fmt: skip
    assert reading.absent == 1 and reading.samples[0].split == split_by("abc-DEF_123")
    assert len(clip_frames(reading.samples[1])) in (22, 23)


def test_phoenix14t(tmp_path: Path) -> None:
    samples = Phoenix14T(files.phoenix14t(tmp_path)).read().samples
    assert [one.split for one in samples] == ["train", "val", "test"]
    assert samples[0].glosses == ("DRUCK", "TIEF", "KOMMEN") and samples[0].signer == "Signer08"
    assert samples[0].text == '"tiefer luftdruck" kommt .' and len(clip_frames(samples[0])) == 4


def test_ncslgr_signstream(tmp_path: Path) -> None:
    (sample,) = Ncslgr(files.ncslgr(tmp_path)).read().samples
    assert sample.glosses == ("#JOHN", "ME") and sample.times_s == ((0.1, 0.3), (0.4, 0.7))
    assert (sample.text, sample.signer, sample.letters) == ("I am John.", "Ben", "JOHN")
    assert sample.clip.name == "front.mov" and (sample.start_s, sample.end_s) == (0.4, 1.6)
    assert len(clip_frames(sample)) == 30


def test_ncslgr_elan(tmp_path: Path) -> None:
    (sample,) = Ncslgr(files.ncslgr(tmp_path, files.ELAN, "story.eaf")).read().samples
    assert (sample.glosses, sample.text, sample.signer) == (("BOOK",), "The book.", "Lana")
    assert sample.times_s == ((0.0, 0.3),) and sample.start_s == 0.4


MAKERS = {
    "how2sign": files.how2sign, "chicagofswild": files.chicago, "bobsl": files.bobsl,
    "youtube-asl": files.youtube_asl, "phoenix14t": files.phoenix14t, "ncslgr": files.ncslgr,
}  # fmt: skip


@pytest.mark.parametrize("name", CORPORA)
def test_an_empty_folder_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=rf"^{name}: expected .* but there is none: it is had at https://") as caught:
        CORPORA[name](tmp_path).read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MAKERS)
def test_a_corpus_without_clips_is_one_sentence(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path)
    for ending in ("mp4", "mkv", "mov", "png", "jpg"):
        for path in tmp_path.rglob(f"*.{ending}"):
            path.unlink()
    for folder in ("ChicagoFSWild-Frames", "PHOENIX-2014-T/features"):
        shutil.rmtree(tmp_path / folder, ignore_errors=True)
    with pytest.raises(CorpusError, match=rf"^{name}: expected (clips|pictures|videos|the videos) .*it is had at"):
        CORPORA[name](tmp_path).read()


@pytest.mark.parametrize(
    ("maker", "broken", "said"),
    [
        ("how2sign", "how2sign_realigned_train.csv", "a column VIDEO_ID"),
        ("chicagofswild", "ChicagoFSWild.csv", "a column filename"),
        ("bobsl", "metadata/subset2episode.json", "lists of episodes"),
        ("bobsl", "subtitles/manually-aligned/511.vtt", "captions in"),
        ("youtube-asl", "videos/zzz.en.json3", "captions in"),
        ("phoenix14t", "PHOENIX-2014-T/annotations/manual/PHOENIX-2014-T.dev.corpus.csv", "a column name"),
        ("ncslgr", "story.xml", "annotations in"),
    ],
)
def test_a_broken_list_is_one_sentence(maker: str, broken: str, said: str, tmp_path: Path) -> None:
    MAKERS[maker](tmp_path)
    (tmp_path / broken).write_text("what is this\n")
    with pytest.raises(CorpusError, match=said) as caught:
        CORPORA[maker](tmp_path).read()
    assert "\n" not in str(caught.value)


def test_clips_that_cannot_be_seen_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(CorpusError, match="one: .*broken.mp4 cannot be decoded"):
        clip_frames(Sample("one", broken, "train"))
    files.write_video(tmp_path / "short.mp4", [10, 20])
    with pytest.raises(CorpusError, match="two: no frame of"):
        clip_frames(Sample("two", tmp_path / "short.mp4", "train", start_s=5.0, end_s=6.0))
    files.write_pictures(tmp_path / "pictures", [10])
    (tmp_path / "pictures" / "0002.jpg").write_bytes(b"x")
    with pytest.raises(CorpusError, match="three: .*0002.jpg is no picture"):
        clip_frames(Sample("three", tmp_path / "pictures", "train", frame_rate_hz=25.0))


def test_the_nearest_earlier_frame_stands_at_every_tick() -> None:
    timed = [(second / 10, np.full((2, 2, 3), second, np.uint8)) for second in range(4)]  # 10 Hz
    assert [int(frame[0, 0, 0]) for frame in on_clock(timed)] == [0, 0, 0, 1, 1, 2, 2, 2, 3]


def test_captions_over_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"
    path.write_text(
        "WEBVTT\r\n\r\nNOTE x\r\n\r\n01:00:01.500 --> 01:00:03,000\r\n- Yes.\r\n\r\n00:05.0 --> 00:04.0\r\nbackwards\r\n"
    )
    (cue,) = cues(path)
    assert (cue.start_s, cue.end_s, cue.text) == (3601.5, 3603.0, "Yes.")


def test_whole_signers_or_recordings_are_held_out() -> None:
    samples = [Sample(str(i), Path("x"), "train", signer=f"s{i % 40}", source=f"r{i % 60}") for i in range(480)]
    for by in ("signer", "source"):
        moved = resplit(samples, by)  # type: ignore[arg-type]
        homes = {getattr(one, by): one.split for one in moved}
        assert all(homes[getattr(one, by)] == one.split for one in moved)
        assert set(homes.values()) == {"train", "val", "test"}
    assert resplit([Sample("x", Path("x"), "test")], "signer")[0].split == "test"


def test_corpora_by_name(tmp_path: Path) -> None:
    assert [corpus.name for corpus in opened([f"how2sign={tmp_path}", f"chicagofswildplus={tmp_path}"])] == [
        "how2sign", "chicagofswildplus",
    ]  # fmt: skip
    for wrong, said in (("how2sing=/x", "NAME=DIR"), (str(tmp_path), "NAME=DIR"), ("bobsl=/nowhere", "no folder")):
        with pytest.raises(CorpusError, match=said):
            opened([wrong])
    with pytest.raises(CorpusError, match="one sign language, but these are ASL, DGS"):
        opened([f"how2sign={tmp_path}", f"phoenix14t={tmp_path}"])
