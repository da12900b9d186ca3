"""A captured step gives what its function gives, on whichever device; on CUDA a graph is replayed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.captured import CapturedStep, state_tensors
from models.config import ExpertConfig
from models.experts import Expert

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]


def _adds_to(total: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    def step(amount: Tensor) -> tuple[Tensor, Tensor]:
        total.add_(amount)
        return total * 2, amount + 1

    return step


@pytest.mark.parametrize("device", DEVICES)
def test_it_computes_the_function_anew_for_every_input(device: str) -> None:
    step = CapturedStep(lambda x, y: x @ y, (torch.zeros(3, 4, device=device), torch.zeros(4, 2, device=device)))
    for _ in range(3):
        x, y = torch.randn(3, 4, device=device), torch.randn(4, 2, device=device)
        torch.testing.assert_close(step(x, y)[0], x @ y)
    assert step.captured == (device == "cuda")


@pytest.mark.parametrize("device", DEVICES)
def test_recording_leaves_no_trace_in_the_state(device: str) -> None:
    total = torch.full((2,), 5.0, device=device)
    step = CapturedStep(_adds_to(total), (torch.ones(2, device=device),), state=(total,))
    assert total.tolist() == [5, 5]
    doubled, more = step(torch.full((2,), 3.0, device=device))
    assert (total.tolist(), doubled.tolist(), more.tolist()) == ([8, 8], [16, 16], [4, 4])
    assert step(torch.ones(2, device=device))[0].tolist() == [18, 18]
    assert doubled.tolist() == [16, 16], "an output must survive the next call"


@pytest.mark.parametrize("device", DEVICES)
def test_inputs_may_come_from_the_host(device: str) -> None:
    step = CapturedStep(lambda x: x + 1, (torch.zeros(4, dtype=torch.uint8),), device=device)
    frames = torch.arange(4, dtype=torch.uint8)
    (out,) = step(frames.pin_memory() if device == "cuda" else frames)
    assert out.device.type == device
    assert out.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("device", DEVICES)
def test_an_expert_streams_the_same_through_a_graph(device: str) -> None:
    torch.manual_seed(0)
    expert = Expert(ExpertConfig(in_features=12, vocabulary=7, dim=32, layers=2, conv_kernel=5)).eval().to(device)
    plain, kept = expert.new_state(2, torch.device(device)), expert.new_state(2, torch.device(device))
    active = torch.tensor([True, False], device=device)
    step = CapturedStep(
        lambda chunk, rows: tuple(expert.step(chunk, kept, rows)),
        (torch.zeros(2, 8, 12, device=device), active),
        state=state_tensors(kept),
    )
    for _ in range(12):
        chunk = torch.randn(2, 8, 12, device=device)
        torch.testing.assert_close(step(chunk, active)[1][0], expert.step(chunk, plain, active).log_probs[0])
    assert kept.seen.tolist() == [12, 0]
    assert any(tensor is kept.seen for tensor in state_tensors([kept]))


def test_another_shape_or_type_is_refused() -> None:
    step = CapturedStep(lambda x: x, (torch.zeros(2, 3),))
    with pytest.raises(ValueError, match=r"expected inputs float32 \(2, 3\), but got float32 \(3, 3\): pad"):
        step(torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"but got int64 \(2, 3\)"):
        step(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="give `device`"):
        CapturedStep(lambda: torch.zeros(1), ())
