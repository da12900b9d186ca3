"""Backends: batches of any size give what the module gives, folded, padded, by torch and by OpenVINO."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from models.backends import CAPTURED_SIZES, SIZES, Backend, CapturedPictures, Sized, has_openvino
from models.canvas import SMALL_HEIGHT, SMALL_WIDTH
from models.checkpoint import EIGHT_BITS, load
from models.features import HandEncoder, HandEncoderConfig
from models.folding import folded
from models.lips import MouthEncoder, MouthEncoderConfig
from models.locate import Locator, LocatorConfig, PeakLocator

RNG = np.random.default_rng(0)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]
needs_openvino = pytest.mark.skipif(not has_openvino(), reason="the extra `fast` is not installed")


def with_statistics(module: nn.Module) -> nn.Module:
    """As after training: no batch norm is the identity."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
    return module.eval()


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def onnx_file(factor: float) -> bytes:
    """A network in a file, as `signbind train int8` leaves one, that multiplies bytes (count, 4) by `factor`; field by field
    (https://onnx.ai/onnx/repo-docs/IR.html), since the package onnx is no part of what is installed to serve."""
    bytes_, floats = 2, 1

    def of_shape(name: str, kind: int) -> bytes:
        shape = field(1, field(2, "count")) + field(1, field(1, 4))
        return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))

    cast = field(5, field(1, "to") + field(3, floats) + field(20, 2))
    nodes = [
        field(1, "pictures") + field(2, "cast") + field(4, "Cast") + cast,
        field(1, "cast") + field(1, "factor") + field(2, "out") + field(4, "Mul"),
    ]
    weights = field(1, 1) + field(1, 4) + field(2, floats) + field(8, "factor")
    weights += field(9, np.full((1, 4), factor, np.float32).tobytes())
    graph = b"".join(field(1, node) for node in nodes) + field(2, "times") + field(5, weights)
    graph += field(11, of_shape("pictures", bytes_)) + field(12, of_shape("out", floats))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17))


def networks() -> list[tuple[nn.Module, np.ndarray]]:
    torch.manual_seed(0)
    locator = Locator(LocatorConfig(stem=8, channels=(8, 8, 8, 8)))
    hand = HandEncoder(HandEncoderConfig(stem=8, channels=(8, 16), blocks=(1, 2)))
    mouth = MouthEncoder(MouthEncoderConfig(stem=4, channels=(4, 8), blocks=(1, 1)))
    shapes = ((SMALL_HEIGHT, SMALL_WIDTH, 3), (64, 64, 3), (40, 40))
    return [
        (with_statistics(module), RNG.integers(0, 256, (11, *shape), np.uint8))
        for module, shape in zip((PeakLocator(locator), hand, mouth), shapes, strict=True)
    ]


