"""The paper-size networks, reduced: batches of any slots at once give what each stream gives alone."""

import pytest
import torch
from torch import Tensor

from models.clock import CHUNK_FRAMES
from models.paper import CROPS, SYMBOLS, PaperConfig, PaperSight, PaperTemporal
from models.paper_engine import PaperEngine
from models.vit import Way

CPU = torch.device("cpu")
CONFIG = PaperConfig.reduced()
BOX = torch.tensor([[0.5, 0.5, 0.9, 1.0], [0.4, 0.6, 0.3, 1.0], [0.6, 0.6, 0.3, -1.0], [0.5, 0.3, 0.2, 1.0]])


def _engine(slots: int, batches: tuple[int, ...]) -> PaperEngine:
    torch.manual_seed(0)
    return PaperEngine(PaperSight.random(CONFIG, CPU, torch.float32), PaperTemporal(CONFIG, slots, CPU), batches)


def _chunk() -> Tensor:
    return torch.randint(0, 256, (CHUNK_FRAMES, CONFIG.height, CONFIG.width, 3), dtype=torch.uint8)


def _boxes(engine: PaperEngine) -> Tensor:
    return BOX.expand(engine.largest, CHUNK_FRAMES, len(CROPS), 4).contiguous()


def test_streams_in_one_batch_do_not_touch_each_other() -> None:
    together, alone = _engine(3, (2, 4)), _engine(1, (1,))
    first, second = [_chunk() for _ in range(3)], [_chunk() for _ in range(3)]
    for one, two in zip(first, second, strict=True):
        ticket = together.submit([two, one, _chunk()], _boxes(together), [0, 2, 1])
        by_itself = alone.submit([one], _boxes(alone), [0])
        assert ticket.log_probs.shape == (4, CHUNK_FRAMES, SYMBOLS), "padded to the next captured size"
        torch.testing.assert_close(ticket.log_probs[1], by_itself.log_probs[0], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ticket.log_probs[0], ticket.log_probs[1])


def test_a_stream_that_waits_keeps_its_state() -> None:
    waits, steady = _engine(2, (1,)), _engine(1, (1,))
    chunks = [_chunk() for _ in range(3)]
    for chunk in chunks:
        waits.submit([_chunk()], _boxes(waits), [1])
        found = waits.submit([chunk], _boxes(waits), [0])
        expected = steady.submit([chunk], _boxes(steady), [0])
        torch.testing.assert_close(found.log_probs, expected.log_probs, atol=1e-4, rtol=1e-4)


def test_a_batch_is_filled_rather_than_padded() -> None:
    engine = _engine(1, (2, 4))
    assert [engine.fitting(due) for due in range(6)] == [0, 1, 2, 2, 4, 4]


def test_sight_puts_every_crop_in_its_place() -> None:
    torch.manual_seed(0)
    sight = PaperSight.random(CONFIG, CPU, torch.float32)
    frames, boxes = _chunk(), BOX.expand(CHUNK_FRAMES, 4, 4).clone()
    before = sight(frames, boxes).split([32, 32, 32, 32], 1)
    for crop in range(len(CROPS)):
        moved = boxes.clone()
        moved[:, crop, :2] += 0.1
        after = sight(frames, moved).split([32, 32, 32, 32], 1)
        assert [not torch.equal(one, two) for one, two in zip(before, after, strict=True)] == [
            index == crop for index in range(4)
        ]


def test_another_way_of_computing_gives_the_same() -> None:
    torch.manual_seed(0)
    sight = PaperSight.random(CONFIG, CPU, torch.float32)
    frames, boxes = _chunk(), BOX.expand(CHUNK_FRAMES, 4, 4)
    plain = sight(frames, boxes)
    sight.use(Way(gelu="epilogue"))
    torch.testing.assert_close(sight(frames, boxes), plain, atol=1e-4, rtol=1e-4)


def test_a_frame_at_full_size_is_137_gflop() -> None:
    assert PaperConfig().sight_flops == pytest.approx(137.5e9, rel=0.01)
