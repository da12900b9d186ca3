"""Sentences to motion: signs and spelled words in a row, joined as a signer joins them, with times of everything.

Times are modelled on real annotation (NCSLGR: signs of 320 to 560 ms, transitions of 120 to 280 ms); letters come at 4 to
6 a second; the lips run up to 200 ms before or behind the hands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.clock import FRAME_RATE_HZ
from models.pronunciation import pronounce
from models.synthetic import lexicon
from models.synthetic.handshapes import DIGITS, HANDSHAPES, LETTER_VARIANTS, LETTER_VIEWS, LETTERS
from models.synthetic.mouthing import mouth_track
from models.synthetic.movement import Unit, ease, frames_of, perform, reach, unit_vectors
from models.synthetic.pose import ANATOMY, HAND_LENGTH, Motion
from models.synthetic.sentences import Sentence
from models.vocabulary import FINGERSPELLING, REST, SIGN

FloatArray = NDArray[np.floating[Any]]

SPELLING_PLACE = (-0.55, -0.02, 0.42)
REST_FRAMES = (10, 20)
SINK_FRAMES = 9
LIPS_SHIFT_FRAMES = 5
HIGHEST = 0.9  # nobody raises a palm above the forehead to be seen
QUESTIONS = frozenset({"WHAT", "WHO", "WHERE", "WHEN", "WHY", "HOW", "WHICH", "HOW-MANY"})


@dataclass(frozen=True)
class Span:
    """Something shown from `start_ms` to `end_ms`."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Script:
    """A sentence as it is signed, and the truth about it; `routes` (T,) holds a route a frame."""

    motion: Motion
    glosses: tuple[Span, ...]
    letters: tuple[Span, ...]
    phonemes: tuple[Span, ...]
    routes: NDArray[np.int8]
    sentence: Sentence


@dataclass
class _Piece:
    """A unit placed in time: its first frame, what it says, which route it is."""

    unit: Unit
    start: int
    text: str
    route: int
    spoken: str


