"""What a run of the paper's schedule works with: sizes, data, where things go, and how its time is divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from models.config import ExpertConfig, FusionConfig, RouterConfig
from models.paper import PaperConfig
from models.training.corpora.sample import Split
from models.training.feature_clips import Targets
from models.training.paper_clips import Reader
from models.training.paper_ranks import Ranks
from models.training.paper_targets import Lesson
from models.training.paper_vision import MANUAL_CROPS, MOUTH_CROPS, SeeingConfig
from models.vocabulary import LETTERS, PHONEMES, Vocabulary

SHARES = {
    "sign": 0.38, "fingerspelling": 0.16, "lips": 0.12, "features": 0.10, "router": 0.03, "fusion": 0.11,
    "language": 0.10,
}  # fmt: skip
"""The stages in the paper's order, each with its share of the whole time: three experts apart, then fusion with the
experts frozen, then the language model's adapter."""
LEAST_ACCURACY = 0.30
"""Token accuracy of the sign expert on unseen clips under which fusion is not begun: it could only learn noise."""


@dataclass(frozen=True)
class Origins:
    """Where weights that are not trained here come from: names on a hub, or folders."""

    dinov2: str = "facebook/dinov2-base"
    vit: str = "google/vit-base-patch16-224-in21k"
    language: str = "meta-llama/Llama-2-7b-hf"

    def of(self, kind: str) -> str:
        """Of eyes of a kind: "dinov2" or "vit"."""
        return {"dinov2": self.dinov2, "vit": self.vit}[kind]


@dataclass(frozen=True)
class Sizes:
    """Of networks and batches. `tuned`: blocks of DINOv2 that each manual expert trains on top of what it came with; with 0
    both share DINOv2 as it came. Of the mouth's ViT all blocks are trained."""

    networks: PaperConfig = PaperConfig()
    tuned: int = 4
    dropout: float = 0.1
    steps: int = 1024  # of one batch of clips
    fused_steps: int = 8192  # of one batch of cached features
    longest: int = 384
    rows: int = 16  # sentences in one batch of the language model
    lora_rank: int = 16

    @staticmethod
    def tiny() -> Sizes:
        """The same structure for a dry run."""
        return Sizes(PaperConfig.reduced(), tuned=1, steps=64, fused_steps=128, longest=160, rows=2, lora_rank=2)

    def seeing(self, expert: str) -> SeeingConfig:
        networks = self.networks
        if expert == "lips":
            mouth = networks.mouth
            return SeeingConfig(kind="vit", sizes=mouth, crops=MOUTH_CROPS, tuned=mouth.layers)
        return SeeingConfig(sizes=networks.body_and_hands, crops=MANUAL_CROPS, tuned=self.tuned)

    def expert(self, expert: str, glosses: Vocabulary) -> ExpertConfig:
        networks = self.networks
        symbols = {"sign": glosses.size, "fingerspelling": len(LETTERS) + 1, "lips": len(PHONEMES) + 1}[expert]
        return ExpertConfig(
            dim=networks.dim, heads=networks.heads, layers=networks.expert_layers, dropout=self.dropout,
            in_features=self.seeing(expert).features, vocabulary=symbols,
        )  # fmt: skip

    def router(self) -> RouterConfig:
        return RouterConfig(in_features=self.networks.manual, dim=max(4, self.networks.dim // 2), dropout=self.dropout)

    def fusion(self, glosses: Vocabulary) -> FusionConfig:
        networks = self.networks
        return FusionConfig(
            dim=networks.dim, heads=networks.heads, layers=networks.fusion_layers, dropout=self.dropout,
            sign_dim=networks.dim, fingerspelling_dim=networks.dim, lips_dim=networks.dim,
            sign_vocabulary=glosses.size,
        )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A whole run: `lessons` by split, `out` for weights, `runs` for what a resume needs."""

    lessons: Mapping[Split, Sequence[Lesson]]
    glosses: Vocabulary
    reader: Reader
    out: Path
    minutes: float
    ranks: Ranks
    sizes: Sizes = field(default_factory=Sizes)
    origins: Origins | None = field(default_factory=Origins)
    """None: random weights everywhere, for a dry run."""
    seed: int = 0
    readers: int = 4

    @cached_property
    def targets(self) -> Targets:
        return Targets.of(self.glosses.tokens)

    @property
    def runs(self) -> Path:
        return self.out / "runs"

    @property
    def dry(self) -> bool:
        return self.origins is None

    def minutes_of(self, stage: str) -> float:
        return self.minutes * SHARES[stage]

    def teaching(self, expert: str, split: Split) -> list[Lesson]:
        """The lessons that have something for an expert."""
        return [lesson for lesson in self.lessons.get(split, ()) if lesson.target(expert, self.targets)]

    def log(self, stage: str, line: str, spent_minutes: float) -> None:
        """A line of a stage, with the time that is left of it and of the whole run."""
        own = max(0.0, self.minutes_of(stage) - spent_minutes)
        names = list(SHARES)
        later = sum(self.minutes_of(name) for name in names[names.index(stage) + 1 :])
        self.ranks.say(f"{line}; left: {clock(own)} of {stage}, {clock(own + later)} of all")


def clock(minutes: float) -> str:
    """1:05 h, 12.3 min."""
    return f"{int(minutes // 60)}:{int(minutes % 60):02} h" if minutes >= 60 else f"{minutes:.1f} min"
