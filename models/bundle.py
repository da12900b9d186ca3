"""A whole translator from one checkpoint folder, or a small random one for tests of what surrounds it."""

from __future__ import annotations

from pathlib import Path

import torch

from models.backends import Backend
from models.checkpoint import CheckpointError, has, load
from models.closer import CLOSER, Closer
from models.confidence import Calibrator
from models.config import BeamConfig, ExpertConfig, FusionConfig, RouterConfig
from models.experts import Expert
from models.features import HandEncoder, HandEncoderConfig
from models.fusion import Fusion
from models.hearing import Experts
from models.layout import MANUAL, MOUTH
from models.lips import MouthEncoder, MouthEncoderConfig
from models.locate import Locator, LocatorConfig
from models.names import show
from models.pipeline import Translator
from models.quantised import Precision
from models.refine import Refiner
from models.routing import Router
from models.sight import Sight
from models.speech import Speaker
from models.temporal import Temporal
from models.vocabulary import LETTERS, PHONEMES, Vocabulary, joint

GLOSSES = "glosses.txt"


def translator(
    folder: Path, device: str = "cpu", slots: int = 4, backend: Backend | None = None,
    precision: Precision | None = "fp32",
) -> Translator:  # fmt: skip
    """Loads every stage of a checkpoint; CheckpointError or RefinerError names the first part that is missing.

    `precision` is the language model's; with None there is none, and captions are drafts.
    """
    if not folder.is_dir():
        raise CheckpointError(f"expected a checkpoint folder at {folder}, but there is none: give one, or train one")
    glosses = Vocabulary.read(folder / GLOSSES)
    backend = backend or Backend("auto", device, torch.get_num_threads())
    closer = load(Closer, folder, CLOSER) if has(folder, CLOSER) else None
    sight = Sight(load(Locator, folder, "locate"), load(HandEncoder, folder, "hand_encoder"),
                  load(MouthEncoder, folder, "mouth_encoder"), slots, backend, folder, closer)  # fmt: skip
    experts, fusion = Experts.load(folder, device), fusion_of(folder, glosses).to(device)
    temporal = Temporal(*experts, fusion, slots, backend, folder)
    refiner = language(folder, device, precision) if precision is not None else None
    confidence = folder / "confidence.json"
    calibrator = Calibrator.load(confidence) if confidence.is_file() else None
    return Translator(sight, temporal, joint(glosses), Speaker(refiner, calibrator))


def fusion_of(folder: Path, glosses: Vocabulary) -> Fusion:
    """The checkpoint's fusion; CheckpointError where it was not trained with these glosses."""
    fusion = load(Fusion, folder, "fusion")
    if fusion.config.sign_vocabulary != glosses.size:
        raise CheckpointError(
            f"{folder / GLOSSES} holds {glosses.size - 1} glosses, but fusion was trained with "
            f"{fusion.config.sign_vocabulary - 1}: take both from the same training"
        )
    return fusion


def language(folder: Path, device: str = "cpu", precision: Precision = "fp32", adapter: str | None = None) -> Refiner:
    """The checkpoint's language model with all its adapters; `adapter` is for segments that ask for none.

    On a GPU fp32 weights are held as bf16.
    """
    adapters = {card.parent.name: card.parent for card in (folder / "adapters").glob("*/adapter_config.json")}
    held: Precision = "bf16" if device.startswith("cuda") and precision == "fp32" else precision
    chosen = folder / "adapters" / adapter if adapter else None
    return Refiner.load(folder / "llm", chosen, held, show, adapters=adapters, device=device)


def random_translator(slots: int = 2, seed: int = 0) -> Translator:
    """Small random weights, no language model: drafts only. For tests; it understands nothing."""
    torch.manual_seed(seed)
    glosses = Vocabulary(("I", "NAME", "WANT", "WATER"))
    small = {"dim": 32, "layers": 1, "heads": 2, "dropout": 0.0}
    sight = Sight(Locator(LocatorConfig(stem=8, channels=(8, 8, 8, 8), threshold=0.01)),
                  HandEncoder(HandEncoderConfig(stem=8, channels=(8, 8), blocks=(1, 1))),
                  MouthEncoder(MouthEncoderConfig(stem=4, channels=(4, 4))), slots)  # fmt: skip
    experts = [
        Expert(ExpertConfig(in_features=features, vocabulary=size, **small))  # type: ignore[arg-type]
        for features, size in ((MANUAL, glosses.size), (MANUAL, len(LETTERS) + 1), (MOUTH, len(PHONEMES) + 1))
    ]
    fusion = Fusion(FusionConfig(sign_vocabulary=glosses.size, sign_dim=32, fingerspelling_dim=32, lips_dim=32,
                                 **small))  # type: ignore[arg-type]  # fmt: skip
    router = Router(RouterConfig(**small))  # type: ignore[arg-type]
    with torch.no_grad():
        router.head.bias.copy_(torch.tensor([2.0, 1.0, 0.0]))
    temporal = Temporal(router, experts[0], experts[1], experts[2], fusion, slots)
    # random posteriors are never sure enough for a sign that costs something
    return Translator(sight, temporal, joint(glosses), Speaker(None, None), BeamConfig(sign_cost=0.0))