class _Style:
    """How this signer signs this time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.pace = float(np.exp(rng.normal(0, 0.12)))
        self.wobble = rng.normal(0, 0.03, 3).astype(np.float32)
        self.tilt = rng.normal(0, 0.08, (2, 3)).astype(np.float32)
        self.fingers = rng.normal(0, 0.05, (1, 1, 5, 4)).astype(np.float32)
        self.place = np.array(SPELLING_PLACE, np.float32) + rng.normal(0, 0.06, 3).astype(np.float32)
        self.letter_frames = FRAME_RATE_HZ / float(rng.uniform(4, 6))
        self.variants = {
            letter: shapes[int(rng.integers(len(shapes)))]
            for letter, shapes in LETTER_VARIANTS.items()
            if rng.random() < 0.4
        }
        self.views = {
            letter: views[int(rng.integers(len(views)))] for letter, views in LETTER_VIEWS.items() if rng.random() < 0.3
        }


def compile_script(sentence: Sentence, rng: np.random.Generator, lowest: float = -math.inf) -> Script:
    """Signs a sentence; raises ValueError for a gloss that the lexicon lacks.

    `lowest` is what the camera still sees of signing space: palms below it are raised (`Signer.lowest_palm`).
    """
    style, pieces = _Style(rng), []
    at = int(rng.integers(*REST_FRAMES)) + 9
    before: Unit | None = None
    for token in sentence.tokens:
        for low, text, route, spoken in _units(token, style, rng):
            unit = _raised(low, lowest)
            at += _gap(before, unit, route, rng) if before is not None else 0
            pieces.append(_Piece(unit, at, text, route, spoken))
            at += len(unit)
            before = unit
    frames = at + SINK_FRAMES + int(rng.integers(*REST_FRAMES))
    lips = _spoken(pieces, rng)
    motion = _motion(pieces, frames, style, rng, sentence)
    motion.mouth[:] = mouth_track(frames, lips)
    return Script(
        motion, _spans(pieces, SIGN), _spans(pieces, FINGERSPELLING),
        tuple(Span(p, _ms(a), _ms(b)) for p, a, b in lips), _routes(pieces, frames), sentence,
    )  # fmt: skip


def _ms(frame: float) -> int:
    return round(frame * 1000 / FRAME_RATE_HZ)


def _units(token: str, style: _Style, rng: np.random.Generator) -> list[tuple[Unit, str, int, str]]:
    """The units of one token with text, route and what the lips say; a spelled word is spoken with its first letter."""
    if not token.startswith("#"):
        signs = lexicon.load().signs
        if token not in signs:
            raise ValueError(f"no sign {token!r} in the lexicon: spell it as {'#' + token!r}")
        sign = signs[token]
        frames = max(6, round(frames_of(sign, rng) * style.pace))
        wobble = style.wobble + rng.normal(0, 0.025, 3).astype(np.float32)
        return [(perform(sign, frames, wobble), token, SIGN, sign.spoken)]
    found: list[tuple[Unit, str, int, str]] = []
    drift = np.zeros(3, np.float32)
    for index, letter in enumerate(token[1:]):
        if index and token[index] == letter:
            drift[0] -= 0.09
        unit = _letter(letter, style, style.place + drift, rng)
        drift[0] -= 0.012
        found.append((unit, letter, FINGERSPELLING, token[1:].lower() if index == 0 else ""))
    return found


def _raised(unit: Unit, lowest: float) -> Unit:
    """The unit as made by who knows that the camera sees nothing below `lowest`: as a whole higher, at most to the forehead."""
    heights = unit.position[:, : 2 if unit.two_handed else 1, 1]
    lift = min(lowest - float(heights.min()), HIGHEST - float(heights.max()))
    return replace(unit, position=unit.position + np.array([0, lift, 0], np.float32)) if lift > 0 else unit


def _letter(letter: str, style: _Style, place: FloatArray, rng: np.random.Generator) -> Unit:
    pose = LETTERS.get(letter) or DIGITS[letter]
    moving = len(pose.path) > 0
    frames = max(2, round(style.letter_frames * float(rng.uniform(0.85, 1.2))) - 2) + (5 if moving else 0)
    joints = np.repeat(style.variants.get(letter, pose.joints)[None], frames, axis=0)
    palm, pointing = style.views.get(letter, (pose.palm, pose.pointing))
    palms, points = np.repeat(palm[None], frames, axis=0), np.repeat(pointing[None], frames, axis=0)
    position = np.repeat(place[None], frames, axis=0)
    if moving:
        at = np.linspace(0, len(pose.path) - 1, frames)
        knots = np.arange(len(pose.path))
        size = HAND_LENGTH * float(rng.uniform(0.8, 1.2))
        position = position + size * np.stack([np.interp(at, knots, pose.path[:, k]) for k in range(3)], axis=1)
        if len(pose.turn):
            turn = np.stack([[np.interp(at, knots, pose.turn[:, d, k]) for k in range(3)] for d in range(2)])
            palms, points = unit_vectors(turn[0].T), unit_vectors(turn[1].T)
    return Unit(
        np.stack([joints, joints], 1), np.stack([position, position], 1).astype(np.float32),
        np.stack([palms, palms], 1), np.stack([points, points], 1), False,
    )  # fmt: skip


def _gap(before: Unit, after: Unit, route: int, rng: np.random.Generator) -> int:
    """Frames of a transition: two between letters, else by distance."""
    way = float(np.linalg.norm(after.position[0, 0] - before.position[-1, 0]))
    if route == FINGERSPELLING and way < 0.2:
        return 2
    return int(np.clip(round(2.5 + way / 0.16 + rng.normal(0, 0.5)), 3, 9))


def _motion(pieces: list[_Piece], frames: int, style: _Style, rng: np.random.Generator, sentence: Sentence) -> Motion:
    hands = [_hand(pieces, frames, side) for side in (0, 1)]
    joints, position, palm, pointing = (np.stack([hand[k] for hand in hands], axis=1) for k in range(4))
    sway = _wander(frames, rng, 0.012, 3)
    position = reach((position + sway[:, None]).astype(np.float32))
    joints = joints + style.fingers + rng.normal(0, 0.02, joints.shape)
    palm, pointing = unit_vectors(palm + style.tilt[0]), unit_vectors(pointing + style.tilt[1])
    blink = np.zeros(frames, np.float32)
    for start in rng.integers(0, frames, max(1, frames // 70)):
        blink[start : start + 3] = (0.6, 1.0, 0.5)[: max(0, min(3, frames - start))]
    raised = -0.8 if QUESTIONS & set(sentence.tokens) else (0.9 if sentence.english.endswith("?") else 0.0)
    brows = np.full(frames, raised, np.float32) + _wander(frames, rng, 0.1, 1)[:, 0]
    return Motion(joints.astype(np.float32), position, palm, pointing, np.zeros((frames, 4), np.float32),
                  _wander(frames, rng, 0.05, 3).astype(np.float32), brows.astype(np.float32), blink)  # fmt: skip


def _wander(frames: int, rng: np.random.Generator, size: float, channels: int) -> FloatArray:
    knots = max(3, frames // 12 + 2)
    at = np.linspace(0, knots - 1, frames)
    return np.stack([np.interp(at, np.arange(knots), rng.normal(0, size, knots)) for _ in range(channels)], axis=1)


_Key = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def _hand(pieces: list[_Piece], frames: int, side: int) -> _Key:
    """Joints, position, palm and pointing of one hand over all frames; where no sign needs it, it moves between or rests."""
    x = 1.0 if side else -1.0
    rest: _Key = (HANDSHAPES["rest"], np.array(ANATOMY["left_rest" if side else "right_rest"], np.float32),
                  np.array([-x, 0.0, -0.2], np.float32), np.array([-0.15 * x, -1.0, 0.15], np.float32))  # fmt: skip
    tracks = [np.repeat(np.asarray(value)[None], frames, axis=0).astype(np.float32) for value in rest]
    previous_end, previous = 0, rest
    for piece in pieces:
        if side and not piece.unit.two_handed:
            continue
        unit, end = piece.unit, piece.start + len(piece.unit)
        values = (unit.joints[:, side], unit.position[:, side], unit.palm[:, side], unit.pointing[:, side])
        _join(
            tracks, previous_end, piece.start, previous, (values[0][0], values[1][0], values[2][0], values[3][0]), rest
        )
        for track, value in zip(tracks, values, strict=True):
            track[piece.start : end] = value
        previous_end, previous = end, (values[0][-1], values[1][-1], values[2][-1], values[3][-1])
    _join(tracks, previous_end, frames, previous, rest, rest)
    return tracks[0], tracks[1], tracks[2], tracks[3]


def _join(tracks: list[FloatArray], start: int, end: int, first: _Key, last: _Key, rest: _Key) -> None:
    """Fills frames start..end from pose `first` to `last`: straight, or by way of rest when there is time for it."""
    if end - start > 2 * SINK_FRAMES + 4 or (first is rest) or (last is rest):
        lift = min(9, end - start)
        sink = min(SINK_FRAMES, max(0, end - start))
        if last is not rest:
            _blend(tracks, end - lift, end, rest, last)
        if first is not rest:
            _blend(tracks, start, start + sink, first, rest)
        return
    _blend(tracks, start, end, first, last)


def _blend(tracks: list[FloatArray], start: int, end: int, first: _Key, last: _Key) -> None:
    steps = end - start
    if steps <= 0:
        return
    share = ease(np.arange(1, steps + 1, dtype=np.float32) / (steps + 1))
    for index, track in enumerate(tracks):
        a, b = np.asarray(first[index]), np.asarray(last[index])
        weight = share.reshape(-1, *([1] * a.ndim))
        mixed = a * (1 - weight) + b * weight
        if index == 1:
            mixed = mixed + (0.06 * np.sin(np.pi * share))[:, None] * np.array([0, -0.3, 1.0], np.float32)
        track[start:end] = unit_vectors(mixed + 1e-4) if index >= 2 else mixed


def _spoken(pieces: list[_Piece], rng: np.random.Generator) -> list[tuple[str, float, float]]:
    """Phonemes with frames: a word lasts as long as its sign (or its spelled letters), shifted against it."""
    found: list[tuple[str, float, float]] = []
    for index, piece in enumerate(pieces):
        phonemes = pronounce(piece.spoken) if piece.spoken else []
        if not phonemes:
            continue
        end = piece.start + len(piece.unit)
        for later in pieces[index + 1 :]:
            if piece.route != FINGERSPELLING or later.route != FINGERSPELLING or later.spoken:
                break
            end = later.start + len(later.unit)
        length = max(end - piece.start, 2.0 * len(phonemes))
        start = piece.start + float(rng.uniform(-LIPS_SHIFT_FRAMES, LIPS_SHIFT_FRAMES))
        start = max(start, found[-1][2] if found else 0.0)
        each = length / len(phonemes)
        found.extend((p, start + k * each, start + (k + 1) * each) for k, p in enumerate(phonemes))
    return found


def _spans(pieces: list[_Piece], route: int) -> tuple[Span, ...]:
    return tuple(Span(p.text, _ms(p.start), _ms(p.start + len(p.unit))) for p in pieces if p.route == route)


def _routes(pieces: list[_Piece], frames: int) -> NDArray[np.int8]:
    """A transition belongs half to either side; lifting the hand belongs to what follows but for its first frames."""
    routes = np.full(frames, REST, np.int8)
    before_end: int | None = None
    for piece in pieces:
        start = piece.start - 4 if before_end is None else (before_end + piece.start + 1) // 2
        if before_end is not None:
            routes[before_end:start] = routes[before_end - 1]
        routes[start : piece.start + len(piece.unit)] = piece.route
        before_end = piece.start + len(piece.unit)
    if before_end is not None:
        routes[before_end : before_end + 2] = routes[before_end - 1]
    return routes
