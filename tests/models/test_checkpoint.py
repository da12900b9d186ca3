"""Checkpoints come back as they were, and whatever is wrong with one is said in one sentence."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import packed
from models.checkpoint import EIGHT_BITS, CheckpointError, has, load, save, save_small, weights_file
from models.config import ExpertConfig, RouterConfig
from models.experts import Expert
from models.routing import Router

CONFIG = ExpertConfig(in_features=6, vocabulary=5, dim=16, layers=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    expert = Expert(CONFIG)
    expert.standardise.fit(torch.randn(50, 6) * 1e5)
    save(expert, CONFIG, tmp_path, "sign")
    return tmp_path


def edit(folder: Path, **values: object) -> None:
    described = json.loads((folder / "sign.json").read_text())
    described["config"] |= values
    (folder / "sign.json").write_text(json.dumps(described))


@torch.no_grad()
def test_comes_back_as_it_was(tmp_path: Path) -> None:
    expert = Expert(CONFIG).eval()
    expert.standardise.fit(torch.randn(50, 6) * 1e5)  # more than half precision can hold
    save(expert, CONFIG, tmp_path / "made", "sign")
    again = load(Expert, tmp_path / "made", "sign")
    features = torch.randn(1, 20, 6) * 1e5
    torch.testing.assert_close(again(features).log_probs, expert(features).log_probs, atol=5e-3, rtol=0)
    assert again.config == CONFIG
    assert not again.training
    assert again.head.weight.dtype == torch.float32
    assert load_file(tmp_path / "made" / "sign.safetensors")["head.weight"].dtype == torch.float16
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["sign.json", "sign.safetensors"]


def test_missing_file(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="expected lips at .*lips.json, but there is no such file: train it"):
        load(Expert, folder, "lips")
    (folder / "sign.safetensors").unlink()
    with pytest.raises(CheckpointError, match="sign.safetensors, but there is no such file"):
        load(Expert, folder, "sign")


def test_broken_files(folder: Path) -> None:
    (folder / "sign.safetensors").write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match="it is broken .*: copy it anew"):
        load(Expert, folder, "sign")
    (folder / "sign.json").write_text("[]")
    with pytest.raises(CheckpointError, match="expected a module and its config"):
        load(Expert, folder, "sign")


def test_another_module(folder: Path) -> None:
    save(Router(RouterConfig(in_features=6)), RouterConfig(in_features=6), folder, "router")
    with pytest.raises(CheckpointError, match="expected a Expert in .*router.json, but it holds a Router"):
        load(Expert, folder, "router")


def test_missing_and_surplus_tensors(folder: Path) -> None:
    edit(folder, layers=2)
    with pytest.raises(CheckpointError, match=r"sign lacks \d+ tensors, first encoder.blocks.1"):
        load(Expert, folder, "sign")
    edit(folder, layers=1)
    tensors = load_file(folder / "sign.safetensors")
    save_file(tensors | {"surprise": torch.zeros(1)}, folder / "sign.safetensors")
    with pytest.raises(CheckpointError, match="1 surplus tensors, first surprise"):
        load(Expert, folder, "sign")


def test_other_shapes(folder: Path) -> None:
    edit(folder, vocabulary=9)
    with pytest.raises(CheckpointError, match=r"head.\w+ is \(9.*by its config, but \(5.* in the file"):
        load(Expert, folder, "sign")


def test_unknown_options_name_the_nearest(folder: Path) -> None:
    edit(folder, drop_out=0.2)
    with pytest.raises(CheckpointError, match="no option 'drop_out': did you mean 'dropout'"):
        load(Expert, folder, "sign")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"in_features": 6}, "lacks an option that has no default: .*vocabulary"),
        ({"in_features": 6, "vocabulary": 5, "dim": 30}, r"dim is a multiple of 2 \* heads"),
        ({"in_features": 6, "vocabulary": 5, "layers": 0}, "layers is at least 1, but got 0"),
        ({"in_features": 6, "vocabulary": "many"}, "vocabulary is of type int, but got 'many'"),
        ({"in_features": 6, "vocabulary": 5, "dropout": 1}, r"dropout is in \[0, 1\), but got 1"),
    ],
)
def test_configs_are_checked_when_made(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ExpertConfig.from_dict(values)


def test_new_weights_take_the_old_ones_eight_bits_away(folder: Path) -> None:
    stale, other = folder / f"sign{EIGHT_BITS}", folder / f"lips{EIGHT_BITS}"
    stale.write_bytes(b"of the weights before")
    other.write_bytes(b"of another network")
    save(Expert(CONFIG), CONFIG, folder, "sign")
    assert not stale.exists() and other.exists()


def test_packed_weights_are_read_as_any_others(folder: Path) -> None:
    before = load(Expert, folder, "sign").state_dict()
    plain = weights_file(folder, "sign").stat().st_size
    save_small(load(Expert, folder, "sign"), CONFIG, folder, "sign")
    assert not (folder / "sign.safetensors").exists()
    assert weights_file(folder, "sign").stat().st_size < 0.8 * plain
    for name, value in load(Expert, folder, "sign").state_dict().items():
        level = value.abs().max() / 127 if value.ndim > 1 else 1e-6
        torch.testing.assert_close(value, before[name].float(), rtol=0, atol=float(level))
    save(load(Expert, folder, "sign"), CONFIG, folder, "sign")
    assert [path.name for path in sorted(folder.glob("sign.*"))] == ["sign.json", "sign.safetensors"]


def test_kernels_have_a_scale_a_row() -> None:
    conv = torch.nn.Conv2d(2, 3, 5).requires_grad_(False)
    conv.weight[1] *= 1e-3
    again = packed.restored(packed.rounded(conv.state_dict(), kernels=True))
    for row in range(3):
        level = conv.weight[row].abs().max() / 127
        assert float((again["weight"][row] - conv.weight[row]).abs().max()) <= float(level)
    assert torch.equal(packed.restored(packed.rounded(conv.state_dict()))["weight"], conv.weight)


def test_a_broken_packed_part_is_named(folder: Path) -> None:
    save_small(load(Expert, folder, "sign"), CONFIG, folder, "sign")
    weights_file(folder, "sign").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="it is broken"):
        load(Expert, folder, "sign")


def test_a_part_is_there_or_not(folder: Path) -> None:
    assert has(folder, "sign") and not has(folder, "closer")
