"""The lips' recipe on made-up mouths: takes, words exchanged between clips, looks, drawn clips, a few steps of training."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models.canvas import placement
from models.checkpoint import load
from models.experts import Expert
from models.lips import MOUTH_SIZE, MouthEncoder, MouthEncoderConfig
from models.training import grid, lips_stage
from models.training.grid import GridClip, grid_clips
from models.training.labels import ctc_steps
from models.training.lips_clips import (
    COLOUR_TO_BOX,
    MARGIN,
    SIDE,
    VOCABULARY,
    DrawnFolder,
    MouthClip,
    Word,
    crops_between,
    drawn_clip,
    grid_clip,
    mouth_pictures,
    steadied,
)
from models.training.lips_looks import CROPS_OF, IGNORED, KeptLooks, Looks, Store, Variety
from models.training.lips_stage import KEPT_BACK, Mouths, Recipe
from models.training.lips_takes import LONGEST, WORDS, Sentences, Speeches, joined, played, wander

CPU = torch.device("cpu")
TEXTS = ("bin", "blue", "at", "f", "two", "now")


def sentence(number: int, frames: int = 60) -> MouthClip:
    """Six words of 6 frames each from frame 10 on, two phonemes a word; every picture is grey by clip and frame."""
    pictures = np.empty((frames, SIDE, SIDE), np.uint8)
    pictures[:] = (np.arange(frames) + 60 * number)[:, None, None]
    starts = [10.0 + 6 * word for word in range(WORDS)]
    spans = [
        (1 + number * 12 + 2 * word + k, start + 3 * k, start + 3 * k + 3)
        for word, start in enumerate(starts)
        for k in range(2)
    ]
    words = tuple(Word(text, start, start + 6, 2) for text, start in zip(TEXTS, starts, strict=True))
    return MouthClip(f"clip{number}", pictures, tuple(spans), words)


def sentences() -> Sentences:
    return Sentences([sentence(0), sentence(1), sentence(2)], [0, 60, 120])


def speech(phonemes: int = 30) -> MouthClip:
    spans = tuple((1 + k % 3, 20.0 + 10 * k, 26.0 + 10 * k) for k in range(phonemes))
    return MouthClip("drawn", np.full((phonemes * 10 + 40, SIDE, SIDE), 90, np.uint8), spans)


def test_a_take_of_one_clip_says_what_the_clip_says() -> None:
    rng = np.random.default_rng(0)
    takes = played(sentences().draw(np.array([1, 1, 1, 1]), rng, mixing=0.0), rng)
    assert takes.targets == [list(range(13, 25))] * 4
    assert ((takes.frames >= 60) & (takes.frames < 120)).all()
    assert (np.diff(takes.frames, axis=1) >= 0).all()


def test_exchanged_words_bring_their_own_frames() -> None:
    rng = np.random.default_rng(1)
    pieces = sentences().draw(np.zeros(40, np.int64), rng, mixing=1.0)
    spoken = {tuple(target) for target in pieces.targets}
    assert len(spoken) > 20
    for row, target in enumerate(pieces.targets):
        for word in range(WORDS):
            clip = (target[2 * word] - 1) // 12
            assert target[2 * word : 2 * word + 2] == [1 + clip * 12 + 2 * word, 2 + clip * 12 + 2 * word]
            inside = pieces.begin[row, word] + (pieces.length[row, word] - 1 if word == 0 else 0)
            assert inside // 60 == clip


def test_a_take_has_steps_enough_for_its_target() -> None:
    clip = MouthClip("dense", np.zeros((8, SIDE, SIDE), np.uint8), tuple((1, float(k), float(k) + 1) for k in range(4)))
    rng = np.random.default_rng(0)
    takes = played(Speeches([clip], [0]).draw(50, rng), rng, rates=(0.3, 0.3))
    assert all(steps >= ctc_steps(t) for steps, t in zip(takes.lengths.tolist(), takes.targets, strict=True))


def test_a_long_speech_is_shown_in_stretches() -> None:
    rng = np.random.default_rng(2)
    pieces = Speeches([speech()], [1000]).draw(50, rng)
    total = pieces.length.sum(axis=1)
    assert total.max() <= LONGEST
    assert total.min() > 0
    assert pieces.begin[:, 0].min() >= 1000
    for begin, length, target in zip(pieces.begin[:, 0], total, pieces.targets, strict=True):
        shown = [k for k in range(30) if begin <= 1020 + 10 * k and 1026 + 10 * k <= begin + length]
        assert target == [1 + k % 3 for k in shown]


def test_a_wander_is_slow() -> None:
    curves = wander(100, 80, np.random.default_rng(0), 1.0)
    assert curves.shape == (100, 80)
    assert 0.5 < curves.std() < 1.1
    assert np.abs(np.diff(curves, axis=1)).max() < 1.0


def test_labels_lie_on_the_frames_that_are_shown() -> None:
    store = Store.empty(CPU)
    starts = store.add([sentence(0), sentence(1)], TEXTS)
    assert starts == [0, 60]
    assert store.phonemes[[9, 10, 13, 45, 46]].tolist() == [0, 1, 2, 12, 0]
    assert store.words[[9, 10, 16, 60 + 45]].tolist() == [0, 1, 2, 6]
    assert store.add([speech(1)], TEXTS) == [120]
    assert store.words[120:].eq(IGNORED).all()


def test_a_batch_pads_rows_and_fills_crops() -> None:
    store = Store.empty(CPU)
    rng = np.random.default_rng(0)
    drawn = Sentences([sentence(0), sentence(1)], store.add([sentence(0), sentence(1)], TEXTS))
    talk = Speeches([speech()], store.add([speech()], TEXTS))
    takes = played(joined(drawn.draw(np.array([0, 1]), rng, 0.5), talk.draw(2, rng)), rng)
    batch = Looks(store, seed=0).batch(takes)
    steps = batch.phonemes.shape[1]
    assert steps % 8 == 0
    assert len(batch.crops) % CROPS_OF == 0
    assert batch.crops.shape[1:] == (1, MOUTH_SIZE, MOUTH_SIZE)
    assert len(batch.rows) == int(batch.lengths.sum())
    own = torch.arange(steps) < batch.lengths[:, None]
    assert torch.equal(batch.phonemes != IGNORED, own)
    assert not (batch.words[:2][own[:2]] == IGNORED).any()
    assert batch.seen.shape == (4, steps, 1)


def test_kept_looks_are_the_encoders_embeddings_and_grow_with_the_store() -> None:
    store, rng = Store.empty(CPU), np.random.default_rng(0)
    torch.manual_seed(0)
    encoder = MouthEncoder(MouthEncoderConfig(stem=4, channels=(4,), blocks=(1,)))
    drawn = Sentences([sentence(0)], store.add([sentence(0)], TEXTS))
    looks = KeptLooks(store, 0, encoder, views=2)
    batch = looks.batch(played(drawn.draw(np.array([0, 0]), rng, 0.0), rng))
    assert batch.crops.shape[1:] == (encoder.config.width,) and not encoder.training
    assert looks.embeddings.shape == (2, len(store.pictures), encoder.config.width)
    before = looks.embeddings.clone()
    store.add([sentence(1)], TEXTS)
    looks.batch(played(drawn.draw(np.array([0]), rng, 0.0), rng))
    assert looks.embeddings.shape[1] == len(store.pictures) > before.shape[1]
    assert torch.equal(looks.embeddings[:, : before.shape[1]], before)


def test_without_variety_a_look_is_the_live_crop() -> None:
    rng = np.random.default_rng(0)
    textured = rng.integers(0, 255, (60, SIDE, SIDE), dtype=np.uint8)
    clip = MouthClip("t", np.stack([cv2.GaussianBlur(p, (0, 0), 3) for p in textured]), sentence(0).phonemes)
    store = Store.empty(CPU)
    store.add([clip])
    plain = Looks(store, 0, Variety(0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    crops = plain._cut(torch.arange(60), plain.cuts(60, 8)[:, 0])
    live = torch.from_numpy(crops_between(clip.pictures)).float() / 255
    assert (crops[:, 0] - live).abs().mean() < 0.02


def test_a_teachers_boxes_are_steadied_and_filled() -> None:
    boxes = np.tile(np.array([0.5, 0.5, 0.4], np.float32), (20, 1))
    boxes[:2] = boxes[5:7] = np.nan
    boxes[10:, 2] = 0.5
    place = placement(176, 112)
    steady = steadied(boxes, place)
    assert steady is not None
    assert not np.isnan(steady).any()
    assert np.allclose(steady[:10], [0.5, 0.5, 0.4], atol=1e-3)
    assert 0.4 < steady[10, 2] < 0.5
    assert steadied(np.full((4, 3), np.nan, np.float32), place) is None


def test_small_pixels_are_averaged_not_skipped() -> None:
    frame = np.zeros((120, 120, 3), np.uint8)
    frame[:, ::2] = 255
    cut = mouth_pictures(frame[None], np.array([[0.5, 0.5, 1 / MARGIN]], np.float32), MARGIN, SIDE)
    assert 110 < cut[0, 5:-5, 5:-5].mean() < 145
    assert cut[0, 5:-5, 5:-5].std() < 20


def face(frames: int = 40) -> np.ndarray:
    clip = np.full((frames, 112, 176, 3), (60, 130, 200), np.uint8)
    for t, frame in enumerate(clip):
        cv2.ellipse(frame, (88, 50), (46, 62), 0, 0, 360, (200, 165, 140), -1)
        cv2.ellipse(frame, (88, 62), (19, 7 + t % 5), 0, 0, 360, (190, 95, 95), -1)
        cv2.ellipse(frame, (88, 62), (12, t % 5), 0, 0, 360, (60, 25, 25), -1)
    return clip


def write_grid(folder: Path, count: int) -> list[GridClip]:
    """Clips of one drawn face that says GRID's six words."""
    folder.mkdir(parents=True)
    ticks = [5000 + 3000 * k for k in range(7)]
    lines = [f"{start} {end} {word}" for start, end, word in zip(ticks, ticks[1:], TEXTS, strict=False)]
    for number in range(count):
        writer = cv2.VideoWriter(str(folder / f"c{number:03d}.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (176, 112))
        for picture in face():
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        writer.release()
        (folder / f"c{number:03d}.align").write_text("\n".join(lines), encoding="utf-8")
    return grid_clips(folder, held_out=True)


def test_a_grid_clip_is_cut_with_or_without_a_teacher(tmp_path: Path) -> None:
    (clip,) = write_grid(tmp_path / "grid", 1)
    by_colour = grid_clip(clip)
    taught = grid_clip(clip, np.tile(np.array([0.5, 62 / 112, 38 * COLOUR_TO_BOX / 112], np.float32), (40, 1)))
    assert [word.text for word in by_colour.words] == list(TEXTS)
    assert sum(word.phonemes for word in by_colour.words) == len(by_colour.phonemes)
    middle = np.s_[:, 10:50, 10:50]
    assert np.abs(by_colour.pictures[middle].astype(int) - taught.pictures[middle]).mean() < 25


def write_drawn(path: Path, phonemes: list[list[object]], frames: int = 60) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (frames, SIDE, SIDE), dtype=np.uint8)
    np.savez(
        path,
        mouths=pictures,
        boxes=np.zeros((frames, 4, 3), np.float32),
        text=np.array(json.dumps({"phonemes": phonemes})),
    )


def test_drawn_clips_are_read_once_and_silent_ones_left_out(tmp_path: Path) -> None:
    folder = DrawnFolder(tmp_path / "clips")
    assert folder.new() == []
    (tmp_path / "clips").mkdir()
    write_drawn(tmp_path / "clips" / "1.npz", [["B", 400, 600], ["UW", 600, 800]])
    write_drawn(tmp_path / "clips" / "2.npz", [])
    (tmp_path / "clips" / ".3.npz").write_bytes(b"half")
    (clip,) = folder.new()
    assert clip.phonemes == ((VOCABULARY.encode(["B"])[0], 10.0, 15.0), (VOCABULARY.encode(["UW"])[0], 15.0, 20.0))
    assert folder.new() == []


def test_drawn_mouths_of_another_size_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", mouths=np.zeros((9, 40, 40), np.uint8), text=np.array('{"phonemes": []}'))
    with pytest.raises(ValueError, match="60, 60"):
        drawn_clip(tmp_path / "x.npz")


def test_clips_that_are_drawn_later_join_the_batches(tmp_path: Path) -> None:
    recipe = Recipe(clips=4, drawn_share=0.5, rescan_s=0.0)
    mouths = Mouths([sentence(0), sentence(1)], DrawnFolder(tmp_path), recipe, CPU, seed=0)
    batches = iter(mouths)
    assert not (next(batches).words == IGNORED).all(dim=1).any()
    for number in range(KEPT_BACK + 1):
        write_drawn(tmp_path / f"{number:03d}.npz", [["B", 400, 600]])
    assert (next(batches).words == IGNORED).all(dim=1).tolist() == [False, False, True, True]
    assert len(mouths.unseen) == 2


def test_other_sentences_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="6 words"):
        Mouths([speech()], DrawnFolder(tmp_path), Recipe(), CPU, seed=0)


