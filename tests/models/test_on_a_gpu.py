"""The bundled model on a GPU reads what it reads on a CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.bench.clip import canvases
from models.backends import Backend
from models.bundle import translator
from models.clock import CHUNK_FRAMES
from models.hypothesis import StreamOptions

COMPACT = Path("models/checkpoints/compact")


def read(device: str, slots: int) -> dict[int, list[str]]:
    """The tokens of each of the sample's segments, as they stood last."""
    frames = canvases(Path("app/web/sample.webm"))
    reader = translator(COMPACT, device, slots, Backend("torch", device), None)
    reader.open(1, StreamOptions())
    active, found = np.arange(slots) == 1, dict[int, list[str]]()
    for start in range(0, len(frames) - CHUNK_FRAMES + 1, CHUNK_FRAMES):
        for update in reader.step({1: frames[start : start + CHUNK_FRAMES]}, active)[1]:
            if update.hypothesis is not None:
                found[update.segment_id] = [token.text for token in update.hypothesis.tokens]
    return found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.timeout(300)
def test_the_sample_is_read_as_on_a_cpu() -> None:
    assert read("cuda", 3) == read("cpu", 3) != {}
