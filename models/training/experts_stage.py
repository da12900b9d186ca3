"""The sign and the fingerspelling expert, each alone, on cached features: CTC and a framewise cross entropy.

The framewise loss uses the synthetic signer's times; it gets CTC off the plateau on which only blanks are said. Real
hands (spelled sequences of photographs) are mixed into the fingerspelling expert's batches.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import save
from models.config import ExpertConfig
from models.experts import Expert
from models.layout import MANUAL
from models.streaming import Window
from models.training import feature_sets
from models.training.expert_loss import ctc, edit_distance, framewise, greedy, padding_mask
from models.training.feature_clips import Batch, FeatureClip, Targets
from models.training.loop import Run, Schedule, learn

FRAMEWISE = 0.5
HELD_OUT_WORDS = 100
OTHER_SHARE = {"sign": 0.0, "fingerspelling": 0.35}


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, only: str = "sign", features: Path = feature_sets.FEATURES
) -> dict[str, float]:
    """Trains one expert (`only` is "sign" or "fingerspelling"); `data` is not needed, the features hold all."""
    del data
    targets = Targets.of(feature_sets.glosses_of(out / "glosses.txt"))
    clips, held = feature_sets.read("synthetic*.pt", features), feature_sets.read("held_out.pt", features)
    spelled = feature_sets.read("spelled*.pt", features) if OTHER_SHARE[only] else []
    kept, spelled = spelled[-HELD_OUT_WORDS:], spelled[:-HELD_OUT_WORDS]
    if only == "fingerspelling":
        clips = [clip for clip in clips if any(token.startswith("#") for token in clip.tokens)]
    config = ExpertConfig(in_features=MANUAL, vocabulary=targets.of_expert(only).size, dropout=0.15)
    expert = Expert(config)
    sample = clips[:400] + spelled[:200]
    expert.standardise.fit(torch.cat([torch.from_numpy(clip.manual) for clip in sample]))
    run = Run(f"{only}_expert", expert, seed)
    rng = random.Random(seed)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        log_probs = module(batch.manual, mask, Window.draw(rng)).log_probs
        symbols, frames = ctc(log_probs, batch.lengths, batch.targets), framewise(log_probs, batch.frames)
        return symbols + FRAMEWISE * frames, {"ctc": symbols.item(), "framewise": frames.item()}

    stream = feature_sets.batches(
        clips, only, targets, seed=seed + run.steps, other=spelled or None, other_share=OTHER_SHARE[only]
    )
    best = learn(run, Schedule(minutes, learning_rate=1.5e-3, average_decay=0.996), stream, loss)
    assert isinstance(best, Expert)
    save(best, config, out, only)
    figures = {f"{only}_error": error_rate(best, held, only, targets)}
    if kept:
        figures["real_letters_error"] = error_rate(best, kept, only, targets)
    print(figures)
    return figures


@torch.inference_mode()
def error_rate(expert: Expert, clips: list[FeatureClip], name: str, targets: Targets) -> float:
    """Edit distance of the best path to the target, over the targets' length."""
    wrong = total = 0
    for batch in feature_sets.validation(clips, name, targets):
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        log_probs = expert(batch.mouth if name == "lips" else batch.manual, mask).log_probs
        for row, target in enumerate(batch.targets):
            wrong += edit_distance(greedy(log_probs[row], int(batch.lengths[row])), target)
            total += len(target)
    return wrong / max(1, total)
