"""All networks of a translator as they were trained, each apart: for measuring them one by one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.backends import Backend
from models.checkpoint import has, load
from models.closer import CLOSER, Closer
from models.config import ExpertConfig, FusionConfig, RouterConfig
from models.experts import Expert
from models.features import HandEncoder, HandEncoderConfig
from models.fusion import Fusion
from models.hearing import Experts
from models.layout import MANUAL, MOUTH
from models.lips import MouthEncoder, MouthEncoderConfig
from models.locate import Locator, LocatorConfig
from models.routing import Router
from models.sight import Sight
from models.temporal import Temporal
from models.vocabulary import LETTERS, PHONEMES

BUNDLED = Path(__file__).parents[1] / "checkpoints" / "compact"


@dataclass(frozen=True)
class Networks:
    locator: Locator
    hand: HandEncoder
    mouth: MouthEncoder
    router: Router
    sign: Expert
    fingerspelling: Expert
    lips: Expert
    fusion: Fusion
    folder: Path | None = None
    """Where they come from."""
    closer: Closer | None = None

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Networks:
        """Of a checkpoint folder, those over time on the device; CheckpointError names what is missing."""
        return cls(
            load(Locator, folder, "locate").eval(),
            load(HandEncoder, folder, "hand_encoder").eval(),
            load(MouthEncoder, folder, "mouth_encoder").eval(),
            *Experts.load(folder, device),
            load(Fusion, folder, "fusion").to(device).eval(),
            folder,
            load(Closer, folder, CLOSER) if has(folder, CLOSER) else None,
        )

    @classmethod
    def random(cls, seed: int = 0) -> Networks:
        """Small, with random weights: a locator that finds every part somewhere. For tests of what surrounds them."""
        torch.manual_seed(seed)
        small: dict[str, Any] = {"dim": 32, "layers": 1, "heads": 2, "dropout": 0.0}
        sizes = {"sign": (MANUAL, 5), "fingerspelling": (MANUAL, len(LETTERS) + 1), "lips": (MOUTH, len(PHONEMES) + 1)}
        experts: dict[str, Any] = {
            name: Expert(ExpertConfig(in_features=features, vocabulary=size, **small)).eval()
            for name, (features, size) in sizes.items()
        }
        dims = {f"{name}_dim": small["dim"] for name in sizes}
        return cls(
            Locator(LocatorConfig(stem=8, channels=(8, 8, 8, 8), threshold=0.01)).eval(),
            HandEncoder(HandEncoderConfig(stem=8, channels=(8, 8), blocks=(1, 1))).eval(),
            MouthEncoder(MouthEncoderConfig(stem=4, channels=(4, 4))).eval(),
            router=Router(RouterConfig(**small)).eval(),
            fusion=Fusion(FusionConfig(sign_vocabulary=sizes["sign"][1], **dims, **small)).eval(),
            **experts,
        )

    def sight(self, slots: int, backend: Backend) -> Sight:
        return Sight(self.locator, self.hand, self.mouth, slots, backend, closer=self.closer)

    def temporal(self, slots: int, backend: Backend | None = None) -> Temporal:
        experts = (self.sign, self.fingerspelling, self.lips)
        return Temporal(self.router, *experts, self.fusion, slots, backend, self.folder)

    def write_graphs(self, folder: Path) -> list[Path]:
        """The graphs of those over time, for all weights of these sizes; needs the extra `bench`."""
        return Temporal.write(self.router, self.sign, self.fingerspelling, self.lips, self.fusion, folder)

    @torch.inference_mode()
    def offline(self, manual: Tensor, mouth: Tensor) -> Tensor:
        """Joint log posteriors (batch, steps, V) of whole sequences, features (batch, steps, 216) and (batch, steps, 96)."""
        experts = Experts(self.router, self.sign, self.fingerspelling, self.lips)
        out: Tensor = self.fusion(experts.hear((manual, manual, mouth))).log_probs
        return out
