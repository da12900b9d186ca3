"""Crops cut on the device are the host's crops: enlarged, shrunk, mirrored and over the frame's edge."""

import cv2
import numpy as np
import pytest
import torch

from models.crops import crop
from models.patches import DEVIATION, MEAN, Patching, colours, cut

PX, PATCH = 32, 8


def _picture(box: tuple[float, float, float], mirrored: bool, frames: torch.Tensor) -> np.ndarray:  # type: ignore[type-arg]
    """What `cut` gives for one frame, as RGB 0..255 (32, 32, 3)."""
    boxes = torch.tensor([[*box, -1.0 if mirrored else 1.0]])
    patches = cut(frames[None], boxes, colours("cpu"), Patching(PX, PATCH, 3 * PATCH**2 + 5, torch.float32))
    assert patches.shape == (1, (PX // PATCH) ** 2, 3 * PATCH**2 + 5)
    assert not patches[..., 3 * PATCH**2 :].any()
    rows = patches[0, :, : 3 * PATCH**2].view(PX // PATCH, PX // PATCH, PATCH, PATCH, 3).permute(0, 2, 1, 3, 4)
    return ((rows.reshape(PX, PX, 3) * torch.tensor(DEVIATION) + torch.tensor(MEAN)) * 255).numpy()


def _frame() -> np.ndarray:  # type: ignore[type-arg]
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("box", [(0.5, 0.5, 20 / 120), (0.25, 0.4, 32 / 120), (3 / 160, 0.95, 24 / 120)])
def test_it_cuts_as_the_host_does(box: tuple[float, float, float], mirrored: bool) -> None:
    frame = _frame()
    expected = crop(frame, box, PX, 1.0).astype(np.float32)
    found = _picture(box, mirrored, torch.from_numpy(frame))
    apart = np.abs(found[:, ::-1] - expected if mirrored else found - expected)
    inner = slice(2, -2)  # at its border the host repeats the crop's last pixel, the device sees the frame's next one
    assert apart[inner, inner].max() <= 1
    assert apart.mean() < 1
