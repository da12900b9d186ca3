"""The locator: decoding of its maps, the errors it reports, and boxes smoothed causally."""

import numpy as np
import pytest
import torch

from models.canvas import shrink
from models.locate import (
    GRID_HEIGHT,
    GRID_WIDTH,
    PARTS,
    Boxes,
    BoxSmoother,
    Locator,
    LocatorConfig,
    peaks,
)


def _boxes(**found: tuple[float, float, float]) -> Boxes:
    return {name: found.get(name) for name in PARTS}


def test_peak_is_decoded_to_the_place_that_was_written() -> None:
    maps = torch.full((1, len(PARTS), 4, GRID_HEIGHT, GRID_WIDTH), -9.0)
    maps[0, 2, :, 7, 21] = torch.tensor([3.0, 0.25, 0.75, float(np.log(0.3))])
    heat, x, y, side = peaks(maps)[0, 2].tolist()
    assert heat == pytest.approx(0.9526, abs=1e-3)
    assert (x, y, side) == pytest.approx((21.25 / GRID_WIDTH, 7.75 / GRID_HEIGHT, 0.3), abs=1e-5)


def test_find_gives_every_part_of_every_frame_whatever_the_batch() -> None:
    torch.manual_seed(0)
    locator = Locator(LocatorConfig(threshold=0.01)).eval()
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 480, 640, 3), np.uint8))
    together = locator.find(frames)
    assert [set(row) for row in together] == [set(PARTS)] * 3
    for row, frame in zip(together, frames, strict=True):
        alone = locator.find([frame])[0]
        for part in PARTS:
            assert row[part] == pytest.approx(alone[part], abs=1e-3)
    assert locator.find([]) == []


def test_small_frames_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="shrink them"):
        Locator(LocatorConfig()).find_small(np.zeros((1, 64, 64, 3), np.uint8))


def test_config_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="four stages"):
        LocatorConfig(channels=(8, 8))  # type: ignore[arg-type]


def test_locator_is_small_enough_to_run_on_every_frame() -> None:
    assert sum(weight.numel() for weight in Locator(LocatorConfig()).parameters()) <= 352_000


def test_shrinking_averages_all_pixels() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    expected = frame.reshape(120, 4, 160, 4, 3).mean((1, 3))
    assert np.abs(shrink(frame) - expected).max() <= 1.5


def test_one_hand_found_twice_is_kept_once() -> None:
    locator = Locator(LocatorConfig())
    strong, weak, none = [0.9, 0.5, 0.5, 0.2], [0.4, 0.505, 0.5, 0.2], [0.0, 0.1, 0.1, 0.1]
    boxes = locator.boxes([strong, weak, none, none])
    assert boxes["right_hand"] is not None
    assert boxes["left_hand"] is None
    apart = locator.boxes([strong, [0.4, 0.8, 0.5, 0.2], none, none])
    assert apart["left_hand"] is not None


def test_smoother_fills_short_gaps_and_forgets_after() -> None:
    smoother = BoxSmoother()
    smoother(_boxes(right_hand=(0.5, 0.5, 0.2)))
    filled = [smoother(_boxes())["right_hand"] for _ in range(4)]
    assert filled[:3] == [(0.5, 0.5, 0.2)] * 3
    assert filled[3] is None


def test_smoother_steadies_a_still_hand_and_follows_a_fast_one() -> None:
    rng = np.random.default_rng(0)
    smoother = BoxSmoother()
    noisy = [(0.5 + dx, 0.5, 0.2) for dx in rng.normal(0, 0.004, 60)]
    smooth = [smoother(_boxes(left_hand=box))["left_hand"] for box in noisy]
    places = np.array([box[0] for box in smooth[10:] if box is not None])
    assert places.std() < 0.8 * np.std([box[0] for box in noisy[10:]])
    jumped = smoother(_boxes(left_hand=(0.7, 0.5, 0.2)))["left_hand"]
    assert jumped is not None
    assert jumped[0] == pytest.approx(0.7)


def test_smoother_never_sees_the_future() -> None:
    boxes = [_boxes(face=(0.4 + 0.01 * k, 0.3, 0.25)) for k in range(6)]
    whole, half = BoxSmoother(), BoxSmoother()
    early = [whole(row) for row in boxes][:3]
    assert [half(row) for row in boxes[:3]] == early
