"""A student says what its teacher says: it learns, keeps the teacher's head, and stands in the table of precisions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.backends import has_openvino
from models.checkpoint import load, save
from models.evaluation.precisions import STUDENT, evaluate, hand_lines, table
from models.features import HandEncoder, HandEncoderConfig
from models.training.student_stage import HALF, distance, loss_of, new_student

BUNDLED = Path("models/checkpoints/compact")
TINY = HandEncoderConfig(stem=8, channels=(8, 16, 16), blocks=(1, 1, 1))


@pytest.fixture(scope="module")
def teacher() -> HandEncoder:
    return load(HandEncoder, BUNDLED, "hand_encoder").requires_grad_(False)


def pictures(count: int) -> torch.Tensor:
    """Blobs of colour (N, 3, 64, 64), uint8."""
    torch.manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8)
    return (torch.nn.functional.interpolate(coarse, size=64, mode="bilinear") * 255).byte()


def test_it_comes_nearer_to_the_teacher_and_its_head_stays(teacher: HandEncoder) -> None:
    student = new_student(teacher, TINY, 0)
    shown = pictures(12)
    optimizer = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(40):
        loss, _ = loss_of(teacher)(student.train(), (shown.float() / 255, torch.full((12,), -1)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3
    assert torch.equal(student.symbols.weight, teacher.symbols.weight)
    assert student.norm.running_mean is not None and not student.norm.running_mean.any()
    assert distance(student, teacher, shown) < 0.8


def test_the_student_has_half_the_work(teacher: HandEncoder) -> None:
    assert 0.45 < multiplications(HandEncoder(HALF)) / multiplications(teacher) < 0.55


def multiplications(encoder: HandEncoder) -> int:
    """Of one crop, by the sizes of what the layers give."""
    found: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, out: found.append(out.numel() * layer.weight[0].numel()))
        for layer in encoder.modules() if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))
    ]  # fmt: skip
    with torch.inference_mode():
        encoder.eval()(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return sum(found)


def test_the_student_stands_in_the_table(teacher: HandEncoder, tmp_path: Path) -> None:
    save(teacher, teacher.config, tmp_path, "hand_encoder")
    save(new_student(teacher, TINY, 0).eval(), TINY, tmp_path / STUDENT, "hand_encoder")
    for letter in "AB":
        (tmp_path / "letters" / "someone" / letter).mkdir(parents=True)
        picture = np.full((100, 100, 3), ord(letter), np.uint8)
        cv2.imwrite(str(tmp_path / "letters" / "someone" / letter / "1.jpg"), picture)
    lines = hand_lines(tmp_path, tmp_path / "letters" / "someone")
    ways = ["f32", "bf16"] if has_openvino() else ["f32"]
    assert [(line.network, line.way) for line in lines] == [(n, way) for n in ("hand_encoder", STUDENT) for way in ways]
    assert all(0 <= line.right <= 100 and line.cpu_ms > 0 for line in lines)
    assert lines[-1].megabytes < lines[0].megabytes / 10
    assert table(lines).count("\n") == len(lines) + 1


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ValueError, match="LETTER/\\*.jpg of one unseen signer"):
        evaluate(Path("nowhere"), BUNDLED)


def test_with_all_channels_it_begins_as_the_teacher(teacher: HandEncoder) -> None:
    student = new_student(teacher, teacher.config, 0).eval()
    assert distance(student, teacher, pictures(6)) < 1e-3


def test_with_half_the_work_it_begins_with_the_weightiest_channels(teacher: HandEncoder) -> None:
    student = new_student(teacher, HALF, 0)
    scales = [net.backbone.stages[-1].second_norm.weight.abs().mean().item() for net in (student, teacher)]
    assert scales[0] > scales[1]
    assert torch.equal(student.backbone.stem.weight, teacher.backbone.stem.weight)
