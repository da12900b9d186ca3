"""How many photographs of letters the hand encoder names right, by source (a source is one or a few signers)."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features import HAND_SIZE, LETTERS, HandEncoder

VIEW_SCALES = (0.85, 1.0, 1.15)  # crops of one photograph whose scores are averaged, in sides of it


def evaluate(path: Path | None, checkpoint: Path) -> dict[str, float | dict[str, float]]:
    """`path`/SOURCE/LETTER/*.jpg -> accuracy (over all pictures), by_source, pictures."""
    from models.checkpoint import load

    if path is None or not path.is_dir():
        raise ValueError(f"a folder SOURCE/LETTER/*.jpg is expected, got {path}: give the letters' folder")
    sources = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    encoder = load(HandEncoder, checkpoint, "hand_encoder")
    figures = evaluate_encoder(encoder, path, sources)
    shares = {name: figures[name] for name in sources}
    return {"accuracy": figures["accuracy"], "by_source": shares, "pictures": figures["pictures"]}


def evaluate_encoder(encoder: HandEncoder, folder: Path, sources: Iterable[str]) -> dict[str, float]:
    """Accuracy of every source, and over all its pictures."""
    from models.training.photographs import read_letters

    right = total = 0
    figures: dict[str, float] = {}
    for source in sources:
        photographs = read_letters(folder, source)
        hits = int((predict(encoder, photographs.pictures) == photographs.symbols).sum())
        figures[source] = hits / len(photographs)
        right, total = right + hits, total + len(photographs)
    return {**figures, "accuracy": right / max(1, total), "pictures": float(total)}


@torch.inference_mode()
def predict(encoder: HandEncoder, pictures: NDArray[np.uint8], batch: int = 128) -> NDArray[np.int64]:
    """Letter numbers 0-25 of RGB pictures (N, 128, 128, 3), from several views of each, mirrored ones too."""
    encoder.eval()
    device = next(encoder.parameters()).device
    found = []
    for start in range(0, len(pictures), batch):
        part = pictures[start : start + batch]
        scores: Tensor = torch.zeros(len(part), LETTERS, device=device)
        for scale in VIEW_SCALES:
            crops = np.stack([_view(picture, scale) for picture in part])
            for view in (crops, np.ascontiguousarray(crops[:, :, ::-1])):
                logits = encoder.symbol_scores(encoder(torch.from_numpy(view).to(device)))[:, :LETTERS]
                scores += logits.softmax(1)
        found.append(scores.argmax(1).cpu().numpy())
    return np.concatenate(found)


def _view(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """The middle `scale` of the picture, its border repeated outwards -> (64, 64, 3)."""
    zoom = HAND_SIZE / (scale * picture.shape[0])
    shift = HAND_SIZE / 2 - zoom * picture.shape[0] / 2
    matrix = np.array([[zoom, 0, shift], [0, zoom, shift]], np.float32)
    flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    size = (HAND_SIZE, HAND_SIZE)
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)
