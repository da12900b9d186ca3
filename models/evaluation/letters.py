"""How many photographs of letters are named right, by source (a source is one or a few signers): by the hand encoder, with the
closer look where a checkpoint has one, since that is how a spelling hand is looked at."""

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.backends import Backend
from models.closer import CLOSER, Closer
from models.features import HAND_SIZE, LETTERS, HandEncoder

Crops = NDArray[np.uint8]

VIEW_SCALES = (0.85, 1.0, 1.15)  # crops of one photograph whose scores are averaged, in sides of it


def evaluate(path: Path | None, checkpoint: Path) -> dict[str, float | dict[str, float]]:
    """`path`/SOURCE/LETTER/*.jpg -> accuracy (over all pictures), by_source, pictures."""
    from models.checkpoint import has, load

    if path is None or not path.is_dir():
        raise ValueError(f"a folder SOURCE/LETTER/*.jpg is expected, got {path}: give the letters' folder")
    sources = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    encoder = load(HandEncoder, checkpoint, "hand_encoder")
    closer = load(Closer, checkpoint, CLOSER) if has(checkpoint, CLOSER) else None
    figures = evaluate_encoder(encoder, path, sources, closer)
    shares = {name: figures[name] for name in sources}
    return {"accuracy": figures["accuracy"], "by_source": shares, "pictures": figures["pictures"]}


def evaluate_encoder(
    encoder: HandEncoder, folder: Path, sources: Iterable[str], closer: Closer | None = None
) -> dict[str, float]:
    """Accuracy of every source, and over all its pictures; with the closer look if there is one."""
    from models.training.photographs import read_letters

    right = total = 0
    figures: dict[str, float] = {}
    for source in sources:
        photographs = read_letters(folder, source)
        hits = int((predict(encoder, photographs.pictures, closer=closer) == photographs.symbols).sum())
        figures[source] = hits / len(photographs)
        right, total = right + hits, total + len(photographs)
    return {**figures, "accuracy": right / max(1, total), "pictures": float(total)}


@torch.inference_mode()
def predict(
    encoder: HandEncoder, pictures: Crops, batch: int = 128, *, closer: Closer | None = None
) -> NDArray[np.int64]:
    """Letter numbers 0-25 of RGB pictures (N, 128, 128, 3), from several views of each, mirrored ones too."""
    name, side = (
        (_by_encoder(encoder), HAND_SIZE) if closer is None else (_by_both(encoder, closer), closer.config.side_px)
    )
    found = []
    for start in range(0, len(pictures), batch):
        part = pictures[start : start + batch]
        scores: Tensor = torch.zeros(len(part), LETTERS)
        for scale in VIEW_SCALES:
            crops = np.stack([_view(picture, scale, side) for picture in part])
            for view in (crops, np.ascontiguousarray(crops[:, :, ::-1])):
                scores += name(view)[:, :LETTERS].softmax(1)
        found.append(scores.argmax(1).numpy())
    return np.concatenate(found)


def _by_encoder(encoder: HandEncoder) -> Callable[[Crops], Tensor]:
    device = next(encoder.eval().parameters()).device
    return lambda crops: encoder.symbol_scores(encoder(torch.from_numpy(crops).to(device))).cpu()


def _by_both(encoder: HandEncoder, closer: Closer) -> Callable[[Crops], Tensor]:
    """By both looks as they are served on a processor, the small encoder's at the same crops with fewer pixels."""
    look, device = closer.looking(Backend()), next(encoder.eval().parameters()).device

    def name(crops: Crops) -> Tensor:
        small = np.stack([cv2.resize(crop, (HAND_SIZE, HAND_SIZE), interpolation=cv2.INTER_AREA) for crop in crops])
        known = encoder(torch.from_numpy(small).to(device)).cpu()
        scores: Tensor = closer.symbols(closer.both(closer(torch.from_numpy(look(crops))), known))
        return scores

    return name


def _view(picture: Crops, scale: float, side: int) -> Crops:
    """The middle `scale` of the picture, its border repeated outwards -> (side, side, 3)."""
    zoom = side / (scale * picture.shape[0])
    shift = side / 2 - zoom * picture.shape[0] / 2
    matrix = np.array([[zoom, 0, shift], [0, zoom, shift]], np.float32)
    flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    size = (side, side)
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)
