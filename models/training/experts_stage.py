"""The sign and the fingerspelling expert, each alone, on cached features: CTC and a framewise cross entropy.

The framewise loss uses the synthetic signer's times; it gets CTC off the plateau on which only blanks are said. Real
hands (spelled sequences of photographs) are mixed into the fingerspelling expert's batches, people who do not sign into the
sign expert's: of a gesture that goes on for a second it hears more than the router, which may take it for signing.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import save
from models.config import ExpertConfig
from models.error_rate import ErrorRate
from models.experts import Expert
from models.layout import MANUAL
from models.streaming import Window
from models.training import feature_sets, growth
from models.training.expert_loss import ctc, framewise, padding_mask, read
from models.training.feature_clips import Batch, FeatureStore, Targets
from models.training.feature_sets import Source, Takes
from models.training.loop import Run, Schedule, best_device, learn

FRAMEWISE = 0.5
REAL_SHARE = 0.5  # of the fingerspelling expert's clips: words spelled by real hands
QUIET_SHARE = 0.15  # of the sign expert's clips: scenes in which nobody signs
LEARNING_RATE, LAYERS = 1.5e-3, {"sign": 5, "fingerspelling": 4}


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, only: str = "sign", device: str | None = None,
    features: Path = feature_sets.FEATURES, start: Path | None = None, learning_rate: float = LEARNING_RATE,
) -> dict[str, float]:  # fmt: skip
    """Trains one expert (`only` is "sign" or "fingerspelling"); `data` is not needed, the features hold all. `start` is a
    folder of weights to go on from, with a lower `learning_rate`."""
    del data
    where, targets = best_device(device), Targets.of(feature_sets.glosses_of(out / "glosses.txt"))
    store, shares, kept = _clips(features, only, targets)
    source = Source.of(store.to(where), only, targets)
    held = Source.of(FeatureStore.read(features / "held_out.pt", targets).to(where), only, targets)
    vocabulary = targets.of_expert(only).size
    config = ExpertConfig(in_features=MANUAL, vocabulary=vocabulary, layers=LAYERS[only], dropout=0.15)
    expert = Expert(config)
    if start is not None:
        growth.begin(expert, start, only, targets.glosses)
    else:
        expert.standardise.fit(store.manual[:: max(1, len(store.manual) // 100_000)].float())
    run = Run(f"{only}_expert", expert, seed, device=where)
    rng = random.Random(seed + run.steps)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        log_probs = module(batch.manual, mask, Window.draw(rng)).log_probs
        symbols, frames = ctc(log_probs, batch.lengths, batch.targets), framewise(log_probs, batch.frames)
        return symbols + FRAMEWISE * frames, {"ctc": symbols.detach(), "framewise": frames.detach()}

    def measured(module: Expert) -> dict[str, float]:
        figures = {f"{only}_error": error_rate(module, held, only)}
        if kept:
            real = Source(source.store.part(kept), [source.targets[clip] for clip in kept], source.own)
            figures["real_letters_error"] = error_rate(module, real, only)
        return figures

    def watch(run: Run) -> None:
        assert isinstance(run.average, Expert)
        save(run.average, config, out, only)
        print(only, measured(run.average), flush=True)

    stream = feature_sets.batches(source, shares, seed=seed + run.steps, takes=Takes())
    schedule = Schedule(
        minutes, learning_rate, warmup_minutes=min(0.5, minutes / 15), average_decay=0.996, half=False, half_on_cpu=True
    )
    best = learn(run, schedule, stream, loss, watch=watch)
    assert isinstance(best, Expert)
    save(best, config, out, only)
    return measured(best)


def _clips(
    features: Path, only: str, targets: Targets
) -> tuple[FeatureStore, list[tuple[list[int], float]], list[int]]:
    """The store to learn from, groups of its clips with their shares, and the spelled clips kept for measuring."""
    drawn = FeatureStore.read(features / "synthetic.pt", targets)
    if only == "sign":
        store = FeatureStore.joined([drawn, FeatureStore.read(features / "silent.pt", targets)])
        every = list(range(len(store)))
        return store, [(every[: len(drawn)], 1 - QUIET_SHARE), (every[len(drawn) :], QUIET_SHARE)], []
    store = FeatureStore.joined([drawn, FeatureStore.read(features / "spelled.pt", targets)])
    words = list(range(len(drawn), len(store)))
    letters = set(range(targets.glosses.size, targets.joint.size))
    spelling = [clip for clip in range(len(drawn)) if letters.intersection(drawn.tokens[clip])]
    shares = [(spelling, 1 - REAL_SHARE), (words[: -feature_sets.HELD_OUT_WORDS], REAL_SHARE)]
    return store, shares, words[-feature_sets.HELD_OUT_WORDS :]


@torch.inference_mode()
def error_rate(expert: Expert, source: Source, name: str) -> float:
    """Edit distance of the best path to the target, over the targets' length."""
    rate = ErrorRate()
    for batch in feature_sets.validation(source):
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        log_probs = expert(batch.mouth if name == "lips" else batch.manual, mask).log_probs
        read(rate, log_probs, batch.lengths, batch.targets)
    return rate.value
