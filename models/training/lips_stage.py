"""Trains the mouth encoder and the lips expert together, on GRID and on the drawn signer's mouths."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.checkpoint import load, save
from models.config import ExpertConfig
from models.error_rate import ErrorRate
from models.experts import Expert, ExpertOutput
from models.layout import MOUTH
from models.lips import MouthEncoder, MouthEncoderConfig
from models.streaming import Window
from models.training.boxes import TEACHER
from models.training.expert_loss import ctc, padding_mask, read
from models.training.grid import grid_clips
from models.training.lips_clips import VOCABULARY, DrawnFolder, MouthClip, crops_between, read_grid
from models.training.lips_looks import IGNORED, KeptLooks, Looks, MouthBatch, Store
from models.training.lips_takes import WORDS, Sentences, Speeches, joined, played
from models.training.loop import RUNS, Run, Schedule, best_device, device_of, learn
from models.vocabulary import BLANK

NAME = "lips"
KEPT_BACK = 16  # of so many drawn clips one is not trained on
DRAWN_MEASURED = 30


@dataclass(frozen=True)
class Recipe:
    """What a batch is made of, and how it is learned."""

    clips: int = 64  # a batch
    drawn_share: float = 0.3
    mixing: float = 0.6  # share of the takes in which words of other clips follow
    rescan_s: float = 60.0  # between looks for newly drawn clips
    learning_rate: float = 2e-3
    weight_decay: float = 0.08
    framewise_first: float = 1.0  # weight of the framewise losses, at the start and from two thirds on
    framewise_last: float = 0.1
    timed: float = 0.5  # weight of the framewise loss on the CTC posteriors themselves: say it when it is seen
    hush: float = 0.5  # weight of the loss on what is said before the lips have moved
    frozen: bool = False  # the encoder stays as it is and has seen every crop before: only the expert learns


class Lipreader(nn.Module):
    """Encoder and expert, with heads that only training has: framewise phonemes of embeddings and of hidden states,
    framewise words of hidden states."""

    def __init__(self, encoder: MouthEncoderConfig, expert: ExpertConfig, words: int) -> None:
        super().__init__()
        self.encoder, self.expert = MouthEncoder(encoder), Expert(expert)
        self.near = nn.Conv1d(encoder.width, expert.vocabulary, 5, padding=2)
        self.far = nn.Linear(expert.dim, expert.vocabulary)
        self.words = nn.Linear(expert.dim, words + 1)

    def embed(self, batch: MouthBatch) -> Tensor:
        """Embeddings (B, T, 96), zero on padding and where the mouth is not seen."""
        plain = batch.crops.ndim == 4  # else embeddings that were kept
        embeddings = (self.encoder.embed(batch.crops) if plain else batch.crops)[: len(batch.rows)]
        features = embeddings.new_zeros(*batch.phonemes.shape, embeddings.shape[-1])
        return features.index_put((batch.rows, batch.steps), embeddings) * batch.seen

    def read(self, features: Tensor, lengths: Tensor, window: Window | None = None) -> ExpertOutput:
        """The expert on padded embeddings."""
        output: ExpertOutput = self.expert(features, padding_mask(lengths, features.shape[1]), window)
        return output


def lips_configs() -> tuple[MouthEncoderConfig, ExpertConfig]:
    """The compact preset's lips."""
    encoder = MouthEncoderConfig(stem=24, channels=(48, 96, 128), blocks=(1, 1, 1), dropout=0.2)
    return encoder, ExpertConfig(in_features=MOUTH, vocabulary=VOCABULARY.size, layers=4, dropout=0.15)


