"""The lips' live path on drawn speaking faces: chunks, missing mouths, files and what is said of wrong ones."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from models.checkpoint import save
from models.config import ExpertConfig
from models.evaluation.lips import Box, LipReader, evaluate
from models.experts import Expert
from models.lips import MouthEncoder, MouthEncoderConfig
from models.vocabulary import PHONEMES


def face(frames: int, seed: int = 0) -> np.ndarray:
    """A skin-coloured picture with a red mouth that opens and closes, uint8 (frames, 112, 176, 3)."""
    rng = np.random.default_rng(seed)
    clip = np.full((frames, 112, 176, 3), (200, 165, 140), np.uint8)
    for t, picture in enumerate(clip):
        picture[46 : 58 + t % 5, 68:108] = (190, 95, 95)
        picture[50 : 50 + t % 5, 74:102] = (60, 25, 25)
        picture += rng.integers(0, 3, picture.shape, dtype=np.uint8)
    return clip


def parts() -> tuple[MouthEncoder, Expert]:
    torch.manual_seed(0)
    expert = Expert(ExpertConfig(in_features=96, vocabulary=len(PHONEMES) + 1, dim=32, layers=1))
    return MouthEncoder(MouthEncoderConfig()).eval(), expert.eval()


def in_the_middle(canvases: np.ndarray) -> Iterator[Box | None]:
    yield from [(0.5, 0.5, 0.3)] * len(canvases)


def nowhere(canvases: np.ndarray) -> Iterator[Box | None]:
    yield from [None] * len(canvases)


def test_a_clip_of_any_length_is_read() -> None:
    reading = LipReader(*parts(), find=in_the_middle).read(face(19))
    assert reading.found == 1.0
    assert set(reading.phonemes) <= set(PHONEMES)


def test_a_clip_without_a_mouth_is_read_as_zeros() -> None:
    assert LipReader(*parts(), find=nowhere).read(face(9)).found == 0.0


def write_clip(folder: Path, name: str) -> None:
    with av.open(str(folder / f"{name}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 176, 112, "yuv420p"
        for picture in face(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    (folder / f"{name}.align").write_text("0 5000 sil\n5000 12000 bin\n12000 20000 blue\n", encoding="utf-8")


def test_a_folder_is_measured(tmp_path: Path) -> None:
    for name, module in zip(("mouth_encoder", "lips"), parts(), strict=True):
        save(module, module.config, tmp_path / "weights", name)
    write_clip(tmp_path, "one")
    write_clip(tmp_path, "two")
    figures = evaluate(tmp_path, tmp_path / "weights", boxes="colour")
    assert figures["clips"] == 2
    assert figures["mouths_found"] == 1.0
    assert figures["phoneme_error_rate"] > 0


def test_wrong_questions_are_answered(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder"):
        evaluate(None, tmp_path)
    with pytest.raises(ValueError, match="locator"):
        evaluate(tmp_path, tmp_path, boxes="guess")
