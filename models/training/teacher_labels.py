"""Labels of a teacher, MediaPipe, for training data alone; the project itself never needs it.

Run from the repository's root in an environment of its own, with mediapipe 0.10.21 (which brings numpy and OpenCV):

    python -m models.training.teacher_labels DATA OUT [mouths] [hands] [how2sign]

It goes on where it was stopped: finished parts lie in OUT/parts. What comes out, all float32 unless said otherwise:

- OUT/grid_mouths.npz, of every clip of DATA/grid_lips: `NAME` (frames, 3), the mouth's box, and `NAME.face` (frames, 3);
  centre_x / width, centre_y / height, side / height, in the convention of boxes.jsonl; NaN where nothing was found.
- OUT/hands.npz, of every photograph of DATA/letters and DATA/digits: `path` in DATA; `found` bool; `points` (N, 21, 3),
  x and y in shares of the picture, z in the scale of x; `world` (N, 21, 3) in metres; `right`, see `Hand`.
- OUT/how2sign_hands.npz, of hands found in How2Sign clips that are not held out: `jpeg` uint8, all pictures' bytes one
  after another; `length` int64 of each; `side` uint8, 0 the right hand, 1 the left; `clip`, `frame`; `box` (N, 3), the
  square that was cut out, as boxes.jsonl has boxes; `points`, `world` and `right` as above, in shares of the crop. A
  right hand with a high `right`, or a left one with a low, may be the other hand: drop it where that matters.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import mediapipe  # type: ignore[import-not-found]
import numpy as np
from numpy.typing import NDArray

from models.training.splits import is_held_out_video

LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)  # the outer line
MOUTH_SIDE, FACE_SIDE = 1.43, 1.144  # of the longer side around the points; measured on 105 frames of boxes.jsonl
GRID_ENLARGED = 3
PHOTOGRAPHS_A_PART = 250
CROP, CROP_ENLARGED, CROP_SCALE, EVERY = 112, 224, 1.6, 3
JPEG_QUALITY = 88

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


# --- parts that survive a stop --------------------------------------------------------------------------------


def in_parts(folder: Path, names: Sequence[str], make: Callable[[str], Arrays]) -> Iterator[Arrays]:
    """`make(name)` of every name, kept in `folder`/name.npz and read from there when run again."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        kept = folder / f"{name}.npz"
        if not kept.exists():
            _write(kept, make(name))
            print(f"{folder.name} {number + 1}/{len(names)}", flush=True)
        with np.load(kept) as arrays:
            yield dict(arrays)


def joined(parts: Sequence[Arrays]) -> Arrays:
    """The same arrays of all parts, one after another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _write(path: Path, arrays: Arrays) -> None:
    partial = path.with_suffix(".part.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle
    partial.replace(path)


# --- GRID's mouths and faces ----------------------------------------------------------------------------------


def square(points: Floats, scale: float) -> Floats:
    """Points (n, 2) in pixels -> (3,): the middle of the box around them and `scale` times its longer side."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.append((low + high) / 2, scale * (high - low).max()).astype(np.float32)


def grid_boxes(mesh: Any, clip: Path) -> Arrays:
    """`mouth` and `face` of one clip, (frames, 3) each, NaN where no face was found."""
    mesh.reset()
    mouths, faces = [], []
    for frame in read_frames(clip):
        height, width = frame.shape[:2]
        large = cv2.resize(frame, None, fx=GRID_ENLARGED, fy=GRID_ENLARGED, interpolation=cv2.INTER_CUBIC)
        found = mesh.process(large).multi_face_landmarks
        mouth, face = np.full(3, np.nan, np.float32), np.full(3, np.nan, np.float32)
        if found:
            points = np.array([(p.x * width, p.y * height) for p in found[0].landmark], np.float32)
            share = np.array([width, height, height], np.float32)
            mouth, face = square(points[list(LIPS)], MOUTH_SIDE) / share, square(points, FACE_SIDE) / share
        mouths.append(mouth)
        faces.append(face)
    return {"mouth": np.stack(mouths), "face": np.stack(faces)}


def read_frames(clip: Path) -> Iterator[Pixels]:
    """A video's RGB frames."""
    video = cv2.VideoCapture(str(clip))
    try:
        read, frame = video.read()
        while read:
            yield np.ascontiguousarray(frame[:, :, ::-1])
            read, frame = video.read()
    finally:
        video.release()


