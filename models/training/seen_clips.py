"""Drawn clips as the live path sees them: crops of hands and mouth, geometry, and the truth of every frame.

Rendering is the costly part of a recipe, so a clip is drawn once, seen by the locator that will be used live, its boxes
smoothed as live, and its crops kept: the locator's errors are part of what the encoders and the experts learn from.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models import crops
from models.backends import Backend
from models.canvas import SMALL_HEIGHT, SMALL_WIDTH, shrink
from models.checkpoint import EIGHT_BITS, load
from models.clock import FRAME_RATE_HZ, HEIGHT, WIDTH
from models.layout import GEOMETRY
from models.locate import PARTS, Boxes, BoxSmoother, Locator, PeakLocator
from models.synthetic import corpus, lexicon
from models.synthetic.renderer import Renderer
from models.synthetic.sentences import Sentence, real_sentences
from models.training.loop import RUNS
from models.vocabulary import ROUTES, Vocabulary

CLIPS, HELD_OUT_CLIPS = RUNS / "clips", RUNS / "clips_held_out"
FIRST_HELD_OUT_SEED = 1_500_000
"""Validation signers: apart from training (below a million) and from `signbind evaluate synthetic` (from a million)."""
REAL_SHARE = 0.25  # of the sentences drawn, where real English is at hand
PRACTICE_SHARE, PRACTICE = 0.25, 11  # of the clips to learn from: signs in a row, which gives rare ones their turn
SPELLING_SHARE = 0.15  # of the clips to learn from: spelled words between signs
MOUTH_MARGIN, MOUTH_SIDE = 1.8, 60  # the generous mouth pictures that the lips recipe cuts its own crops from
NEAR = 0.5  # a box shows the hand whose true centre is within this many of its sides
POSE = 26  # palm (3), pointing (3), joint angles (5 fingers x 4)
FINER_SIDE = 128  # of crops of spelling hands, for the closer look
SPELLING, AROUND = ROUTES.index("fingerspelling"), 3  # such crops are kept of so many steps around spelling, too
GUARD = 0.15  # of a sign at either edge, which moves into its neighbours

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
Span = tuple[str, int, int]


@dataclass(frozen=True)
class SeenClip:
    """One clip of T frames. What was not seen is zero; `pose` is NaN where no true hand is near the box.

    hands (T, 2, 64, 64, 3) RGB, left ones mirrored; lips (T, 40, 40) grey; seen (T, 3) bool of right hand, left hand, mouth;
    geometry (T, 24); pose (T, 2, 26) of the hands as their crops show them; mouths (T, 60, 60) grey around the true mouth;
    boxes (T, 4, 3) true boxes in the order of `PARTS`, NaN where absent; routes (T,); spans (text, start_ms, end_ms);
    finer (K, 128, 128, 3) the same crops in more pixels, of hands that spell, and finer_at (K, 2) their steps and sides.
    """

    hands: Picture
    lips: Picture
    seen: NDArray[np.bool_]
    geometry: Floats
    pose: Floats
    mouths: Picture
    boxes: Floats
    routes: NDArray[np.int8]
    glosses: list[Span]
    letters: list[Span]
    phonemes: list[Span]
    english: str
    finer: Picture
    finer_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.routes)

    def closely(self, steps: NDArray[np.intp], sides: NDArray[np.intp]) -> Picture:
        """Fine crops (N, 128, 128, 3) of hands: those that were kept, of others the small crops enlarged."""
        kept = {(step, side): piece for (step, side), piece in zip(self.finer_at.tolist(), self.finer, strict=True)}
        size = (FINER_SIDE, FINER_SIDE)
        found = [
            kept[at] if (at := (int(step), int(side))) in kept else cv2.resize(self.hands[at], size)
            for step, side in zip(steps, sides, strict=True)
        ]
        return np.asarray(found, np.uint8).reshape(-1, *size, 3)


class Finder(Protocol):
    """What finds boxes: a `Locator`, or the same as it is served."""

    def find(self, frames: Sequence[Picture]) -> list[Boxes]: ...


class ServedLocator:
    """A checkpoint's locator as the live path runs it on a processor."""

    def __init__(self, checkpoint: Path) -> None:
        locator = load(Locator, checkpoint, "locate")
        picture = np.zeros((1, SMALL_HEIGHT, SMALL_WIDTH, 3), np.uint8)
        self._boxes = locator.boxes
        self._peaks = Backend().network(PeakLocator(locator), picture, checkpoint / f"locate{EIGHT_BITS}")

    def find(self, frames: Sequence[Picture]) -> list[Boxes]:
        """Boxes of every frame, not smoothed."""
        peaks = self._peaks(np.stack([shrink(frame) for frame in frames]))
        return [self._boxes(parts) for parts in peaks.tolist()]


