"""The published weights of MediaPipe's hand landmark network, read from its .tflite by OpenVINO.

The file is `mediapipe/modules/hand_landmark/hand_landmark_full.tflite` of mediapipe 0.10.21 (Apache-2.0), copied to
`runs/teacher`. Training alone needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.backends import has_openvino, quiet_openvino
from models.landmarks import LandmarkTrunk
from models.training.hand_poses import TEACHER

PUBLISHED = TEACHER / "hand_landmark_full.tflite"
CONVOLUTIONS = ("Convolution", "GroupConvolution")
Floats = NDArray[np.float32]


def trunk(path: Path = PUBLISHED) -> LandmarkTrunk:
    """The network up to its mean over all places; ValueError for a file that is absent or holds another."""
    if not path.is_file():
        raise ValueError(
            f"the landmark network is expected at {path}, but there is no such file: copy hand_landmark_full.tflite there, "
            "from mediapipe/modules/hand_landmark of mediapipe 0.10.21"
        )
    if not has_openvino():
        raise ValueError(f"{path} is read by OpenVINO, which is not here: install the extra `fast`")
    made, found = LandmarkTrunk(), _convolutions(path)
    wanted = made.convolutions()
    shapes = [tuple(weight.shape) for weight, _ in found]
    if shapes != [tuple(conv.weight.shape) for conv in wanted]:
        raise ValueError(f"{path} is expected to hold the {len(wanted)} convolutions of the full hand landmark network, got "
                         f"{len(found)} others: copy that of mediapipe 0.10.21")  # fmt: skip
    with torch.no_grad():
        for conv, (weight, bias) in zip(wanted, found, strict=True):
            assert conv.bias is not None
            conv.weight.copy_(torch.from_numpy(np.array(weight)))
            conv.bias.copy_(torch.from_numpy(np.array(bias)))
    return made.eval()


def _convolutions(path: Path) -> list[tuple[Floats, Floats]]:
    """Weights (outputs, inputs a group, k, k) and biases, in the order in which a picture passes them."""
    try:
        model = quiet_openvino().Core().read_model(path)
    except RuntimeError as error:
        raise ValueError(f"{path} is expected to be a .tflite network and cannot be read: copy it anew") from error
    found = []
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in CONVOLUTIONS:
            weight = _constant(node.input(1).get_source_output())
            if kind == "GroupConvolution":
                weight = weight.reshape(weight.shape[0], 1, *weight.shape[-2:])
            added = next(iter(node.output(0).get_target_inputs())).get_node()
            ends = [one.get_source_output() for one in added.inputs()]
            [bias] = [one for one in ends if one.get_node().get_type_name() not in CONVOLUTIONS]
            found.append((weight, _constant(bias).reshape(-1)))
    return found


def _constant(output: Any) -> Floats:
    """A constant behind what only turns or casts it."""
    node = output.get_node()
    if node.get_type_name() == "Constant":
        return np.asarray(node.data, np.float32)
    held = _constant(node.input(0).get_source_output())
    if node.get_type_name() == "Transpose":
        return held.transpose(_constant(node.input(1).get_source_output()).astype(int))
    return held.reshape(tuple(node.get_output_shape(0)))
