"""GRID's reader: words, phoneme times, split, the mouth finder on a drawn face, the teacher's boxes."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from models.canvas import placement
from models.evaluation.locate import evaluate_mouths
from models.locate import Locator, LocatorConfig
from models.training.boxes import grid_pool
from models.training.grid import (
    HELD_OUT_CLIPS,
    FaceTrack,
    GridClip,
    PhonemeSpan,
    grid_clips,
    mouth_track,
    phoneme_spans,
    read_frames,
    read_phonemes,
    read_words,
    teacher_tracks,
)


def write_align(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def drawn_face(centre: tuple[int, int], frames: int = 30) -> np.ndarray:
    """A skin-coloured face on blue, with a red mouth that opens and closes, uint8 (frames, 112, 176, 3)."""
    clip = np.full((frames, 112, 176, 3), (60, 130, 200), np.uint8)
    x, y = centre
    for t, frame in enumerate(clip):
        cv2.ellipse(frame, (x, y - 12), (46, 62), 0, 0, 360, (200, 165, 140), -1)
        cv2.ellipse(frame, (x, y), (19, 7 + t % 5), 0, 0, 360, (190, 95, 95), -1)
        cv2.ellipse(frame, (x, y), (12, t % 5), 0, 0, 360, (60, 25, 25), -1)
    return clip


def test_words_have_seconds_and_no_silence(tmp_path: Path) -> None:
    path = write_align(tmp_path / "a.align", "0 25000 sil\n25000 30000 bin\n30000 31000 sp\n31000 40000 blue\n\n")
    assert read_words(path) == [PhonemeSpan("bin", 1.0, 1.2), PhonemeSpan("blue", 1.24, 1.6)]


def test_a_broken_align_line_is_named(tmp_path: Path) -> None:
    path = write_align(tmp_path / "b.align", "0 100 sil\n100 bin\n")
    with pytest.raises(ValueError, match="b.align line 2"):
        read_words(path)


def test_phonemes_share_the_time_of_their_word() -> None:
    spans = phoneme_spans([PhonemeSpan("bin", 1.0, 1.3), PhonemeSpan("a", 1.3, 1.5), PhonemeSpan("w", 1.5, 2.0)])
    assert [span.text for span in spans[:4]] == ["B", "IH", "N", "EY"]
    assert spans[1].start_s == pytest.approx(1.1)
    assert spans[-1].end_s == pytest.approx(2.0)
    assert [span.text for span in spans[4:]] == ["D", "AH", "B", "AH", "L", "Y", "UW"]


def test_the_last_clips_by_name_are_held_out(tmp_path: Path) -> None:
    for k in range(100):
        (tmp_path / f"c{k:03d}.mp4").touch()
        write_align(tmp_path / f"c{k:03d}.align", "0 25000 bin\n")
    (tmp_path / "zzz.mp4").touch()  # no alignment: not a clip
    trained, held_out = grid_clips(tmp_path, held_out=False), grid_clips(tmp_path, held_out=True)
    assert [len(trained), len(held_out)] == [10, HELD_OUT_CLIPS]
    assert held_out[0] == GridClip(tmp_path / "c010.mp4", tmp_path / "c010.align")
    assert {clip.name for clip in trained}.isdisjoint(clip.name for clip in held_out)
    assert [span.text for span in read_phonemes(trained[0])] == ["B", "IH", "N"]


def test_a_folder_without_clips_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found none"):
        grid_clips(tmp_path / "missing", held_out=True)


def test_a_file_that_is_no_video_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="x.mp4"):
        read_frames(tmp_path / "x.mp4")


@pytest.mark.parametrize("centre", [(70, 50), (88, 60), (100, 76)])
def test_the_mouth_of_a_drawn_face_is_found(centre: tuple[int, int]) -> None:
    x, y, side = np.median(mouth_track(drawn_face(centre)), axis=0)
    assert x == pytest.approx(centre[0] / 176, abs=0.03)
    assert y == pytest.approx(centre[1] / 112, abs=0.04)
    assert 0.25 < side < 0.5


def test_the_track_follows_a_head_that_moves() -> None:
    clip = np.stack([np.roll(frame, t // 2, axis=1) for t, frame in enumerate(drawn_face((70, 60), 40))])
    track = mouth_track(clip)
    assert track.shape == (40, 3)
    assert (track[-1, 0] - track[0, 0]) * 176 == pytest.approx(19, abs=6)


def test_a_clip_without_a_face_is_said() -> None:
    with pytest.raises(ValueError, match="almost no skin"):
        mouth_track(np.zeros((10, 112, 176, 3), np.uint8))


# --- the teacher's boxes ----------------------------------------------------------------------------------------


def write_video(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def write_data(folder: Path, trained: int = 2) -> Path:
    """GRID's folder with two clips that can be read and 90 held out ones that cannot: who opens them fails."""
    (folder / "grid_lips").mkdir()
    for k in range(trained + HELD_OUT_CLIPS):
        video = folder / "grid_lips" / f"c{k:03d}.mp4"
        write_align(video.with_suffix(".align"), "0 25000 bin\n")
        if k < trained:
            write_video(video, drawn_face((70, 50), 20))
        else:
            video.touch()
    return folder


