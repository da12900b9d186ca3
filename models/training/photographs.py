"""Real photographs of hands, and pieces of real signing videos that show a hand or none."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.features import LETTERS
from models.training.boxes import labelled_frames
from models.training.loop import RUNS
from models.training.splits import is_held_out_video

SOURCE_PX = 128
DIGITS = "digits"
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]
Pixels = NDArray[np.uint8]
HAND_ENLARGED = 1.25
WIDE_SOURCE = "zarakiliz"
"""Its photographs show the whole signer; each letter was held at one place: (centre x, centre y, side) in pixels of 128."""
WIDE_SHOTS = {
    "A": (52, 65, 90), "B": (72, 48, 92), "C": (38, 42, 80), "D": (50, 60, 92), "E": (38, 50, 74), "F": (66, 50, 96),
    "G": (105, 45, 64), "H": (95, 58, 64), "I": (90, 42, 90), "K": (88, 42, 92), "L": (87, 42, 90), "M": (100, 45, 76),
    "N": (100, 42, 76), "O": (28, 32, 64), "P": (40, 45, 80), "Q": (30, 40, 80), "R": (98, 40, 84), "S": (32, 45, 74),
    "T": (35, 42, 76), "U": (96, 42, 80), "V": (28, 50, 92), "W": (96, 48, 88), "X": (32, 45, 84), "Y": (48, 52, 84),
}  # fmt: skip


@dataclass(frozen=True)
class Photographs:
    """`pictures` (N, 128, 128, 3) RGB, `opaque` (N, 128, 128) 0 where the background was cut away,
    `symbols` (N,) 0-25 for A-Z, 26-35 for 0-9, `paths` below the data folder."""

    pictures: Pixels
    opaque: Pixels
    symbols: NDArray[np.int64]
    paths: list[str]

    def __len__(self) -> int:
        return len(self.symbols)


def read_letters(letters: Path, source: str) -> Photographs:
    """One source of the folder `letters`: its letters A-Z (some lack J and Z)."""
    folder = letters / source
    if not folder.is_dir():
        raise ValueError(f"letter photographs are expected in {folder}, which is no folder: give the data folder")
    return _read({letter.name: sorted(letter.glob("*.jpg")) for letter in sorted(folder.iterdir())}, source)


def read_digits(data: Path) -> Photographs:
    folder = data / DIGITS
    if not folder.is_dir():
        raise ValueError(f"digit photographs are expected in {folder}, which is no folder: give the data folder")
    return _read({digit.name: sorted(digit.glob("*.jpg")) for digit in sorted(folder.iterdir())}, DIGITS)


def symbol_id(name: str) -> int:
    """0-25 for A-Z, 26-35 for 0-9."""
    if len(name) == 1 and name.isascii() and (name.isdigit() or name.isupper()):
        return LETTERS + int(name) if name.isdigit() else ord(name) - ord("A")
    raise ValueError(f"a class folder must be A-Z or 0-9, got {name!r}: rename or remove it")


def _read(files: dict[str, list[Path]], source: str) -> Photographs:
    pictures, symbols, names = [], [], []
    for name, paths in files.items():
        for path in paths:
            picture = read_picture(path)
            if source == WIDE_SOURCE and name in WIDE_SHOTS:
                picture = _square(picture, *WIDE_SHOTS[name], size=SOURCE_PX)
            pictures.append(picture)
            symbols.append(symbol_id(name))
            names.append("/".join(path.parts[-3 if source == DIGITS else -4 :]))
    if not pictures:
        raise ValueError(f"no photographs found for {source}: expected CLASS/*.jpg")
    stacked = np.stack(pictures)
    return Photographs(stacked, _opaque(stacked, source), np.array(symbols, np.int64), names)


def read_picture(path: Path) -> Pixels:
    """RGB, square, 128 px."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} is expected to be a JPEG picture and cannot be decoded: remove or replace it")
    resized = cv2.resize(picture, (SOURCE_PX, SOURCE_PX), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(resized[:, :, ::-1], np.uint8)


def _opaque(pictures: Pixels, source: str) -> Pixels:
    """Where the hand is, for sources whose background is plain enough to cut it away; everywhere else 255."""
    if source == "massey5":
        masks = (pictures.max(-1) > 24).astype(np.uint8) * 255
    elif source == DIGITS:
        masks = np.stack([_otsu_by_colour(picture) for picture in pictures])
    else:
        return np.full(pictures.shape[:3], 255, np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    return np.stack([cv2.GaussianBlur(cv2.erode(_largest(m), kernel), (3, 3), 0) for m in masks]).astype(np.uint8)


def _otsu_by_colour(picture: Pixels) -> Pixels:
    saturation = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[:, :, 1], (5, 5), 0)
    return np.asarray(cv2.threshold(saturation, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], np.uint8)


def _largest(mask: Pixels) -> Pixels:
    """The largest connected part, its holes filled."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros_like(mask)
    if outlines:
        cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 255, cv2.FILLED)
        return np.asarray(np.minimum(filled, cv2.dilate(mask, np.ones((3, 3), np.uint8))), np.uint8)
    return np.full_like(mask, 255)


def read_patches(data: Path, rng: np.random.Generator, every: int = 12, count: int = 4) -> tuple[Pixels, Pixels]:
    """(no hands, hands): patches (N, 96, 96, 3) of How2Sign's training videos, every 12th frame, by its boxes."""
    others: list[Pixels] = []
    hands: list[Pixels] = []
    for clip in sorted((data / "how2sign_clips").glob("*.mp4")):
        if is_held_out_video(clip.name):
            continue
        for frame, boxes in labelled_frames(clip, every):
            height, width = frame.shape[:2]
            squares = {k: (b[0] * width, b[1] * height, b[2] * height) for k, b in boxes.items()}
            held = [squares[k] for k in ("left_hand", "right_hand") if k in squares]
            hands += [_square(frame, x, y, HAND_ENLARGED * side) for x, y, side in held]
            others += _empty_squares(frame, held, squares.get("face"), rng, count)
    if not others or not hands:
        raise ValueError(f"how2sign clips with boxes are expected in {data / 'how2sign_clips'}: give the data folder")
    return np.stack(others), np.stack(hands)


def cached_patches(data: Path, file: Path = RUNS / "patches.npz") -> tuple[Pixels, Pixels]:
    """`read_patches`, kept in `file` as JPEG pictures."""
    if not file.is_file():
        kinds = read_patches(data, np.random.default_rng(0))
        jpegs = [[cv2.imencode(".jpg", patch[:, :, ::-1], JPEG)[1].ravel() for patch in kind] for kind in kinds]
        file.parent.mkdir(parents=True, exist_ok=True)
        lengths = [np.array([len(jpeg) for jpeg in kind]) for kind in jpegs]
        np.savez(file, *(np.concatenate(kind) for kind in jpegs), *lengths)
    with np.load(file) as held:
        parts = [np.split(held[f"arr_{kind}"], np.cumsum(held[f"arr_{kind + 2}"])[:-1]) for kind in (0, 1)]
    empty, hands = (np.stack([decoded(jpeg) for jpeg in kind]) for kind in parts)
    return empty, hands


def decoded(jpeg: Pixels) -> Pixels:
    """RGB pixels of the bytes of a JPEG picture."""
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"expected a JPEG picture, got {len(jpeg)} bytes that are none: make the file anew")
    return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)


def _empty_squares(
    frame: Pixels,
    held: list[tuple[float, float, float]],
    face: tuple[float, float, float] | None,
    rng: np.random.Generator,
    count: int,
) -> list[Pixels]:
    height, width = frame.shape[:2]
    kept: list[Pixels] = []
    for number in range(4 * count):
        side = float(rng.uniform(0.12, 0.4)) * height
        x, y = rng.uniform(0.1 * width, 0.9 * width), rng.uniform(0.05 * height, 0.95 * height)
        if face is not None and number % 3 == 0:
            side = face[2] * float(rng.uniform(0.5, 1.2))
            x, y = face[0] + rng.normal(0, 0.4 * side), face[1] + rng.normal(0, 0.5 * side)
        if all(max(abs(x - hx), abs(y - hy)) > 0.45 * (side + hs) for hx, hy, hs in held):
            kept.append(_square(frame, float(x), float(y), side))
    return kept[:count]


def _square(frame: Pixels, x: float, y: float, side: float, size: int = 96) -> Pixels:
    scale = size / max(side, 2.0)
    matrix = np.array([[scale, 0, size / 2 - scale * x], [0, scale, size / 2 - scale * y]], np.float32)
    return np.asarray(cv2.warpAffine(frame, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE), np.uint8)