def see(clip: corpus.Clip, locator: Finder) -> SeenClip:
    """Draws a clip and looks at it as the live path does."""
    renderer, script = Renderer(clip.signer), clip.script
    frames = [renderer.render(script.motion, t) for t in range(len(script.routes))]
    true = [renderer.boxes(script.motion, t) for t in range(len(frames))]
    smoother = BoxSmoother()
    found = [smoother(boxes) for boxes in locator.find(frames)]
    facing = np.concatenate([renderer.turned(script.motion.palm), renderer.turned(script.motion.pointing)], -1)
    truth = np.concatenate([facing, script.motion.joints.reshape(len(frames), 2, 20)], -1)
    hands, lips, seen = _crops(frames, found)
    absent = (float("nan"),) * 3
    routes = np.asarray(script.routes, np.int8)
    return SeenClip(
        hands, lips, seen, _geometry(found), _poses(found, true, truth),
        np.stack([_generous_mouth(frame, boxes) for frame, boxes in zip(frames, true, strict=True)]),
        np.asarray([[boxes.get(part) or absent for part in PARTS] for boxes in true], np.float32),
        routes, _spans(script.glosses), _spans(script.letters), _spans(script.phonemes), script.sentence.english,
        *_finer(frames, found, routes),
    )  # fmt: skip


def _finer(
    frames: Sequence[Picture], found: Sequence[Boxes], routes: NDArray[np.int8]
) -> tuple[Picture, NDArray[np.int64]]:
    """Crops of the raised hand around steps that spell."""
    near = np.convolve(routes == SPELLING, np.ones(2 * AROUND + 1), "same") > 0
    at: list[tuple[int, int]] = []
    for step in np.flatnonzero(near).tolist():
        boxes = {side: box for side, name in enumerate(crops.HANDS) if (box := found[step].get(name)) is not None}
        if boxes:
            at.append((step, min(boxes, key=lambda side: boxes[side][1])))
    pieces = np.zeros((len(at), FINER_SIDE, FINER_SIDE, 3), np.uint8)
    for place, (step, side) in zip(pieces, at, strict=True):
        box = found[step][crops.HANDS[side]]
        assert box is not None, (step, side)
        crops.hands(frames[step], [(box, side == 1)], place[None])
    return pieces, np.array(at, np.int64).reshape(-1, 2)


def _crops(frames: Sequence[Picture], found: Sequence[Boxes]) -> tuple[Picture, Picture, NDArray[np.bool_]]:
    hands = np.zeros((len(frames), 2, crops.HAND_SIDE, crops.HAND_SIDE, 3), np.uint8)
    lips = np.zeros((len(frames), crops.MOUTH_SIDE, crops.MOUTH_SIDE), np.uint8)
    seen = np.zeros((len(frames), 3), bool)
    for step, (frame, boxes) in enumerate(zip(frames, found, strict=True)):
        for side, name in enumerate(crops.HANDS):
            if (box := boxes.get(name)) is not None:
                hands[step, side], seen[step, side] = crops.hand(frame, box, left=side == 1), True
        if (box := boxes.get("mouth")) is not None:
            lips[step], seen[step, 2] = crops.mouth(frame, box), True
    return hands, lips, seen


def _geometry(found: Sequence[Boxes]) -> Floats:
    before: list[Boxes | None] = [None, *found[:-1]]
    rows = [crops.geometry(boxes, previous) for boxes, previous in zip(found, before, strict=True)]
    return np.stack(rows) if rows else np.zeros((0, GEOMETRY), np.float32)


def _poses(found: Sequence[Boxes], true: Sequence[Boxes], truth: Floats) -> Floats:
    """Of every crop the pose of the hand that it shows; a crop of the left side is mirrored, and its pose with it."""
    poses = np.full((len(found), 2, POSE), np.nan, np.float32)
    mirror = np.ones(POSE, np.float32)
    mirror[[0, 3]] = -1
    for step, (boxes, real) in enumerate(zip(found, true, strict=True)):
        for side, name in enumerate(crops.HANDS):
            shown = _shown_hand(boxes.get(name), real)
            if shown is not None:
                poses[step, side] = truth[step, shown] * (mirror if side == 1 else 1)
    return poses


def _shown_hand(box: tuple[float, float, float] | None, real: Boxes) -> int | None:
    """0 for the right hand, 1 for the left: whichever true centre is nearest to the box, if it is near at all."""
    if box is None:
        return None
    away = {
        side: float(np.hypot((hand[0] - box[0]) * WIDTH / HEIGHT, hand[1] - box[1]))
        for side, name in enumerate(crops.HANDS)
        if (hand := real.get(name)) is not None
    }
    nearest = min(away, key=lambda side: away[side], default=None)
    return nearest if nearest is not None and away[nearest] < NEAR * box[2] else None


def _generous_mouth(frame: Picture, boxes: Boxes) -> Picture:
    box = boxes.get("mouth")
    if box is None:
        return np.full((MOUTH_SIDE, MOUTH_SIDE), 128, np.uint8)
    cut = crops.crop(frame, box, MOUTH_SIDE, MOUTH_MARGIN)
    return np.asarray(cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY), np.uint8)


