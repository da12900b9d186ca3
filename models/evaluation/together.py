"""What rounding in the picture networks does to what is read: posteriors and tokens, the networks over time in 32 bits.

An encoder's rounding is noise that training has taught those behind it to bear. The locator's moves the crops and the hands'
speeds with them, so it is told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.backends import Backend
from models.clock import CHUNK_FRAMES
from models.ctc import best_path
from models.eight_bits import Subject
from models.error_rate import edit_distance
from models.evaluation.networks import Networks
from models.evaluation.pictures import Frame
from models.evaluation.ways import WAYS, missing
from models.layout import MANUAL
from models.sight import PictureNetworks, Sight

REFERENCE = "torch_fp32"
MIXES: dict[str, tuple[str, str, str]] = {
    "torch_bf16": ("torch_folded_bf16",) * 3,
    "onnxruntime_int8": ("onnxruntime_int8",) * 3,
    "openvino_bf16": ("openvino_bf16",) * 3,
    "openvino_int8": ("openvino_int8",) * 3,
    "openvino_bf16_locator_int8_encoders": ("openvino_bf16", "openvino_int8", "openvino_int8"),
    "openvino_int8_locator_bf16_encoders": ("openvino_int8", "openvino_bf16", "openvino_bf16"),
}  # fmt: skip
"""Ways of locator, hand and mouth encoder."""


def measured_together(networks: Networks, subjects: Sequence[Subject], frames: Sequence[Frame]) -> dict[str, Any]:
    """{mix: probabilities_apart, tokens_changed, tokens} against REFERENCE, for the mixes whose packages are installed."""
    truth = posteriors(networks, subjects, (REFERENCE,) * len(subjects), frames)
    return {
        name: compared(posteriors(networks, subjects, mix, frames), truth)
        for name, mix in MIXES.items()
        if not any(missing(way) for way in mix)
    }


@torch.inference_mode()
def posteriors(
    networks: Networks, subjects: Sequence[Subject], mix: Sequence[str], frames: Sequence[Frame]
) -> NDArray[np.float32]:
    """Joint posteriors (steps, V) of the frames' whole chunks as one segment, the picture networks on one thread."""
    sight, everyone = networks.sight(1, Backend("torch")), np.ones(1, bool)
    find, hand, mouth = (WAYS[way](subject, 1) for way, subject in zip(mix, subjects, strict=True))
    sight.networks = PictureNetworks(find, hand, mouth, sight.networks.closer)
    features = torch.cat([_features(sight, frames[at : at + CHUNK_FRAMES], everyone) for at in _chunks(frames)], 1)
    return networks.offline(features[..., :MANUAL], features[..., MANUAL:])[0].exp().numpy()


def _chunks(frames: Sequence[Frame]) -> range:
    return range(0, len(frames) - CHUNK_FRAMES + 1, CHUNK_FRAMES)


def _features(sight: Sight, chunk: Sequence[Frame], everyone: NDArray[np.bool_]) -> torch.Tensor:
    seen = sight.encode({0: chunk}, everyone)
    return torch.cat((seen.manual, seen.mouth), -1)


def compared(answer: NDArray[np.float32], truth: NDArray[np.float32]) -> Mapping[str, float | int]:
    """Of posteriors (steps, V): half the sum of differences (0 equal, 1 wholly other), the mean of all steps; and the edits
    from one best path's tokens to the other's."""
    found, right = best_path(answer), best_path(truth)
    apart = float(np.abs(answer - truth).sum(-1).mean()) / 2
    return {"probabilities_apart": apart, "tokens_changed": edit_distance(found, right), "tokens": len(right)}
