"""How well the locator finds hands and faces in labelled videos, and mouths in GRID's."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.canvas import SMALL_HEIGHT, SMALL_WIDTH, letterbox, placement
from models.evaluation.lips import by_locator
from models.evaluation.locate_drawn import evaluate_drawn
from models.locate import PARTS, Boxes, Locator
from models.training.boxes import TEACHER, as_rows, labelled_frames, on_canvas
from models.training.grid import FaceTrack, GridClip, grid_clips, read_frames, teacher_tracks
from models.training.splits import is_held_out_video

HANDS = ("right_hand", "left_hand")
ASPECT = SMALL_WIDTH / SMALL_HEIGHT


def evaluate(path: Path | None, checkpoint: Path) -> dict[str, float]:
    """`path`/NAME.mp4 with NAME.boxes.jsonl -> hands_found, face_found, mouth_found: the share of labelled boxes whose
    centre is met within half their side; and the medians of the errors in centre and side, in shares of the side.
    Of GRID's folder (NAME.mp4 with NAME.align): `evaluate_mouths` of its held-out clips. Without a path: `evaluate_drawn`."""
    from models.checkpoint import load

    if path is None:
        return evaluate_drawn(load(Locator, checkpoint, "locate"))
    if not path.is_dir() or not any(path.glob("*.mp4")):
        raise ValueError(f"a folder of NAME.mp4 with NAME.boxes.jsonl is expected, got {path}: give one with clips")
    locator = load(Locator, checkpoint, "locate")
    if any(path.glob("*.align")):
        return evaluate_mouths(locator, grid_clips(path, held_out=True), teacher_tracks(TEACHER))
    return evaluate_locator(locator, sorted(path.glob("*.mp4")))


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


def evaluate_mouths(locator: Locator, clips: Sequence[GridClip], tracks: Mapping[str, FaceTrack]) -> dict[str, float]:
    """How far mouths on the live path (smoothed) are from the teacher's, over all frames of clips that it labelled:
    found, a share; the centre's error, median and 90th percentile, in sides; the median of side / teacher's side."""
    known = [clip for clip in clips if clip.name in tracks]
    if not known:
        raise ValueError(
            f"the teacher's mouths of these clips are expected in {TEACHER}: make them (teacher_labels.py)"
        )
    errors = np.concatenate([_mouth_errors(locator, read_frames(clip.video), tracks[clip.name]) for clip in known])
    centre, side = errors[~np.isnan(errors[:, 0])].T
    return {
        "mouth_found": len(centre) / len(errors), "mouth_centre_error": float(np.median(centre)),
        "mouth_centre_error_p90": float(np.percentile(centre, 90)), "mouth_side_ratio": float(np.median(side)),
        "clips": float(len(known)),
    }  # fmt: skip


def _mouth_errors(locator: Locator, frames: NDArray[np.uint8], track: FaceTrack) -> NDArray[np.float64]:
    """(labelled frames, 2): the centre's distance in the teacher's sides, side / teacher's side; NaN where not found."""
    place = placement(frames.shape[2], frames.shape[1])
    boxes = list(by_locator(locator)(np.stack([letterbox(frame)[0] for frame in frames])))
    labelled = ~np.isnan(track.mouth[:, 0])
    truth = np.array([place.to_canvas((x, y, side)) for x, y, side in track.mouth[labelled].tolist()]).reshape(-1, 3)
    found = np.array([box or (np.nan,) * 3 for box in boxes])[labelled]
    apart = np.hypot((found[:, 0] - truth[:, 0]) * ASPECT, found[:, 1] - truth[:, 1]) / truth[:, 2]
    return np.stack([apart, found[:, 2] / truth[:, 2]], axis=1)


def compare(found: Sequence[Boxes], truth: NDArray[np.float32]) -> dict[str, float]:
    """Found boxes of N frames against (N, 4, 3) true ones, NaN where there is none: found means within half a side,
    close within a quarter."""
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
        close = labelled[:, parts] & (np.nan_to_num(centre[:, parts], nan=9.0) < 0.25)
        figures[f"{name}_close"] = float(close.sum() / max(1, count))
        hits = met[:, parts]
        figures[f"{name}_centre_error"] = float(np.median(centre[:, parts][hits])) if hits.any() else 1.0
        figures[f"{name}_side_error"] = float(np.median(scale[:, parts][hits])) if hits.any() else 1.0
    surplus = ~labelled[:, hands] & ~np.isnan(guesses[:, hands, 0])
    figures["hands_surplus"] = float(surplus.sum() / max(1, (~labelled[:, hands]).sum()))
    return figures