def write_teacher(path: Path, clips: list[str], mouth: tuple[float, float, float], frames: int = 20) -> Path:
    track = np.tile(np.array(mouth, np.float32), (frames, 1))
    face = track * (1, 1, 2)
    face[:10] = np.nan
    arrays = dict.fromkeys(clips, track) | {f"{name}.face": face for name in clips}
    np.savez(path, **arrays)
    return path


def test_the_teachers_tracks_are_read_by_clip(tmp_path: Path) -> None:
    file = write_teacher(tmp_path / "teacher.npz", ["a", "b"], (0.4, 0.5, 0.3))
    tracks = teacher_tracks(file)
    assert sorted(tracks) == ["a", "b"]
    assert tracks["b"].mouth.shape == tracks["b"].face.shape == (20, 3)
    assert teacher_tracks(tmp_path / "none.npz") == {}


def test_the_teachers_boxes_label_training_clips_alone(tmp_path: Path) -> None:
    names = [f"c{k:03d}" for k in range(HELD_OUT_CLIPS + 2)]
    teacher = write_teacher(tmp_path / "teacher.npz", names, (0.4, 0.5, 0.3))
    pool = grid_pool(write_data(tmp_path), a_clip=2, teacher=teacher)
    assert len(pool) == 4
    assert pool.trust.tolist() == pytest.approx([0.4, 0.4, 1, 1])
    on_canvas = placement(176, 112).to_canvas((0.4, 0.5, 0.3))
    assert pool.boxes[:, 3] == pytest.approx(np.tile(on_canvas, (4, 1)), abs=1e-4)
    assert np.isnan(pool.boxes[:, 2, 0]).tolist() == [True, False, True, False]
    assert np.isnan(pool.boxes[:, :2]).all()


def test_a_clip_that_the_teacher_did_not_label_is_left_out(tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher.npz", ["c001"], (0.4, 0.5, 0.3))
    assert len(grid_pool(write_data(tmp_path), a_clip=2, teacher=teacher)) == 2


def test_without_a_teacher_lip_colour_labels_mouths(tmp_path: Path) -> None:
    pool = grid_pool(write_data(tmp_path), a_clip=1, teacher=tmp_path / "none.npz")
    assert pool.trust.tolist() == [0, 0, 0, 1]
    assert pool.boxes[:, 3, 0] == pytest.approx([70 / 176] * 2, abs=0.03)
    assert np.isnan(pool.boxes[:, :3]).all()


def test_mouths_are_compared_with_the_teachers(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", drawn_face((70, 50), 10))
    clips = [GridClip(tmp_path / "a.mp4", tmp_path / "a.align")]
    locator = Locator(LocatorConfig(stem=4, channels=(8, 8, 8, 8), threshold=0.001)).eval()
    track = np.tile(np.array([0.4, 0.5, 0.3], np.float32), (10, 1))
    track[3] = np.nan
    figures = evaluate_mouths(locator, clips, {"a": FaceTrack(track, track)})
    assert figures["mouth_found"] == 1
    assert 0 < figures["mouth_centre_error"] <= figures["mouth_centre_error_p90"]
    with pytest.raises(ValueError, match="teacher"):
        evaluate_mouths(locator, clips, {})