@dataclass
class LipsLoss:
    """CTC, and framewise cross entropy that fades: it pulls CTC off its plateau of blanks, but its times are coarse."""

    run: Run
    recipe: Recipe
    minutes: float
    rng: random.Random

    def __call__(self, model: nn.Module, batch: MouthBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        assert isinstance(model, Lipreader)
        features = model.embed(batch).float()
        with torch.autocast(features.device.type, enabled=False):  # half precision is for pictures: the rest is small
            output = model.read(features, batch.lengths, Window.draw(self.rng))
            ctc_loss = ctc(output.log_probs, batch.lengths, batch.targets)
            near = framewise(model.near(features.transpose(1, 2)).transpose(1, 2), batch.phonemes)
            far = framewise(model.far(output.hidden), batch.phonemes)
            words = framewise(model.words(output.hidden), batch.words)
            timed, early = framewise(output.log_probs, batch.phonemes), hush(output.log_probs, batch.phonemes)
        loss = ctc_loss + self.weight() * (near + far + words) / 3
        loss = loss + self.recipe.timed * timed + self.recipe.hush * early
        figures = {"ctc": ctc_loss, "near": near, "far": far, "words": words, "timed": timed, "early": early}
        return loss, {name: value.detach() for name, value in figures.items()}

    def weight(self) -> float:
        """Of the framewise losses now: falls in a line until two thirds of the time are spent."""
        progress = min(1.0, self.run.spent_s / (60 * self.minutes) * 1.5)
        return self.recipe.framewise_first + progress * (self.recipe.framewise_last - self.recipe.framewise_first)


def framewise(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of scores (B, T, V) against ids (B, T); nothing where all ids are -100."""
    total = cross_entropy(
        scores.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=0.1, reduction="sum"
    )
    return total / (labels != IGNORED).sum().clamp(min=1)


def hush(log_probs: Tensor, phonemes: Tensor) -> Tensor:
    """Mean -log P(blank) of (B, T, V) over the silence before the first phoneme of each row (labels (B, T), 0 = silent).

    CTC alone does not care when a symbol comes: where sentences are few it says their likeliest beginning at once, before
    the lips have moved, and then can't take it back.
    """
    silent = (phonemes == BLANK) & ((phonemes > BLANK).cumsum(dim=1) == 0)
    return -(log_probs[..., BLANK] * silent).sum() / silent.sum().clamp(min=1)


class Mouths:
    """Endless batches of GRID's takes and drawn ones, all on one device; drawn clips may come while it runs."""

    def __init__(
        self, real: Sequence[MouthClip], drawn: DrawnFolder, recipe: Recipe, device: torch.device, seed: int,
        frozen: MouthEncoder | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.drawn, self.rng = recipe, drawn, np.random.default_rng(seed)
        clips = [clip for clip in real if len(clip.words) == WORDS]
        if not clips:
            raise ValueError(f"lips learn from sentences of {WORDS} words, but got none: give GRID's clips")
        self.vocabulary = sorted({word.text for clip in clips for word in clip.words})
        self.store = Store.empty(device)
        self.looks = Looks(self.store, seed) if frozen is None else KeptLooks(self.store, seed, frozen)
        self.sentences = Sentences(clips, self.store.add(clips, self.vocabulary))
        self.speeches, self.unseen = Speeches([], []), list[MouthClip]()
        self.order: list[int] = []
        self.scanned_s = -float("inf")

    def __iter__(self) -> Iterator[MouthBatch]:
        while True:
            self._scan()
            count = round(self.recipe.clips * self.recipe.drawn_share) if self.speeches.clips else 0
            pieces = self.sentences.draw(self._chosen(self.recipe.clips - count), self.rng, self.recipe.mixing)
            if count:
                pieces = joined(pieces, self.speeches.draw(count, self.rng))
            yield self.looks.batch(played(pieces, self.rng))

    def _chosen(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The next clips of an order in which each comes once before any comes again."""
        while len(self.order) < count:
            self.order += self.rng.permutation(self.sentences.count).tolist()
        chosen, self.order = self.order[:count], self.order[count:]
        return np.array(chosen, np.int64)

    def _scan(self) -> None:
        if time.monotonic() - self.scanned_s < self.recipe.rescan_s:
            return
        drawn = self.drawn.new()
        self.unseen += drawn[::KEPT_BACK]
        new = [clip for row, clip in enumerate(drawn) if row % KEPT_BACK]
        starts = self.store.add(new)
        self.speeches = Speeches([*self.speeches.clips, *new], [*self.speeches.starts, *starts])
        self.scanned_s = time.monotonic()
        if new:
            print(f"{NAME}: {len(new)} drawn clips more, now {len(self.speeches.clips)}", flush=True)


@torch.no_grad()
def phoneme_error_rate(model: Lipreader, clips: Sequence[MouthClip], together: int = 15) -> float:
    """Greedy decoding of whole clips whose crops lie as the clips have them: edits a phoneme."""
    rate, device = ErrorRate(), device_of(model)
    for start in range(0, len(clips), together):
        some = clips[start : start + together]
        lengths = [len(clip.pictures) for clip in some]
        crops = torch.from_numpy(np.concatenate([crops_between(clip.pictures) for clip in some])).to(device)
        features = nn.utils.rnn.pad_sequence(list(model.encoder(crops).split(lengths)), batch_first=True)
        steps = torch.tensor(lengths, device=device)
        targets = [[phoneme[0] for phoneme in clip.phonemes] for clip in some]
        read(rate, model.read(features, steps).log_probs, steps, targets)
    return rate.value


@dataclass
class Watch:
    """Keeps the averaged weights and says how well they read clips that are not trained on, of GRID and drawn."""

    out: Path
    held_out: Sequence[MouthClip]
    drawn: Sequence[MouthClip]
    rates: dict[str, float] = field(default_factory=dict)

    def __call__(self, run: Run) -> None:
        model = run.average.eval()
        assert isinstance(model, Lipreader)
        save(model.encoder, model.encoder.config, self.out, "mouth_encoder")
        save(model.expert, model.expert.config, self.out, "lips")
        self.rates["grid_phoneme_error_rate"] = phoneme_error_rate(model, self.held_out)
        if self.drawn:
            self.rates["drawn_phoneme_error_rate"] = phoneme_error_rate(model, self.drawn[:DRAWN_MEASURED])
        shown = ", ".join(f"{name} {rate:.4f}" for name, rate in self.rates.items())
        print(f"{NAME}: unseen clips after {run.steps} steps: {shown}", flush=True)


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, synthetic: Path = RUNS / "clips",
    device: torch.device | str | None = None, recipe: Recipe | None = None, start: Path | None = None,
) -> dict[str, float]:  # fmt: skip
    """Trains on `data/grid_lips` and on drawn clips in `synthetic`; saves mouth_encoder and lips into `out`.

    Drawn clips may appear in `synthetic` while it runs. Without `device` it is a GPU where there is one. Weights are
    saved every minute too, so that a run which is cut short leaves them; `start` is a folder of weights to go on from.
    """
    torch.set_float32_matmul_precision("high")
    recipe = recipe or Recipe()
    place = best_device(device)
    began = time.monotonic()
    real = read_grid(grid_clips(data / "grid_lips", held_out=False), TEACHER)
    held_out = read_grid(grid_clips(data / "grid_lips", held_out=True), TEACHER)
    print(f"{NAME}: {len(real)} GRID clips read in {time.monotonic() - began:.0f} s", flush=True)
    words = len({word.text for clip in real for word in clip.words})
    model = Lipreader(*lips_configs(), words=words)
    if start is not None:
        model.encoder.load_state_dict(load(MouthEncoder, start, "mouth_encoder").state_dict())
        model.expert.load_state_dict(load(Expert, start, "lips").state_dict())
    frozen = copy.deepcopy(model.encoder).to(place) if recipe.frozen else None
    mouths = Mouths(real, DrawnFolder(synthetic), recipe, place, seed, frozen)
    model.encoder.requires_grad_(not recipe.frozen)
    run = Run(NAME, model, seed=seed, device=place)
    schedule = Schedule(
        minutes, recipe.learning_rate, recipe.weight_decay, warmup_minutes=min(0.5, minutes / 20), average_decay=0.998
    )
    loss, watch = LipsLoss(run, recipe, minutes, random.Random(seed + run.steps)), Watch(out, held_out, mouths.unseen)
    learn(run, schedule, iter(mouths), loss, watch=watch)
    watch(run)
    return {**watch.rates, "steps": float(run.steps)}