def _spans(spans: Iterable[object]) -> list[Span]:
    return [(str(s.text), round(s.start_ms), round(s.end_ms)) for s in spans]  # type: ignore[attr-defined]


def save(clip: SeenClip, path: Path) -> None:
    """Writes the clip as one npz, first beside its place, then renamed."""
    spans = {"glosses": clip.glosses, "letters": clip.letters, "phonemes": clip.phonemes}
    text = json.dumps({**spans, "english": clip.english})
    beside = path.with_name(f".{path.name}")
    np.savez(
        beside, hands=clip.hands, lips=clip.lips, seen=clip.seen, geometry=clip.geometry,
        pose=clip.pose.astype(np.float16), mouths=clip.mouths, boxes=clip.boxes, routes=clip.routes,
        text=np.array(text), finer=clip.finer, finer_at=clip.finer_at,
    )  # fmt: skip
    beside.rename(path)


def read(path: Path) -> SeenClip:
    """Reads one clip back."""
    with np.load(path) as held:
        text = json.loads(str(held["text"]))
        spans = {key: [(s[0], s[1], s[2]) for s in text[key]] for key in ("glosses", "letters", "phonemes")}
        return SeenClip(
            held["hands"], held["lips"], held["seen"], held["geometry"], held["pose"].astype(np.float32),
            held["mouths"], held["boxes"], held["routes"], spans["glosses"], spans["letters"], spans["phonemes"],
            text["english"], held["finer"], held["finer_at"],
        )  # fmt: skip


def kept(folder: Path) -> list[Path]:
    """The clips that lie in a folder, by their seeds."""
    return sorted(folder.glob("[0-9]*.npz"), key=lambda path: int(path.stem))


def draw(
    folder: Path, seeds: Iterable[int], checkpoint: Path, pool: ProcessPoolExecutor, *, data: Path | None = None,
    held_out: bool = False,
) -> list[Future[int]]:  # fmt: skip
    """Sets the pool to draw the clips that are not there yet; each result is a clip's number of frames.

    `data`: a folder whose text/how2sign.train.tsv gives real sentences for a part of the clips.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not (folder / f"{seed}.npz").exists()]
    return [pool.submit(draw_here, folder, seed, checkpoint, data, held_out) for seed in missing]


def draw_here(folder: Path, seed: int, checkpoint: Path, data: Path | None = None, held_out: bool = False) -> int:
    """Draws one clip in this process; returns its number of frames."""
    folder.mkdir(parents=True, exist_ok=True)
    real = _real(data) if data is not None else None
    sentence = None if held_out else _practised(seed, checkpoint)
    clip = corpus.clip(seed, sentence, held_out=held_out, real=real, real_share=REAL_SHARE, hard=not held_out)
    seen = see(clip, _locator(checkpoint))
    save(seen, folder / f"{seed}.npz")
    return len(seen)


def _practised(seed: int, checkpoint: Path) -> Sentence | None:
    """What the clip of `seed` practises; nothing in most."""
    rng = np.random.default_rng((seed, PRACTICE))
    kind = rng.random()
    if kind < PRACTICE_SHARE:
        return corpus.practice(rng, _unknown(checkpoint))
    return corpus.spelling_practice(rng) if kind < PRACTICE_SHARE + SPELLING_SHARE else None


@functools.lru_cache(maxsize=1)
def _locator(checkpoint: Path) -> ServedLocator:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return ServedLocator(checkpoint)


@functools.lru_cache(maxsize=1)
def _unknown(checkpoint: Path) -> tuple[str, ...]:
    """The lexicon's glosses that a checkpoint does not know yet; none where it knows nothing at all."""
    told = checkpoint / "glosses.txt"
    known = Vocabulary.read(told).ids if told.is_file() else lexicon.load().signs
    return tuple(gloss for gloss in lexicon.load().glosses if gloss not in known)


@functools.lru_cache(maxsize=1)
def _real(data: Path) -> list[Sentence]:
    return real_sentences(data / "text" / "how2sign.train.tsv", longest=9)


def frame_symbols(clip: SeenClip) -> list[str]:
    """The joint symbol of every step: "NAME", "#M", "" (blank), or "?" near a sign's edge (`GUARD`): not trained."""
    symbols = [""] * len(clip)
    for prefix, spans in (("", clip.glosses), ("#", clip.letters)):
        for text, start_ms, end_ms in spans:
            start, end = (round(ms * FRAME_RATE_HZ / 1000) for ms in (start_ms, end_ms))
            edge = int((end - start) * GUARD) if not prefix else 0
            for step in range(max(0, start), min(len(symbols), max(end, start + 1))):
                inside = start + edge <= step < end - edge or end - start <= 2
                symbols[step] = prefix + text if inside else "?"
    return symbols
