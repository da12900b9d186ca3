"""Labelled frames: read, laid on the canvas, reframed, and turned into what the locator learns."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from models.evaluation.locate import compare
from models.locate import PARTS, Locator, LocatorConfig, peaks
from models.training.boxes import as_rows, labelled_frames, on_canvas, read_boxes
from models.training.framing import Framing, random_background, reframe, relight_frame, without_green
from models.training.locate_stage import FrameBatch, locate_loss


def _clip(folder: Path, frames: int = 6) -> Path:
    path = folder / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 72, "yuv420p"
        for number in range(frames):
            picture = np.full((72, 128, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    lines = [json.dumps({"frame": n, "face": [0.5, 0.5, 0.2], "pose": [[0, 0, 1]]}) for n in range(frames)]
    (folder / "clip.boxes.jsonl").write_text("\n".join(lines))
    return path


def test_every_nth_frame_comes_with_its_boxes(tmp_path: Path) -> None:
    pairs = list(labelled_frames(_clip(tmp_path), every=2))
    assert len(pairs) == 3
    assert [frame.mean() == pytest.approx(80 * k, abs=6) for k, (frame, _) in enumerate(pairs)] == [True] * 3
    assert pairs[0][1] == {"face": (0.5, 0.5, 0.2)}


def test_a_clip_without_labels_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"clip\.boxes\.jsonl beside it"):
        next(labelled_frames(tmp_path / "clip.mp4"))


def test_wide_frames_get_bars_and_boxes_follow() -> None:
    frame = np.full((360, 853, 3), 99, np.uint8)
    small, boxes = on_canvas(frame, {"face": (0.5, 0.0, 0.4)}, 160, 120)
    assert small.shape == (120, 160, 3)
    assert small[0].max() == 0
    assert small[60].min() == 99
    assert boxes["face"][1] == pytest.approx((480 - 270) / 2 / 480, abs=0.01)
    assert boxes["face"][2] == pytest.approx(0.4 * 270 / 480, abs=0.01)


def test_rows_leave_out_what_is_not_in_the_picture() -> None:
    rows = as_rows(read_boxes('{"frame": 1, "left_hand": [0.5, 1.02, 0.2], "mouth": [0.5, 0.5, 0.1]}'))
    assert np.isnan(rows[[0, 1, 2]]).all()
    assert rows[3].tolist() == pytest.approx([0.5, 0.5, 0.1])


def test_boxes_follow_the_pixels_when_a_frame_is_reframed() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(40):
        frame = np.zeros((192, 256, 3), np.uint8)
        frame[90:110, 60:80] = 255
        rows = np.full((4, 3), np.nan, np.float32)
        rows[0] = 70 / 256, 100 / 192, 20 / 192
        placed, moved = reframe(frame, rows, rng, Framing(1.2, 1.2))
        known = ~np.isnan(moved[:2, 0])
        assert known.sum() <= 1
        if known.any():
            x, y, side = moved[:2][known][0]
            assert placed[min(119, int(y * 120)), min(159, int(x * 160)), 0] > 128
            assert side == pytest.approx(1.2 * rows[0, 2])
            hits += 1
    assert hits > 20


def test_a_green_screen_is_replaced_and_the_signer_kept() -> None:
    frame = np.zeros((96, 128, 3), np.uint8)
    frame[:] = (60, 150, 70)
    frame[30:60, 40:80] = (190, 140, 120)
    background = random_background(np.random.default_rng(3), 128, 96)
    done = without_green(frame, background)
    assert np.array_equal(done[40:50, 50:70], frame[40:50, 50:70])
    assert np.abs(done[:20].astype(int) - background[:20]).max() <= 1


def test_relit_frames_keep_shape_and_type() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        done = relight_frame(np.full((120, 160, 3), 120, np.uint8), rng)
        assert done.shape == (120, 160, 3)
        assert done.dtype == np.uint8


def test_a_small_locator_learns_one_frame() -> None:
    torch.manual_seed(0)
    locator = Locator(LocatorConfig(stem=4, channels=(8, 8, 8, 8)))
    frames = torch.zeros(1, 120, 160, 3, dtype=torch.uint8)
    frames[0, 40:60, 100:120] = 255
    boxes = torch.full((1, len(PARTS), 3), float("nan"))
    boxes[0, 0] = torch.tensor([110 / 160, 50 / 120, 20 / 120])
    batch = FrameBatch(frames, boxes, torch.ones(1, len(PARTS)))
    optimizer = torch.optim.Adam(locator.parameters(), 0.03)
    losses = []
    for _ in range(15):
        loss, figures = locate_loss(locator, batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert set(figures) == {"heat", "place", "side"}
    assert losses[-1] < 0.5 * losses[0]
    x, y = peaks(locator(frames))[0, 0, 1:3].tolist()
    assert (x, y) == pytest.approx((110 / 160, 50 / 120), abs=0.1)


def test_comparison_counts_met_and_surplus_boxes() -> None:
    truth = np.full((2, 4, 3), np.nan, np.float32)
    truth[:, 0] = 0.5, 0.5, 0.2
    found = [{"right_hand": (0.5, 0.52, 0.22)}, {"right_hand": (0.7, 0.5, 0.2), "left_hand": (0.1, 0.1, 0.1)}]
    figures = compare(found, truth)  # type: ignore[arg-type]
    assert figures["hands_found"] == 0.5
    assert figures["hands_centre_error"] == pytest.approx(0.1, abs=1e-5)
    assert figures["hands_side_error"] == pytest.approx(0.1, abs=1e-5)
    assert figures["hands_surplus"] == 0.5