def label_mouths(data: Path, out: Path) -> None:
    clips = {clip.stem: clip for clip in sorted((data / "grid_lips").glob("*.mp4"))}
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=False, refine_landmarks=False) as mesh:
        parts = list(in_parts(out / "parts" / "mouths", list(clips), lambda name: grid_boxes(mesh, clips[name])))
    arrays = {name: part["mouth"] for name, part in zip(clips, parts, strict=True)}
    arrays |= {f"{name}.face": part["face"] for name, part in zip(clips, parts, strict=True)}
    _write(out / "grid_mouths.npz", arrays)


# --- hands ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hand:
    """One hand: `points` (21, 3), x and y in shares of the picture, maybe outside of it, z in the scale of x; `world`
    (21, 3) in metres; `right`, MediaPipe's score for "Right" for the picture as it is. MediaPipe takes pictures to be
    mirrored, so that a right hand in a picture that is not gets a low score."""

    points: Floats
    world: Floats
    right: float


class Attempt(NamedTuple):
    """How a picture is shown to the teacher: with a border in shares of its side, enlarged, mirrored."""

    border: float
    enlarged: float
    mirrored: bool = False


ATTEMPTS = (Attempt(0, 1), Attempt(0.3, 1), Attempt(0.3, 2), Attempt(0.3, 2, True), Attempt(0, 1, True))


def find_hand(hands: Any, picture: Pixels, plausible: Callable[[Hand], bool]) -> Hand | None:
    """The hand in an RGB picture by the first attempt that finds a plausible one."""
    for attempt in ATTEMPTS:
        hand = _attempt(hands, picture, attempt)
        if hand is not None and plausible(hand):
            return hand
    return None


def fills(hand: Hand) -> bool:
    """Whether it is as large as hands are in the photographs; smaller ones are fingertips taken for hands."""
    return float(np.ptp(hand.points[:, :2], axis=0).max()) > 0.4


def is_central(hand: Hand) -> bool:
    """Whether it lies in the middle of a crop; else it is the other hand."""
    middle = (hand.points[:, :2].min(axis=0) + hand.points[:, :2].max(axis=0)) / 2
    return float(np.abs(middle - 0.5).max()) < 0.2


def _attempt(hands: Any, picture: Pixels, attempt: Attempt) -> Hand | None:
    height, width = picture.shape[:2]
    down, across = round(attempt.border * height), round(attempt.border * width)
    shown = cv2.copyMakeBorder(picture, down, down, across, across, cv2.BORDER_REPLICATE)
    scale = attempt.enlarged
    shown = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale != 1 else shown
    shown = np.ascontiguousarray(shown[:, ::-1]) if attempt.mirrored else shown
    found = hands.process(shown)
    if not found.multi_hand_landmarks:
        return None
    points = _landmarks(found.multi_hand_landmarks[0])
    world = _landmarks(found.multi_hand_world_landmarks[0])
    handedness = found.multi_handedness[0].classification[0]
    right = handedness.score if handedness.label == "Right" else 1 - handedness.score
    if attempt.mirrored:
        points[:, 0], world[:, 0], right = 1 - points[:, 0], -world[:, 0], 1 - right
    whole = np.array([1 + 2 * across / width, 1 + 2 * down / height, 1 + 2 * across / width], np.float32)
    points = points * whole - np.array([across / width, down / height, 0], np.float32)
    return Hand(points, world, float(right))


def _landmarks(marks: Any) -> Floats:
    return np.array([(p.x, p.y, p.z) for p in marks.landmark], np.float32)


def _rows(found: Sequence[Hand | None]) -> Arrays:
    """Hands as arrays, NaN where there is none."""
    none = Hand(np.full((21, 3), np.nan, np.float32), np.full((21, 3), np.nan, np.float32), float("nan"))
    rows = [hand or none for hand in found]
    points = np.array([hand.points for hand in rows], np.float32).reshape(-1, 21, 3)
    world = np.array([hand.world for hand in rows], np.float32).reshape(-1, 21, 3)
    return {"points": points, "world": world, "right": np.array([hand.right for hand in rows], np.float32)}


def _hands() -> Any:
    return mediapipe.solutions.hands.Hands(
        static_image_mode=True, max_num_hands=1, min_detection_confidence=0.3, model_complexity=1
    )


