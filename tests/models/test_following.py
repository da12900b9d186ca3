"""Boxes of many slots in one call: each slot's are those of its frames one by one, whatever the others see."""

import numpy as np

from models import crops
from models.clock import CHUNK_FRAMES
from models.following import PARTS, THERE, Boxes, boxes_of, follow, nowhere
from models.layout import GEOMETRY
from models.locate import BoxSmoother, Locator, LocatorConfig

SLOTS, CHUNKS = 3, 6


def peaks(seed: int) -> np.ndarray:
    """Parts that wander, vanish and come back, hands that meet: (CHUNKS, SLOTS, CHUNK_FRAMES, PARTS, 4)."""
    rng = np.random.default_rng(seed)
    found = rng.normal(0.5, 0.03, (CHUNKS, SLOTS, CHUNK_FRAMES, len(PARTS), 4))
    found[..., 3] = rng.uniform(0.05, 0.3, found.shape[:-1])
    found[..., 0] = rng.uniform(0.2, 1.0, found.shape[:-1]) * (rng.random((CHUNKS, SLOTS, 1, len(PARTS))) < 0.8)
    return found.astype(np.float32)


def test_many_slots_in_one_call_are_each_frame_by_frame() -> None:
    found, locator = peaks(0), Locator(LocatorConfig())
    places, rows = nowhere(SLOTS + 1), np.array([3, 0, 2])
    smoothers, before = [BoxSmoother() for _ in rows], list[Boxes | None]([None] * SLOTS)
    seen = 0
    for chunk in found:
        boxes, channels = np.empty(chunk.shape), np.zeros((*chunk.shape[:2], GEOMETRY), np.float32)
        follow(chunk, locator.config.limits, rows, places, boxes, channels)
        for number, smoother in enumerate(smoothers):
            for step in range(CHUNK_FRAMES):
                alone = smoother(locator.boxes(chunk[number, step].tolist()))
                assert boxes_of(boxes[number, step]) == alone
                assert np.array_equal(channels[number, step], crops.geometry(alone, before[number]))
                before[number] = alone
        seen += int(boxes[..., THERE].sum())
    assert 0 < seen < found[..., 0].size, "some parts are seen and some are not"
    assert not places[1].any(), "a slot that is not looked at stays as it is"