@pytest.mark.parametrize("index", range(3))
@torch.no_grad()
def test_folded_is_the_same_without_a_norm(index: int) -> None:
    module, pictures = networks()[index]
    other = folded(module)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in other.modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in module.modules()), "the original is left alone"
    torch.testing.assert_close(
        other(torch.from_numpy(pictures)), module(torch.from_numpy(pictures)), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize(
    "backend",
    [Backend("torch"), pytest.param(Backend("auto", precision="f32"), marks=needs_openvino)],
    ids=["torch", "openvino"],
)
def test_a_backend_gives_what_the_module_gives(index: int, backend: Backend) -> None:
    module, pictures = networks()[index]
    with torch.no_grad():
        expected = module(torch.from_numpy(pictures)).numpy()
    found = backend.network(module, pictures[:1])(pictures)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("count", [0, 1, 8, 9, SIZES[-1], SIZES[-1] + 1, 3 * CAPTURED_SIZES[-1]])
@pytest.mark.parametrize("sizes", [SIZES, CAPTURED_SIZES], ids=["on a core", "captured"])
def test_any_number_of_pictures_is_cut_and_padded_as_little_as_can_be(count: int, sizes: Sequence[int]) -> None:
    ran: list[int] = []

    def run(pictures: np.ndarray) -> np.ndarray:
        ran.append(len(pictures))
        return pictures.astype(np.float32).sum((1, 2))[:, None]

    sized = Sized(run, np.zeros((1, 2, 2), np.uint8), sizes)
    ran.clear()
    pictures = RNG.integers(0, 256, (count, 2, 2), np.uint8)
    np.testing.assert_array_equal(sized(pictures), pictures.astype(np.float32).sum((1, 2))[:, None].reshape(count, 1))
    assert set(ran) <= set(sizes)
    assert len(ran) == -(-count // sizes[-1])


@needs_openvino
def test_openvino_in_bfloat16_is_near_and_reports_nothing_to_anybody() -> None:
    module, pictures = networks()[1]
    with torch.no_grad():
        expected = module(torch.from_numpy(pictures)).numpy()
    found = Backend("openvino").network(module, pictures[:1])(pictures)
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)
    assert sys.modules["openvino_telemetry"] is None


@needs_openvino
def test_what_was_compiled_is_kept_by_what_is_in_the_file(tmp_path: Path) -> None:
    """Weights of another training have the same size, and in an image often the same time."""
    first, other, cache = onnx_file(1.0), onnx_file(2.0), tmp_path / "cache"
    assert len(first) == len(other)
    backend, path, module = Backend("openvino", cache=cache), tmp_path / "network.int8.onnx", nn.Identity()
    pictures = RNG.integers(0, 9, (3, 4), np.uint8)
    for content, factor in ((first, 1.0), (first, 1.0), (other, 2.0)):
        path.write_bytes(content)
        os.utime(path, (1_700_000_000, 1_700_000_000))
        np.testing.assert_allclose(backend.network(module, pictures[:1], path)(pictures), factor * pictures, rtol=0.01)
    assert len(list(cache.glob("*/*.blob"))) == 2


@needs_openvino
def test_a_kept_file_that_is_cut_short_is_made_anew(tmp_path: Path) -> None:
    """A worker may be killed while it writes."""
    path, cache = tmp_path / "network.int8.onnx", tmp_path / "cache"
    path.write_bytes(onnx_file(3.0))
    pictures = RNG.integers(0, 9, (3, 4), np.uint8)
    backend, module = Backend("openvino", cache=cache), nn.Identity()
    backend.network(module, pictures[:1], path)
    (kept,) = cache.glob("*/*.blob")
    whole = kept.stat().st_size
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[: whole // 2])
    np.testing.assert_allclose(backend.network(module, pictures[:1], path)(pictures), 3.0 * pictures, rtol=0.01)
    assert whole // 2 < kept.stat().st_size


@needs_openvino
def test_without_a_folder_to_keep_it_in_it_is_only_slower(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, no_folder = tmp_path / "network.int8.onnx", tmp_path / "a file"
    path.write_bytes(onnx_file(3.0))
    no_folder.write_text("")
    pictures = RNG.integers(0, 9, (3, 4), np.uint8)
    found = Backend("openvino", cache=no_folder / "cache").network(nn.Identity(), pictures[:1], path)(pictures)
    np.testing.assert_allclose(found, 3.0 * pictures, rtol=0.01)
    assert "compiled networks are not kept" in caplog.text


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("device", DEVICES)
def test_captured_pictures_give_what_the_module_gives(device: str, half: bool, index: int) -> None:
    module, pictures = networks()[index]
    with torch.no_grad():
        expected = module(torch.from_numpy(pictures)).numpy()
    place, sizes = torch.device(device), (8, 16)
    run = Sized(CapturedPictures(folded(module), place, pictures[:1], sizes, half), pictures[:1], sizes)
    told = slice(0, 1) if index == 0 else slice(None)  # where an untrained locator's peak lies hangs on the last digit
    for _ in range(2):  # a graph is replayed
        found, expected = run(pictures)[..., told], expected[..., told]
        assert found.dtype == np.float32
        assert np.linalg.norm(found - expected) < (0.05 if half else 1e-3) * np.linalg.norm(expected)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ValueError, match="one of auto, torch, openvino, got 'tensorrt'"):
        Backend("tensorrt")  # type: ignore[arg-type]


@needs_openvino
def test_openvino_is_for_the_cpu() -> None:
    with pytest.raises(ValueError, match="got device 'cuda': choose torch"):
        Backend("openvino", "cuda")
    assert Backend("auto", "cuda").chosen == "torch"


@needs_openvino
def test_the_bundled_eight_bits_are_of_the_bundled_weights() -> None:
    """A file left over from weights before would give other embeddings."""
    folder = Path("models/checkpoints/compact")
    encoder = load(HandEncoder, folder, "hand_encoder")
    pictures = np.stack([hand_picture(seed) for seed in range(12)])
    with torch.no_grad():
        expected = encoder.eval()(torch.from_numpy(pictures)).numpy()
    path = folder / f"hand_encoder{EIGHT_BITS}"
    found = Backend("openvino").network(encoder, pictures[:1], path)(pictures)
    assert path.is_file()
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert 1e-3 < error < 0.15, "eight bits are near, but no more than near"


def hand_picture(seed: int) -> np.ndarray:
    """Something like a fist in a room."""
    rng = np.random.default_rng(seed)
    picture = np.full((64, 64, 3), rng.integers(40, 200, 3), np.uint8)
    cv2.circle(picture, (32, 34), int(rng.integers(14, 24)), rng.integers(90, 230, 3).tolist(), -1)
    for _ in range(4):
        start, end = rng.integers(8, 56, (2, 2)).tolist()
        cv2.line(picture, start, end, rng.integers(60, 230, 3).tolist(), 5)
    return cv2.GaussianBlur(picture, (5, 5), 0)


@needs_openvino
def test_a_call_runs_in_the_thread_that_calls() -> None:
    """Else every call is handed to another thread and back."""
    hand = HandEncoder(HandEncoderConfig()).eval()
    network = Backend("openvino", threads=2, precision="f32").network(hand, np.zeros((1, 64, 64, 3), np.uint8))
    pictures = RNG.integers(0, 255, (64, 64, 64, 3), np.uint8)
    network(pictures)
    here, everywhere = time.thread_time(), time.process_time()
    for _ in range(3):
        network(pictures)
    assert time.thread_time() - here > 0.7 * (time.process_time() - everywhere)
