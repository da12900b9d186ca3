"""The three experts, each trained apart with its own eyes: signs on pseudo-glosses, letters on spelled words, lips on
phonemes; CTC (Graves et al. 2006), end to end from the frames."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import load, save
from models.error_rate import ErrorRate
from models.experts import Expert, ExpertOutput
from models.streaming import Window
from models.training.expert_loss import ctc, read
from models.training.loop import Schedule, device_of, learn
from models.training.paper_checkpointing import checkpointed
from models.training.paper_clips import Batches, SeenBatch
from models.training.paper_plan import Plan
from models.training.paper_ranks import SharedRun, together
from models.training.paper_targets import Lesson
from models.training.paper_vision import Vision, pretrained

MEASURED = 200  # unseen clips on which an expert is measured
LEARNING_RATE = 2e-4
SAVED_EVERY_S = 600.0


class SeeingExpert(nn.Module):
    """Eyes and an expert: a batch of frames -> hidden states and log posteriors (clips, longest, vocabulary)."""

    def __init__(self, vision: Vision, expert: Expert) -> None:
        super().__init__()
        self.vision, self.expert = vision, expert

    def forward(self, batch: SeenBatch, window: Window | None = None) -> ExpertOutput:
        device = device_of(self)
        frames, boxes = batch.frames.to(device, non_blocking=True), batch.boxes.to(device, non_blocking=True)
        features, mask = batch.padded(self.vision(frames, boxes, batch.seen.to(device)))
        out: ExpertOutput = self.expert(features, mask, window)
        return out

    def save(self, folder: Path, name: str) -> None:
        save(self.vision, self.vision.config, folder, f"{name}_vision")
        save(self.expert, self.expert.config, folder, name)

    @staticmethod
    def load(folder: Path, name: str) -> SeeingExpert:
        """Raises CheckpointError for what is not there."""
        return SeeingExpert(load(Vision, folder, f"{name}_vision"), load(Expert, folder, name))


def train(plan: Plan, name: str) -> dict[str, float]:
    """One expert into `plan.out`; its token accuracy on unseen clips. Where nothing teaches it, it stays untrained."""
    taught = plan.teaching(name, "train")
    module = SeeingExpert(_eyes(plan, name), checkpointed(Expert(plan.sizes.expert(name, plan.glosses))))
    if not taught:
        plan.ranks.say(f"{name}: nothing in these corpora teaches it; it stays untrained")
        plan.ranks.told(lambda: module.save(plan.out, name))
        return {"taught": 0.0}
    batches = Batches(
        plan.reader, lambda lesson: lesson.target(name, plan.targets), plan.sizes.steps, plan.readers, plan.ranks.say
    )
    torch.manual_seed(plan.seed)
    run = SharedRun(f"paper_{name}", module, plan.seed, plan.runs, plan.ranks.device, ranks=plan.ranks)
    if not run.steps:
        _standardise(run, batches, taught)
    rng = random.Random(plan.seed + run.steps)

    def loss(module: nn.Module, batch: SeenBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        return ctc(module(batch, Window.draw(rng)).log_probs, batch.lengths, batch.targets), {}

    minutes = plan.minutes_of(name)
    schedule = Schedule(
        minutes, LEARNING_RATE, warmup_minutes=minutes / 20, average_decay=0.999, save_every_s=SAVED_EVERY_S,
        clock=plan.ranks.clock,
    )  # fmt: skip
    stream = batches.endless(plan.ranks.share(taught), plan.seed + run.steps * plan.ranks.world + plan.ranks.rank)
    best = learn(
        run, schedule, stream, together(run, loss), log=lambda line: plan.log(name, line, run.spent_s / 60),
        watch=lambda run: _keep(plan, run.average, name),
    )  # fmt: skip
    _keep(plan, best, name)
    return plan.ranks.told(lambda: _measured(plan, best, name, batches))


def _eyes(plan: Plan, name: str) -> Vision:
    config = plan.sizes.seeing(name)
    if plan.origins is None:
        return Vision(config)
    return pretrained(config, plan.origins.of(config.kind))


def _keep(plan: Plan, module: nn.Module, name: str) -> None:
    assert isinstance(module, SeeingExpert)
    if plan.ranks.first:
        module.save(plan.out, name)


@torch.no_grad()
def _standardise(run: SharedRun, batches: Batches, taught: list[Lesson]) -> None:
    """Mean and deviation of the features, of the first clips, the same in all processes."""
    module = run.module
    assert isinstance(module, SeeingExpert) and isinstance(run.average, SeeingExpert)
    batch = next(batches.endless(taught, run.seed))
    features = module.vision(*(part.to(run.device) for part in (batch.frames, batch.boxes, batch.seen)))
    for one in (module, run.average):
        one.expert.standardise.fit(features.float())


def _measured(plan: Plan, module: nn.Module, name: str, batches: Batches) -> dict[str, float]:
    lessons = (plan.teaching(name, "val") or plan.teaching(name, "test"))[:MEASURED]
    if not lessons:
        plan.ranks.say(f"{name}: no unseen clip in val or test; it is not measured")
        return {"unseen_clips": 0.0}
    rate, clips = ErrorRate(), 0
    with torch.no_grad():
        for clip in batches.once(lessons):
            target = batches.target(clip.lesson)
            batch = SeenBatch(clip.frames, clip.boxes, clip.seen, torch.tensor([len(clip)]), [target])
            read(rate, module(batch).log_probs, batch.lengths, batch.targets)
            rate.miss(len(clip.lesson.symbols(name)) - len(target))
            clips += 1
    return {"token_accuracy": 1 - rate.value, "unseen_clips": float(clips)}
