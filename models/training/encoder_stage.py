"""Trains the hand encoder: letters and digits of real photographs, hand or not, and the drawn hands' shape and direction."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.features import HAND_SIZE, LETTERS, SYMBOLS, HandEncoder, HandEncoderConfig
from models.training.drawn_hands import DRAWN_TARGETS, DrawnHands
from models.training.loop import RUNS, Run, Schedule, learn
from models.training.photographs import (
    DIGITS,
    Changes,
    Photographs,
    place,
    read_digits,
    read_letters,
    read_patches,
    relight,
)
from models.training.splits import TRAINING_SOURCES

SOURCE_SHARES = {"davidlee": 0.36, "massey5": 0.26, "t32rahman": 0.14, "zarakiliz": 0.12, DIGITS: 0.14}
SHAPES = 64  # places for handshape names in the drawn hands' head
NONE = -1
PHOTOGRAPHS, PATCHES, DRAWN = 56, 8, 40  # of one batch
MIXED_SHARE = 0.25  # of the batches
MIXED_BETA = 0.3


class HandTasks(nn.Module):
    """The encoder with the heads that only training needs."""

    def __init__(self, encoder: HandEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.width
        self.is_hand = nn.Linear(width, 1)
        self.shape = nn.Linear(width, SHAPES)
        self.pose = nn.Linear(width, DRAWN_TARGETS)


@dataclass(frozen=True)
class HandBatch:
    """`crops` (N, 64, 64, 3) uint8; `symbols` (N,) and `shapes` (N,) are -1 where not known; `is_hand` (N,) 0 or 1;
    `pose` (N, 26) = palm, pointing, joint angles, for the drawn hands, NaN elsewhere; the first `mixable` are photographs."""

    crops: Tensor
    symbols: Tensor
    is_hand: Tensor
    shapes: Tensor
    pose: Tensor
    mixable: int


class HandBatches:
    """Endless batches, balanced over sources, and in each over classes."""

    def __init__(self, data: Path, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        sources = {name: read_letters(data / "letters", name) for name in TRAINING_SOURCES}
        sources[DIGITS] = read_digits(data)
        self.sources = {name: (photographs, _by_class(photographs)) for name, photographs in sources.items()}
        shares = np.array([SOURCE_SHARES[name] for name in self.sources])
        self.shares = shares / shares.sum()
        self.empty, self.hands = read_patches(data, self.rng)
        self.drawn = DrawnHands()
        self.changes = Changes()

    def __iter__(self) -> Iterator[HandBatch]:
        while True:
            yield self._batch()

    def _batch(self) -> HandBatch:
        drawn = DRAWN
        total = PHOTOGRAPHS + PATCHES + drawn
        crops = np.empty((total, HAND_SIZE, HAND_SIZE, 3), np.uint8)
        symbols, shapes = np.full(total, NONE, np.int64), np.full(total, NONE, np.int64)
        is_hand = np.ones(total, np.float32)
        pose = np.full((total, DRAWN_TARGETS), np.nan, np.float32)
        for i in range(PHOTOGRAPHS):
            crops[i], symbols[i] = self._photograph()
        for i in range(PHOTOGRAPHS, PHOTOGRAPHS + PATCHES):
            crops[i], is_hand[i] = self._patch()
        for i in range(PHOTOGRAPHS + PATCHES, total):
            hand = self.drawn.draw(self.rng)
            crops[i] = relight(hand.crop, self.rng)
            symbols[i], shapes[i], pose[i] = hand.symbol, hand.shape, hand.pose
        pixels, numbers, hands = torch.from_numpy(crops), torch.from_numpy(symbols), torch.from_numpy(is_hand)
        return HandBatch(pixels, numbers, hands, torch.from_numpy(shapes), torch.from_numpy(pose), PHOTOGRAPHS)

    def _photograph(self) -> tuple[NDArray[np.uint8], int]:
        name = list(self.sources)[self.rng.choice(len(self.shares), p=self.shares)]
        photographs, classes = self.sources[name]
        members = classes[self.rng.integers(len(classes))]
        number = int(self.rng.choice(members))
        background = self._background()
        placed = place(photographs.pictures[number], photographs.opaque[number], background, self.rng, self.changes)
        return relight(placed, self.rng), int(photographs.symbols[number])

    def _background(self) -> NDArray[np.uint8]:
        patch: NDArray[np.uint8] = self.empty[self.rng.integers(len(self.empty))]
        return patch[:: int(self.rng.choice([1, -1])), :: int(self.rng.choice([1, -1]))]

    def _patch(self) -> tuple[NDArray[np.uint8], float]:
        is_hand = self.rng.random() < 0.4
        pool = self.hands if is_hand else self.empty
        patch = pool[self.rng.integers(len(pool))]
        opaque = np.full(patch.shape[:2], 255, np.uint8)
        changes = Changes(smallest=0.8, largest=1.15, background=0.0)
        return relight(place(patch, opaque, patch, self.rng, changes), self.rng), float(is_hand)


def _by_class(photographs: Photographs) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(photographs.symbols == symbol) for symbol in np.unique(photographs.symbols)]


def hand_loss(tasks: nn.Module, batch: HandBatch) -> tuple[Tensor, dict[str, float]]:
    """Sum of the tasks' losses; photographs are mixed among themselves in some batches (mixup, Zhang et al. 2018)."""
    assert isinstance(tasks, HandTasks)
    pictures = batch.crops.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
    kept, partners = 1.0, torch.arange(len(pictures))
    if torch.rand(()) < MIXED_SHARE:
        kept = float(np.random.default_rng(int(torch.randint(2**31, ()))).beta(MIXED_BETA, MIXED_BETA))
        partners[: batch.mixable] = torch.randperm(batch.mixable)
        pictures = kept * pictures + (1 - kept) * pictures[partners]
    embedding = tasks.encoder.embed(pictures)
    dropped = tasks.encoder.dropout(embedding)
    scores = tasks.encoder.symbols(dropped)
    symbols = kept * symbol_loss(scores, batch.symbols)
    if kept < 1:
        symbols = symbols + (1 - kept) * symbol_loss(scores, batch.symbols[partners])
    hand = F.binary_cross_entropy_with_logits(tasks.is_hand(dropped)[:, 0], batch.is_hand)
    figures = {"symbols": symbols.item(), "hand": hand.item()}
    total = symbols + 0.3 * hand
    known = batch.shapes >= 0
    if known.any():
        shape = F.cross_entropy(tasks.shape(dropped[known]), batch.shapes[known], label_smoothing=0.1)
        pose = (tasks.pose(embedding[known]) - batch.pose[known]).square().mean()
        figures |= {"shape": shape.item(), "pose": pose.item()}
        total = total + 0.3 * shape + pose
    if kept == 1:
        figures["right"] = (
            (family_scores(scores, batch.symbols).argmax(1) == batch.symbols)[batch.symbols >= 0].float().mean().item()
        )
    return total, figures


