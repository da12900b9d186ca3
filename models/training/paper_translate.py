"""A translator of the paper's sizes from the weights of a `--preset paper` run: whole clips in, captions out.

The same networks, search, names and language model as live; they see a clip at once, which gives what chunk after chunk
gives. The live path itself (`pipeline.Translator`) serves the compact preset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models.bundle import GLOSSES, fusion_of, language
from models.decoded import reading_of
from models.fusion import Fusion
from models.hearing import Experts
from models.hypothesis import Caption, Hypothesis, Token
from models.prompts import Request
from models.speech import Speaker
from models.training.feature_clips import IGNORED
from models.training.loop import moved
from models.training.paper_clips import SeenClip
from models.training.paper_features import Eyes, batch_of
from models.training.paper_language import ADAPTER
from models.vocabulary import Vocabulary, joint


@dataclass(frozen=True)
class PaperTranslator:
    """Eyes, experts, fusion and language model of one folder."""

    eyes: Eyes
    experts: Experts
    fusion: Fusion
    symbols: Vocabulary
    speaker: Speaker
    device: torch.device

    @staticmethod
    def load(folder: Path, device: torch.device) -> PaperTranslator:
        """Raises CheckpointError, or RefinerError, for the first part that is missing or does not fit."""
        glosses = Vocabulary.read(folder / GLOSSES)
        fusion, refiner = fusion_of(folder, glosses).to(device), None
        if (folder / "llm" / "config.json").is_file():
            refiner = language(folder, str(device), "4bit" if device.type == "cuda" else "fp32", ADAPTER)
        return PaperTranslator(
            Eyes(folder, device),
            Experts.load(folder, device).frozen(),
            fusion,
            joint(glosses),
            Speaker(refiner, None),
            device,
        )

    @torch.inference_mode()
    def hypothesis(self, clip: SeenClip) -> Hypothesis:
        """The best reading of a clip, taken as one segment."""
        seen = self.eyes.see(clip)
        row = (seen["sign"], seen.get("fingerspelling", seen["sign"]), seen["lips"], torch.full((len(clip),), IGNORED))
        batch = moved(batch_of([row], [[]], IGNORED), self.device)
        heard = self.experts.hear(batch.features, batch.mask)
        fused = self.fusion(heard)
        sign, spelled, rest = heard.routes[0].mean(0).tolist()
        return reading_of(
            fused.log_probs[0].cpu().numpy(), fused.alpha[0].cpu().numpy(), self.symbols,
            route=(sign, spelled, rest), locator=float(clip.hands.mean()),
        )  # fmt: skip

    def write(self, tokens: Sequence[str]) -> str:
        """What the language model makes of tokens ("NAME", "#MARIA") that were read without a fault; "" without one."""
        read = [
            Token(token.removeprefix("#"), "fingerspelling" if token.startswith("#") else "sign", at, at + 1, 1.0)
            for at, token in enumerate(tokens)
        ]
        refiner = self.speaker.refiner
        written = refiner.refine([Request(tuple(read))])[0] if refiner is not None else None
        return written.text if written is not None else ""

    def translate(self, clip: SeenClip) -> Caption:
        """The sentence; a draft of the tokens where the folder has no language model."""
        (caption,) = self.speaker.refine([self.hypothesis(clip)])
        return caption
