"""One backbone with two heads against two experts, from nothing, on the same batches for the same processor time.

The paper keeps its experts apart and does not say what that is worth.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.config import ExpertConfig
from models.error_rate import ErrorRate
from models.experts import Expert
from models.layout import MANUAL
from models.streaming import Window
from models.training import feature_sets
from models.training.expert_loss import ctc, framewise, padding_mask, read
from models.training.experts_stage import FRAMEWISE, LAYERS, LEARNING_RATE
from models.training.feature_clips import IGNORED, Batch, FeatureStore, Targets
from models.training.loop import Run
from models.vocabulary import BLANK

if TYPE_CHECKING:
    from models.training.tables_stage import Loss, Setting

NAMES = ("sign", "fingerspelling")


class Separate(nn.Module):
    """Two experts."""

    def __init__(self, targets: Targets, store: FeatureStore) -> None:
        super().__init__()
        self.experts = nn.ModuleDict({name: expert(name, targets, store) for name in NAMES})

    def forward(self, manual: Tensor, mask: Tensor, window: Window | None) -> list[Tensor]:
        """Log posteriors of signs and of letters."""
        return [self.experts[name](manual, mask, window).log_probs for name in NAMES]


class Shared(nn.Module):
    """The sign expert, and beside its head one for letters."""

    def __init__(self, targets: Targets, store: FeatureStore) -> None:
        super().__init__()
        self.expert = expert("sign", targets, store)
        self.letters = nn.Linear(self.expert.config.dim, targets.letters.size)

    def forward(self, manual: Tensor, mask: Tensor, window: Window | None) -> list[Tensor]:
        """Log posteriors of signs and of letters."""
        said = self.expert(manual, mask, window)
        return [said.log_probs, self.letters(said.hidden).float().log_softmax(dim=-1)]


def expert(name: str, targets: Targets, store: FeatureStore) -> Expert:
    made = Expert(
        ExpertConfig(in_features=MANUAL, vocabulary=targets.of_expert(name).size, layers=LAYERS[name], dropout=0.15)
    )
    made.standardise.fit(store.manual[:: max(1, len(store.manual) // 100_000)].float())
    return made


def compared(setting: Setting) -> dict[str, float | str]:
    """Error rates on held-out clips, parameters and steps of both, by name."""
    figures: dict[str, float | str] = {}
    kinds: dict[str, Callable[[Targets, FeatureStore], nn.Module]] = {"separate": Separate, "shared": Shared}
    for kind, make in kinds.items():
        torch.manual_seed(setting.seed)
        fresh = make(setting.targets, setting.source.store)
        module = setting.trained(kind, fresh, LEARNING_RATE, lambda run: _loss(run, setting.targets))
        errors = error_rates(module, setting)
        figures |= {f"{kind}_{name}_error": errors[name] for name in NAMES}
        figures[f"{kind}_parameters"] = float(sum(part.numel() for part in module.parameters()))
    return figures


def _loss(run: Run, targets: Targets) -> Loss:
    rng, device = random.Random(run.seed + run.steps), run.device
    own = {name: torch.tensor(targets.own_ids(name), device=device) for name in NAMES}

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        parts: dict[str, Tensor] = {}
        for name, said in zip(NAMES, module(batch.manual, mask, Window.draw(rng)), strict=True):
            symbols = [[own_id for own_id in own[name][row].tolist() if own_id != BLANK] for row in batch.targets]
            frames = torch.where(batch.frames == IGNORED, IGNORED, own[name][batch.frames.clamp(min=0)])
            parts[name] = ctc(said, batch.lengths, symbols) + FRAMEWISE * framewise(said, frames)
        return torch.stack(list(parts.values())).sum(), {name: part.detach() for name, part in parts.items()}

    return loss


@torch.inference_mode()
def error_rates(module: nn.Module, setting: Setting) -> dict[str, float]:
    """Edit distance of each head's best path to its own target, over the targets' length."""
    rates = {name: ErrorRate() for name in NAMES}
    for batch in feature_sets.validation(setting.held):
        mask = padding_mask(batch.lengths, batch.manual.shape[1])
        for name, said in zip(NAMES, module(batch.manual, mask, None), strict=True):
            own = setting.targets.own_ids(name)
            truths = [[own[token] for token in target if own[token] != BLANK] for target in batch.targets]
            read(rates[name], said, batch.lengths, truths)
    return {name: rate.value for name, rate in rates.items()}
