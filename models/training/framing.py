"""Changes of a whole frame with its boxes: framing, mirror, background, light; what the locator learns to look through."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.canvas import SMALL_HEIGHT, SMALL_WIDTH

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float32]
SWAPPED = (1, 0, 2, 3)  # PARTS in a mirror: the hands change sides
ASPECT = SMALL_WIDTH / SMALL_HEIGHT


@dataclass(frozen=True)
class Framing:
    """How far a frame may be changed; scales below 1 show the signer smaller."""

    smallest: float = 0.7
    largest: float = 1.5
    shift: float = 0.15
    turn_deg: float = 6.0
    new_background: float = 0.0  # share of frames whose green screen is replaced


def reframe(frame: Pixels, rows: Rows, rng: np.random.Generator, framing: Framing) -> tuple[Pixels, Rows]:
    """A frame of the canvas' shape with boxes (4, 3) -> (120, 160, 3) and its boxes; those that leave become NaN."""
    if rng.random() < framing.new_background:
        frame = without_green(frame, random_background(rng, frame.shape[1], frame.shape[0]))
    scale = float(np.exp(rng.uniform(np.log(framing.smallest), np.log(framing.largest))))
    angle = float(np.deg2rad(rng.normal(0, framing.turn_deg / 2)))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    anchor = _anchor(rows, rng)
    matrix = _matrix(frame.shape[1], scale, angle, flip, anchor, rng.uniform(-framing.shift, framing.shift, 2))
    shrunk = SMALL_WIDTH * scale / frame.shape[1]
    if shrunk < 0.6:  # bilinear sampling would skip pixels
        frame = np.asarray(cv2.blur(frame, (round(1 / shrunk),) * 2), np.uint8)
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    colour = rng.integers(0, 256, 3).tolist() if rng.random() < 0.5 else (0, 0, 0)
    placed = cv2.warpAffine(frame, matrix, (SMALL_WIDTH, SMALL_HEIGHT), borderMode=border, borderValue=colour)
    moved = _move(rows, matrix, scale, frame.shape)
    return np.asarray(placed, np.uint8), moved[list(SWAPPED)] if flip < 0 else moved


def _anchor(rows: Rows, rng: np.random.Generator) -> NDArray[np.float64]:
    """The place to zoom on: between the picture's middle and the signer."""
    known = rows[~np.isnan(rows[:, 0]), :2]
    middle = np.array([0.5, 0.5])
    if not len(known):
        return middle
    share = rng.uniform(0, 1)
    return np.asarray(middle + share * (known.mean(0) - middle))


def _matrix(
    width: int, scale: float, angle: float, flip: float, anchor: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float32]:
    zoom = scale * SMALL_WIDTH / width
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = zoom * turn @ np.diag([flip, 1.0])
    size = np.array([SMALL_WIDTH, SMALL_HEIGHT])
    # the anchor moves towards the middle as far as the zoom asks for it
    mirrored = np.array([0.5 + flip * (anchor[0] - 0.5), anchor[1]])
    target = (mirrored + (0.5 - mirrored) * np.clip(scale - 0.5, 0, 1) + shift * min(1.0, scale)) * size
    offset = target - linear @ (anchor * np.array([width, width / ASPECT]))
    return np.column_stack([linear, offset]).astype(np.float32)


def _move(rows: Rows, matrix: NDArray[np.float32], scale: float, shape: tuple[int, ...]) -> Rows:
    pixels = rows[:, :2] * np.array([shape[1], shape[0]], np.float32)
    places = pixels @ matrix[:, :2].T + matrix[:, 2]
    moved = np.column_stack([places / np.array([SMALL_WIDTH, SMALL_HEIGHT]), rows[:, 2] * scale]).astype(np.float32)
    inside = (moved[:, :2] > 0).all(1) & (moved[:, :2] < 1).all(1)
    moved[~inside] = np.nan
    return moved


def without_green(frame: Pixels, background: Pixels) -> Pixels:
    """Replaces a green screen, and the black bars around it."""
    red, green, blue = (frame[:, :, k].astype(np.int16) for k in range(3))
    screen = ((green > red + 14) & (green > blue + 14)) | (frame.max(-1) < 6)
    mask = cv2.GaussianBlur(screen.astype(np.float32), (3, 3), 0)[:, :, None]
    return np.asarray(background * mask + frame * (1 - mask), np.uint8)


def random_background(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """A wall with light falling off, and some soft or sharp furniture."""
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    fall = (1 + 0.3 * rng.normal() * across + 0.3 * rng.normal() * down)[:, :, None]
    picture: NDArray[Any] = (rng.uniform(10, 245, 3) * fall).astype(np.float32)
    for _ in range(int(rng.integers(0, 9))):
        x, y = int(rng.integers(-width // 4, width)), int(rng.integers(-height // 4, height))
        size = (int(rng.integers(6, width // 2)), int(rng.integers(6, height // 2)))
        colour = rng.uniform(0, 255, 3).tolist()
        if rng.random() < 0.6:
            cv2.rectangle(picture, (x, y), (x + size[0], y + size[1]), colour, cv2.FILLED)
        else:
            cv2.ellipse(picture, (x, y), size, float(rng.uniform(0, 180)), 0, 360, colour, cv2.FILLED)
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 4)))
    grain = cv2.resize(rng.normal(0, rng.uniform(0, 25), (height // 4, width // 4)), (width, height))
    return np.asarray(np.clip(picture + grain[:, :, None], 0, 255), np.uint8)


def relight_frame(frame: Pixels, rng: np.random.Generator) -> Pixels:
    """Gamma, contrast and colour cast by tables; sometimes paler, blurred or noisy."""
    levels = np.linspace(0, 1, 256)[:, None]
    curve = levels ** np.exp(rng.normal(0, 0.3)) * np.exp(rng.normal(0, 0.12, 3)) * np.exp(rng.normal(0, 0.15))
    if rng.random() < 0.2:
        curve = rng.uniform(0, 0.4) + curve * rng.uniform(0.4, 0.9)
    table = np.clip(curve * 255, 0, 255).astype(np.uint8)
    done = cv2.LUT(frame, table[None])
    if rng.random() < 0.3:
        grey = cv2.cvtColor(cv2.cvtColor(done, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        share = 1.0 if rng.random() < 0.3 else float(rng.uniform(-0.4, 0.8))
        done = cv2.addWeighted(done, 1 - share, grey, share, 0)
    if rng.random() < 0.2:
        done = cv2.GaussianBlur(done, (0, 0), float(rng.uniform(0.4, 1.0)))
    if rng.random() < 0.3:
        noise = rng.standard_normal(done.shape, np.float32) * float(rng.uniform(2, 12))
        done = np.clip(done + noise, 0, 255)
    return np.asarray(done, np.uint8)
