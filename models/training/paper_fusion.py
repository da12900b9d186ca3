"""Router and fusion at the paper's sizes, on cached features, with the experts frozen.

The router learns by cross entropy on the steps whose route is known (see `Lesson.routes`), fusion by CTC over glosses and
letters, with routes drawn by Gumbel-Softmax (Jang et al., arXiv 1611.01144) in half of its batches, and tau annealed.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import save
from models.error_rate import ErrorRate
from models.fusion import Fusion, FusionOutput
from models.hearing import Experts
from models.routing import Router
from models.streaming import Window
from models.training.expert_loss import ctc, read, temperature
from models.training.feature_clips import IGNORED
from models.training.loop import Run, Schedule, learn, moved
from models.training.paper_checkpointing import checkpointed
from models.training.paper_features import FeatureBatch, FeatureFiles, batch_of, endless
from models.training.paper_plan import Plan
from models.training.paper_ranks import SharedRun, together
from models.training.paper_targets import Lesson

LEARNING_RATE = 5e-4
SAVED_EVERY_S = 300.0


def train_router(plan: Plan) -> dict[str, float]:
    """The router into `plan.out`; the share of unseen steps, of known route, that it routes right."""
    files = FeatureFiles(plan.runs / "features")
    taught = _kept(plan, files)
    config = plan.sizes.router()
    router = checkpointed(Router(config))
    rows = [files.read(lesson) for lesson in taught[:50]]
    router.standardise.fit(torch.cat([row[0] for row in rows]))
    run = SharedRun("paper_router", router, plan.seed, plan.runs, plan.ranks.device, ranks=plan.ranks)
    rng = random.Random(plan.seed + run.steps)

    def loss(module: nn.Module, batch: FeatureBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        batch = moved(batch, plan.ranks.device)
        logits = module(batch.sign, batch.mask, Window.draw(rng))
        known = (batch.routes != IGNORED).sum().clamp(min=1)
        losses = functional.cross_entropy(
            logits.flatten(0, 1), batch.routes.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return losses / known, {}

    best = learn(
        run, _schedule(plan, "router"), endless(plan, files, plan.ranks.share(taught), _seed(plan, run), IGNORED),
        together(run, loss), log=lambda line: plan.log("router", line, run.spent_s / 60),
    )  # fmt: skip
    assert isinstance(best, Router)
    return plan.ranks.told(lambda: _saved_router(plan, best, files))


def _saved_router(plan: Plan, router: Router, files: FeatureFiles) -> dict[str, float]:
    save(router, router.config, plan.out, "router")
    right = known = 0
    with torch.inference_mode():
        for lesson in files.kept(plan.lessons.get("val", ())):
            batch = moved(batch_of([files.read(lesson)], [[]], IGNORED), plan.ranks.device)
            routes = router(batch.sign).argmax(-1)
            told = batch.routes != IGNORED
            right += int((routes[told] == batch.routes[told]).sum())
            known += int(told.sum())
    return {"right_steps": right / known, "unseen_steps": float(known)} if known else {"unseen_steps": 0.0}


def train_fusion(plan: Plan) -> dict[str, float]:
    """Fusion into `plan.out`; token accuracy on unseen clips of fusion, and of the routed experts that it started from."""
    files, experts = FeatureFiles(plan.runs / "features"), Experts.load(plan.out, plan.ranks.device).frozen()
    taught = [lesson for lesson in _kept(plan, files) if lesson.target("fusion", plan.targets)]
    if not taught:
        raise ValueError("no training clip has a gloss of glosses.txt or a letter: give the run corpora that have them")
    fusion = checkpointed(Fusion(plan.sizes.fusion(plan.glosses)))
    run = SharedRun("paper_fusion", fusion, plan.seed, plan.runs, plan.ranks.device, ranks=plan.ranks)
    rng, minutes = random.Random(plan.seed + run.steps), plan.minutes_of("fusion")

    def loss(module: nn.Module, batch: FeatureBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        batch, window = moved(batch, plan.ranks.device), Window.draw(rng)
        tau = temperature(rng, run.spent_s / 60 / minutes)
        said: FusionOutput = module(experts.hear(batch.features, batch.mask, window, tau), batch.mask, window)
        return ctc(said.log_probs, batch.lengths, batch.targets), {"alpha": said.alpha[batch.mask].mean().detach()}

    def keep(run: Run) -> None:
        _kept_fusion(plan, run.average)

    best = _kept_fusion(plan, learn(
        run, _schedule(plan, "fusion"), endless(plan, files, plan.ranks.share(taught), _seed(plan, run), IGNORED),
        together(run, loss), log=lambda line: plan.log("fusion", line, run.spent_s / 60),
        watch=keep,
    ))  # fmt: skip
    unseen = [lesson for lesson in files.kept(plan.lessons.get("val", ())) if lesson.target("fusion", plan.targets)]
    start = Fusion(best.config).eval().to(plan.ranks.device)
    return plan.ranks.told(lambda: {
        "token_accuracy": _accuracy(plan, best, experts, files, unseen),
        "experts_accuracy": _accuracy(plan, start, experts, files, unseen), "unseen_clips": float(len(unseen)),
    } if unseen else {"unseen_clips": 0.0})  # fmt: skip


def _kept_fusion(plan: Plan, module: nn.Module) -> Fusion:
    assert isinstance(module, Fusion)
    if plan.ranks.first:
        save(module, module.config, plan.out, "fusion")
    return module


@torch.inference_mode()
def _accuracy(plan: Plan, fusion: Fusion, experts: Experts, files: FeatureFiles, lessons: list[Lesson]) -> float:
    rate = ErrorRate()
    for lesson in lessons:
        target = lesson.target("fusion", plan.targets)
        batch = moved(batch_of([files.read(lesson)], [target], IGNORED), plan.ranks.device)
        read(rate, fusion(experts.hear(batch.features, batch.mask)).log_probs, batch.lengths, batch.targets)
        rate.miss(len(lesson.symbols("fusion")) - len(target))
    return 1 - rate.value


def _kept(plan: Plan, files: FeatureFiles) -> list[Lesson]:
    kept = files.kept(plan.lessons.get("train", ()))
    if not kept:
        raise ValueError(
            f"expected cached features in {files.folder}, but no training clip has any: give the run more --minutes"
        )
    return kept


def _seed(plan: Plan, run: SharedRun) -> int:
    return plan.seed + run.steps * plan.ranks.world + plan.ranks.rank


def _schedule(plan: Plan, stage: str) -> Schedule:
    minutes = plan.minutes_of(stage)
    return Schedule(
        minutes, LEARNING_RATE, warmup_minutes=minutes / 15, average_decay=0.998, half=False,
        save_every_s=SAVED_EVERY_S, clock=plan.ranks.clock,
    )  # fmt: skip