def family_scores(scores: Tensor, symbols: Tensor) -> Tensor:
    """Scores with the other family barred: a letter competes with letters, a digit with digits (0 looks like O)."""
    is_digit = (symbols >= LETTERS)[:, None]
    digit_place = (torch.arange(SYMBOLS) >= LETTERS)[None]
    return scores.masked_fill(is_digit != digit_place, -1e4)


def symbol_loss(scores: Tensor, symbols: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross entropy in the symbol's family, the truth smoothed within it; rows of -1 do not count."""
    known = symbols >= 0
    log_probs = family_scores(scores[known], symbols[known]).log_softmax(1)
    truth = symbols[known]
    allowed = (torch.arange(SYMBOLS)[None] >= LETTERS) == (truth >= LETTERS)[:, None]
    right = log_probs.gather(1, truth[:, None])[:, 0]
    even = (log_probs * allowed).sum(1) / allowed.sum(1)
    return -((1 - smoothing) * right + smoothing * even).sum() / max(1, len(truth))


def train(data: Path, out: Path, *, minutes: float, seed: int = 0, name: str = "hand_encoder") -> dict[str, float]:
    """Trains, or goes on, for `minutes` in all; saves hand_encoder to `out`; returns the held-out sources' accuracy."""
    from models.checkpoint import save
    from models.evaluation.letters import evaluate_encoder

    torch.manual_seed(seed)
    tasks = HandTasks(HandEncoder(HandEncoderConfig()))
    run = Run(name, tasks, seed, RUNS)
    batches = HandBatches(data, seed + run.steps)
    best = learn(
        run, Schedule(minutes, learning_rate=1.3e-3), iter(batches), hand_loss, log=lambda line: print(line, flush=True)
    )
    assert isinstance(best, HandTasks)
    save(best.encoder, best.encoder.config, out, "hand_encoder")
    return evaluate_encoder(best.encoder, data / "letters", ["mariia"])