def test_the_recipe_runs_and_its_weights_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grid, "HELD_OUT_CLIPS", 2)
    write_grid(tmp_path / "data" / "grid_lips", 5)
    (tmp_path / "clips").mkdir()
    for number in range(3):
        write_drawn(tmp_path / "clips" / f"{number}.npz", [["B", 400, 600], ["UW", 600, 800]])
    place: dict[str, Any] = {"synthetic": tmp_path / "clips", "device": "cpu", "recipe": Recipe(clips=3)}
    lips_stage.train(tmp_path / "data", tmp_path / "first", minutes=0.001, **place)
    (tmp_path / "runs" / "lips.ckpt").unlink()
    place["recipe"] = Recipe(clips=3, frozen=True)
    figures = lips_stage.train(tmp_path / "data", tmp_path / "out", minutes=0.001, start=tmp_path / "first", **place)
    assert figures["steps"] >= 1
    assert figures["grid_phoneme_error_rate"] >= 0
    assert figures["drawn_phoneme_error_rate"] >= 0
    encoder, expert = load(MouthEncoder, tmp_path / "out", "mouth_encoder"), load(Expert, tmp_path / "out", "lips")
    with torch.inference_mode():
        features = encoder(torch.zeros(8, MOUTH_SIZE, MOUTH_SIZE, dtype=torch.uint8))
        assert expert(features[None]).log_probs.shape == (1, 8, VOCABULARY.size)


def test_hush_asks_for_blanks_until_the_first_phoneme_alone() -> None:
    log_probs = torch.full((1, 6, 3), -9.0)
    log_probs[0, :, 0] = torch.tensor([-1.0, -2.0, -7.0, -7.0, -7.0, -7.0])
    labels = torch.tensor([[0, 0, 2, 2, 0, IGNORED]])
    assert lips_stage.hush(log_probs, labels) == 1.5
    assert lips_stage.hush(log_probs, torch.tensor([[2, 0, 0, 0, IGNORED, IGNORED]])) == 0