def label_photographs(data: Path, out: Path) -> None:
    paths = sorted([*data.glob("letters/*/*/*.jpg"), *data.glob("digits/*/*.jpg")])
    starts = {f"from{start:06d}": start for start in range(0, len(paths), PHOTOGRAPHS_A_PART)}
    with _hands() as hands:

        def make(name: str) -> Arrays:
            some = paths[starts[name] : starts[name] + PHOTOGRAPHS_A_PART]
            found = [find_hand(hands, _read_picture(path), fills) for path in some]
            relative = np.array([path.relative_to(data).as_posix() for path in some])
            return {"path": relative, "found": np.array([hand is not None for hand in found]), **_rows(found)}

        _write(out / "hands.npz", joined(list(in_parts(out / "parts" / "hands", list(starts), make))))


def _read_picture(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"expected a picture in {path}, but it cannot be read: remove it")
    return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)


# --- How2Sign's hands -----------------------------------------------------------------------------------------


def label_clips(data: Path, out: Path) -> None:
    clips = {c.stem: c for c in sorted((data / "how2sign_clips").glob("*.mp4")) if not is_held_out_video(c.name)}
    with _hands() as hands:
        make = in_parts(out / "parts" / "how2sign", list(clips), lambda name: clip_hands(hands, clips[name]))
        _write(out / "how2sign_hands.npz", joined(list(make)))


def clip_hands(hands: Any, clip: Path) -> Arrays:
    """The hands that the teacher finds again in their labelled boxes on every third frame of one clip."""
    labels = clip.with_suffix(".boxes.jsonl").read_text(encoding="utf-8").splitlines()
    jpegs, found, sides, boxes, frames = [], [], [], [], []
    for number, (frame, line) in enumerate(zip(read_frames(clip), labels, strict=False)):
        for side, part in enumerate(("right_hand", "left_hand") if number % EVERY == 0 else ()):
            box = json.loads(line).get(part)
            if box is None:
                continue
            crop = _cut(frame, box)
            hand = find_hand(hands, _enlarged(crop), is_central)
            if hand is not None:
                jpegs.append(_jpeg(crop))
                found.append(hand)
                sides.append(side)
                boxes.append([box[0], box[1], CROP_SCALE * box[2]])
                frames.append(number)
    return {
        "jpeg": np.concatenate([np.zeros(0, np.uint8), *jpegs]),
        "length": np.array([len(jpeg) for jpeg in jpegs], np.int64),
        "side": np.array(sides, np.uint8),
        "clip": np.array([clip.stem] * len(found)),
        "frame": np.array(frames, np.int64),
        "box": np.array(boxes, np.float32).reshape(-1, 3),
        **_rows(found),
    }


def _cut(frame: Pixels, box: Sequence[float]) -> Pixels:
    """(112, 112, 3): a square around the box, 1.6 times its side; edge pixels repeated where it leaves the frame."""
    height, width = frame.shape[:2]
    side = CROP_SCALE * box[2] * height
    scale = CROP / side
    left, top = box[0] * width - side / 2, box[1] * height - side / 2
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    blurred = cv2.GaussianBlur(frame, (0, 0), 0.4 / scale) if scale < 0.7 else frame  # or the sampling skips pixels
    return np.asarray(cv2.warpAffine(blurred, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _enlarged(crop: Pixels) -> Pixels:
    return np.asarray(cv2.resize(crop, (CROP_ENLARGED, CROP_ENLARGED), interpolation=cv2.INTER_CUBIC), np.uint8)


def _jpeg(picture: Pixels) -> Pixels:
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return np.asarray(cv2.imencode(".jpg", picture[:, :, ::-1], quality)[1], np.uint8).ravel()


# --------------------------------------------------------------------------------------------------------------

LABELS = {"mouths": label_mouths, "hands": label_photographs, "how2sign": label_clips}


def main() -> None:
    parser = argparse.ArgumentParser(description="Labels training data by MediaPipe.")
    parser.add_argument("data", type=Path, help="folder with grid_lips, letters, digits, how2sign_clips")
    parser.add_argument("out", type=Path)
    parser.add_argument("what", nargs="*", help="mouths, hands, how2sign; all, in this order, when none is given")
    asked = parser.parse_args()
    unknown = sorted(set(asked.what) - set(LABELS))
    if unknown:
        parser.error(f"expected some of {', '.join(LABELS)}, got {', '.join(unknown)}")
    cv2.setNumThreads(1)
    for name in asked.what or LABELS:
        LABELS[name](asked.data, asked.out)


if __name__ == "__main__":
    main()
