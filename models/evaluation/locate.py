"""How well the locator finds hands and faces in labelled videos."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.locate import PARTS, SMALL_HEIGHT, SMALL_WIDTH, Boxes, Locator
from models.training.boxes import as_rows, labelled_frames, on_canvas
from models.training.splits import is_held_out_video

HANDS = ("right_hand", "left_hand")
ASPECT = SMALL_WIDTH / SMALL_HEIGHT


def evaluate(
    path: Path | None, checkpoint: Path, every: int = 2, **options: object
) -> dict[str, float | dict[str, float]]:
    """`path`/NAME.mp4 with NAME.boxes.jsonl -> hands_found, face_found, mouth_found: the share of labelled boxes whose
    centre is met within half their side; and the medians of the errors in centre and side, in shares of the side."""
    from models.checkpoint import load

    if path is None or not path.is_dir() or not any(path.glob("*.mp4")):
        raise ValueError(f"a folder of NAME.mp4 with NAME.boxes.jsonl is expected, got {path}: give one with clips")
    return {**evaluate_locator(load(Locator, checkpoint, "locate"), sorted(path.glob("*.mp4")), every)}


def held_out_clips(folder: Path) -> list[Path]:
    """How2Sign clips of the videos that are never trained on."""
    return [clip for clip in sorted(folder.glob("*.mp4")) if is_held_out_video(clip.name)]


def evaluate_locator(locator: Locator, clips: Sequence[Path], every: int = 2) -> dict[str, float]:
    found: list[Boxes] = []
    truth: list[NDArray[np.float32]] = []
    for clip in clips:
        pairs = [on_canvas(*pair, SMALL_WIDTH, SMALL_HEIGHT) for pair in labelled_frames(clip, every)]
        found += locator.find_small(np.stack([frame for frame, _ in pairs]))
        truth += [as_rows(boxes) for _, boxes in pairs]
    return compare(found, np.stack(truth))


def compare(found: Sequence[Boxes], truth: NDArray[np.float32]) -> dict[str, float]:
    """Found boxes of N frames against (N, 4, 3) true ones, NaN where there is none."""
    guesses = np.stack([as_rows({name: box for name, box in row.items() if box is not None}) for row in found])
    side = truth[..., 2]
    centre = np.hypot((guesses[..., 0] - truth[..., 0]) * ASPECT, guesses[..., 1] - truth[..., 1]) / side
    scale = np.abs(guesses[..., 2] / side - 1)
    labelled = ~np.isnan(side)
    met = labelled & (np.nan_to_num(centre, nan=9.0) < 0.5)
    hands = [PARTS.index(name) for name in HANDS]
    figures: dict[str, float] = {}
    for name, parts in {"hands": hands, "face": [PARTS.index("face")], "mouth": [PARTS.index("mouth")]}.items():
        count = int(labelled[:, parts].sum())
        figures[f"{name}_found"] = float(met[:, parts].sum() / max(1, count))
        hits = met[:, parts]
        figures[f"{name}_centre_error"] = float(np.median(centre[:, parts][hits])) if hits.any() else 1.0
        figures[f"{name}_side_error"] = float(np.median(scale[:, parts][hits])) if hits.any() else 1.0
    surplus = ~labelled[:, hands] & ~np.isnan(guesses[:, hands, 0])
    figures["hands_surplus"] = float(surplus.sum() / max(1, (~labelled[:, hands]).sum()))
    return figures
