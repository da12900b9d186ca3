"""The paper's tables on the synthetic corpus: every variant trained for the same processor time, then judged on held-out clips.

Experts and router are the checkpoint's own; each variant's fusion starts afresh. A second table compares one backbone with two
heads against two experts, both from nothing. Runs resume; what was judged is kept in runs/tables, a file a variant.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.checkpoint import weights_file
from models.config import FusionConfig
from models.evaluation.tables import Judged, judged, paired
from models.hearing import EXPERTS, Experts
from models.speech import Speaker
from models.streaming import Window
from models.training import feature_sets, shared_backbone
from models.training.ablations import VARIANTS, Ablated, Variant
from models.training.expert_loss import fusion_loss, temperature
from models.training.feature_clips import Batch, FeatureStore, Targets
from models.training.feature_sets import Source, Takes
from models.training.loop import RUNS, Run, Schedule, best_device, learn

TABLES = RUNS / "tables"
M = TypeVar("M", bound=nn.Module)
Loss = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class Setting:
    """What all variants share."""

    checkpoint: Path
    device: torch.device
    minutes: float
    seed: int
    targets: Targets
    source: Source
    held: Source

    @staticmethod
    def of(out: Path, features: Path, device: torch.device, minutes: float, seed: int) -> Setting:
        targets = Targets.of(feature_sets.glosses_of(out / "glosses.txt"))
        stores = (FeatureStore.read(features / f"{name}.pt", targets).to(device) for name in ("synthetic", "held_out"))
        source, held = (Source.of(store, "fusion", targets) for store in stores)
        return Setting(out, device, minutes, seed, targets, source, held)

    def trained(self, name: str, module: M, learning_rate: float, loss: Callable[[Run], Loss]) -> M:
        """The averaged module after its processor time; a run that was stopped goes on."""
        run = Run(f"table_{name}", module, self.seed, device=self.device)
        clips = [(list(range(len(self.source.store))), 1.0)]
        stream = feature_sets.batches(self.source, clips, seed=self.seed + run.steps, takes=Takes(strength=0.8))
        schedule = Schedule(
            self.minutes, learning_rate, warmup_minutes=self.minutes / 15, average_decay=0.995, half=False,
            clock=time.process_time,
        )  # fmt: skip
        best = learn(run, schedule, stream, loss(run), lambda line: print(line, flush=True))
        assert isinstance(best, type(module))
        return best


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, device: str | None = None,
    features: Path = feature_sets.FEATURES, only: str | None = None,
) -> dict[str, float | str]:  # fmt: skip
    """Trains and judges every variant (or `only` one) with `out`'s experts and language model, `minutes` each; prints the
    table, keeps it in runs/tables, and returns its figures by variant."""
    del data
    from models.bundle import language

    setting = Setting.of(out, features, best_device(device), minutes, seed)
    TABLES.mkdir(parents=True, exist_ok=True)
    _refuse_others(setting)
    speaker = Speaker(language(out), None)
    for variant in VARIANTS:
        if only in (None, variant.name) and not kept(variant.name).is_file():
            keep(variant.name, judged(tuned(variant, setting), setting.held, setting.targets.joint, speaker))
    rows = {variant.name: read(variant.name) for variant in VARIANTS if kept(variant.name).is_file()}
    figures: dict[str, float | str] = {}
    if rows:
        text, figures = table(rows, setting.held.store.english)
        print(text, flush=True)
        (TABLES / "tables.md").write_text(text, encoding="utf-8")
    if only in (None, "backbones"):
        compared = shared_backbone.compared(setting)
        (TABLES / "backbones.json").write_text(json.dumps(compared), encoding="utf-8")
        figures |= compared
    return figures


def tuned(variant: Variant, setting: Setting) -> Ablated:
    """The variant's networks after training, the experts' own weights as the checkpoint has them to begin with."""
    config = FusionConfig(sign_vocabulary=setting.targets.glosses.size, mode=variant.mode, dropout=0.15)
    torch.manual_seed(setting.seed)
    module = Ablated(variant, Experts.load(setting.checkpoint), config)
    return setting.trained(variant.name, module, variant.learning_rate, lambda run: _loss(run, setting))


def _loss(run: Run, setting: Setting) -> Loss:
    rng = random.Random(setting.seed + run.steps)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        tau = temperature(rng, run.spent_s / 60 / setting.minutes)
        return fusion_loss(module(batch, Window.draw(rng), tau), batch)

    return loss


def _refuse_others(setting: Setting) -> None:
    """ValueError where runs/tables holds judgements of other experts, minutes or seeds: one table compares like with like."""
    weights = b"".join(weights_file(setting.checkpoint, name).read_bytes() for name in ("router", *EXPERTS))
    mine = {"experts": hashlib.sha256(weights).hexdigest()[:12], "minutes": setting.minutes, "seed": setting.seed}
    path = TABLES / "setting.json"
    if not path.is_file():
        path.write_text(json.dumps(mine), encoding="utf-8")
    elif (held := json.loads(path.read_text(encoding="utf-8"))) != mine:
        raise ValueError(
            f"{TABLES} holds a table of {held}, and this run is of {mine}: move it away, with runs/table_*.ckpt, to begin another"
        )


def kept(name: str) -> Path:
    """Where a variant's judgement lies."""
    return TABLES / f"{name}.json"


def keep(name: str, judgement: Judged) -> None:
    kept(name).write_text(json.dumps(judgement.record()), encoding="utf-8")


def read(name: str) -> Judged:
    return Judged(**json.loads(kept(name).read_text(encoding="utf-8")))


def table(rows: dict[str, Judged], english: list[str]) -> tuple[str, dict[str, float | str]]:
    """The table as Markdown, and its figures by name; the last row is the first without the language model."""
    says = {variant.name: variant.says for variant in VARIANTS}
    compared = paired({name: row.sentences for name, row in rows.items()} | _drafts(rows), english)
    lines = ["| | BLEU-4 | ± | p | gloss WER % | letters % |", "|---|---|---|---|---|---|"]
    figures: dict[str, float | str] = {}
    for name, (score, half, p) in compared.items():
        row = rows["all" if name == "no_llm" else name]
        wer, letters = 100 * row.gloss_wer, 100 * row.letter_accuracy
        what = says.get(name, "without the language model: the draft")
        lines.append(f"| {what} | {score:.1f} | {half:.1f} | {p:.3f} | {wer:.1f} | {letters:.1f} |")
        figures |= {f"{name}_bleu4": score, f"{name}_gloss_wer": row.gloss_wer,
                    f"{name}_letter_accuracy": row.letter_accuracy}  # fmt: skip
    return "\n".join(lines) + "\n", figures


def _drafts(rows: dict[str, Judged]) -> dict[str, list[str]]:
    return {"no_llm": rows["all"].drafts} if "all" in rows else {}
