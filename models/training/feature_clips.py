"""Cached features of clips: what the frozen eyes saw, with every target the experts, the router and fusion learn from.

`FeatureClip` is one clip, `FeatureStore` all of them end to end in a few tensors, on the device that trains, so that a
batch is a gather. This file knows no picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.loop import moved
from models.vocabulary import BLANK, LETTERS, PHONEMES, Vocabulary, joint

FloatArray = NDArray[np.float32]
IGNORED = -100
UNSURE = -1
"""Joint id of a step whose symbol is not trained."""
WRITERS = {"spelled": "spelling", "silent": "silence"}
"""The stages that write other stores than `features` does."""


@dataclass(frozen=True)
class FeatureClip:
    """One clip's features (T, ...) and truth; `symbols` holds the joint symbol a step, "?" where none is trained."""

    manual: FloatArray
    mouth: FloatArray
    routes: NDArray[np.int8]
    symbols: tuple[str, ...]
    tokens: tuple[str, ...]
    """Joint symbols in order of time: glosses and "#M"."""
    phonemes: tuple[str, ...]
    english: str = ""

    def __len__(self) -> int:
        return len(self.manual)


@dataclass(frozen=True)
class Targets:
    """Vocabularies of the three experts and of fusion."""

    glosses: Vocabulary
    letters: Vocabulary
    phonemes: Vocabulary
    joint: Vocabulary

    @staticmethod
    def of(glosses: tuple[str, ...]) -> Targets:
        return Targets(Vocabulary(glosses), Vocabulary(tuple(LETTERS)), Vocabulary(tuple(PHONEMES)),
                       joint(glosses))  # fmt: skip

    def of_expert(self, name: str) -> Vocabulary:
        return {"sign": self.glosses, "fingerspelling": self.letters, "lips": self.phonemes, "fusion": self.joint}[name]

    def own_ids(self, name: str) -> list[int]:
        """Joint id -> the expert's own id, BLANK for what another expert says; the last place (joint id -1) is IGNORED."""
        signs, letters = self.glosses.size - 1, self.letters.size - 1
        of_signs = list(range(1, signs + 1)) if name in ("sign", "fusion") else [BLANK] * signs
        if name == "fusion":
            of_letters = list(range(signs + 1, signs + letters + 1))
        else:
            of_letters = list(range(1, letters + 1)) if name == "fingerspelling" else [BLANK] * letters
        return [BLANK, *of_signs, *of_letters, IGNORED]


@dataclass(frozen=True)
class Batch:
    """Padded to the longest clip: features (B, T, ...), lengths (B,), CTC targets and framewise labels (B, T)."""

    manual: Tensor
    mouth: Tensor
    routes: Tensor
    lengths: Tensor
    targets: list[list[int]]
    frames: Tensor
    """Framewise symbol ids, `IGNORED` where not trained."""

    @property
    def features(self) -> tuple[Tensor, Tensor, Tensor]:
        """As the experts for signs, letters and lips take them."""
        return self.manual, self.manual, self.mouth


@dataclass(frozen=True)
class FeatureStore:
    """N steps of all clips end to end: manual (N, 216) and mouth (N, 96) in half precision, routes (N,), joint symbol ids
    (N,) with UNSURE where not trained; clip c has the steps starts[c] to starts[c] + lengths[c]."""

    manual: Tensor
    mouth: Tensor
    routes: Tensor
    symbols: Tensor
    starts: Tensor
    lengths: Tensor
    tokens: list[list[int]]
    phonemes: list[list[int]]
    english: list[str]
    glosses: list[str]
    """What the ids stand for: the glosses of the joint vocabulary, in order."""

    def __len__(self) -> int:
        return len(self.lengths)

    @staticmethod
    def of(clips: Sequence[FeatureClip], targets: Targets) -> FeatureStore:
        """Packs clips; a symbol that the vocabularies lack is a ValueError."""
        ids = {"": BLANK, "?": UNSURE, **targets.joint.ids}
        lengths = torch.tensor([len(clip) for clip in clips])
        symbols = [targets.joint.encode([s])[0] if s not in ids else ids[s] for clip in clips for s in clip.symbols]
        return FeatureStore(
            torch.cat([torch.from_numpy(clip.manual).half() for clip in clips]),
            torch.cat([torch.from_numpy(clip.mouth).half() for clip in clips]),
            torch.cat([torch.from_numpy(clip.routes) for clip in clips]),
            torch.tensor(symbols, dtype=torch.int16), lengths.cumsum(0) - lengths, lengths,
            [targets.joint.encode(clip.tokens) for clip in clips],
            [targets.phonemes.encode(clip.phonemes) for clip in clips], [clip.english for clip in clips],
            list(targets.glosses.tokens),
        )  # fmt: skip

    @staticmethod
    def joined(stores: Sequence[FeatureStore]) -> FeatureStore:
        """One store of several, in their order; raises ValueError where their ids stand for other glosses."""
        if any(store.glosses != stores[0].glosses for store in stores):
            raise ValueError("expected stores of the same glosses, but they differ: read them with the same `targets`")
        lengths = torch.cat([store.lengths for store in stores])
        manual, mouth, routes, symbols = (
            torch.cat([getattr(store, name) for store in stores]) for name in ("manual", "mouth", "routes", "symbols")
        )
        return FeatureStore(
            manual, mouth, routes, symbols, lengths.cumsum(0) - lengths, lengths,
            [row for store in stores for row in store.tokens], [row for store in stores for row in store.phonemes],
            [text for store in stores for text in store.english], stores[0].glosses,
        )  # fmt: skip

    def part(self, clips: Sequence[int]) -> FeatureStore:
        """A store of these clips alone."""
        steps = torch.cat([torch.arange(int(self.starts[c]), int(self.starts[c] + self.lengths[c])) for c in clips])
        lengths = self.lengths[torch.tensor(clips, device=self.lengths.device)]
        at = steps.to(self.manual.device)
        return FeatureStore(
            self.manual[at], self.mouth[at], self.routes[at], self.symbols[at], lengths.cumsum(0) - lengths, lengths,
            [self.tokens[c] for c in clips], [self.phonemes[c] for c in clips], [self.english[c] for c in clips],
            self.glosses,
        )  # fmt: skip

    def to(self, device: torch.device) -> FeatureStore:
        """The same with its tensors on a device."""
        return moved(self, device)

    def clip(self, number: int, targets: Targets) -> FeatureClip:
        """One clip, unpacked."""
        own = slice(int(self.starts[number]), int(self.starts[number] + self.lengths[number]))
        names = ["", *targets.joint.tokens, "?"]
        return FeatureClip(
            self.manual[own].float().cpu().numpy(), self.mouth[own].float().cpu().numpy(),
            self.routes[own].cpu().numpy(), tuple(names[i] for i in self.symbols[own].tolist()),
            tuple(targets.joint.decode(self.tokens[number])), tuple(targets.phonemes.decode(self.phonemes[number])),
            self.english[number],
        )  # fmt: skip

    def targets(self, name: str, targets: Targets) -> list[list[int]]:
        """CTC targets of every clip for one expert or for fusion."""
        if name == "lips":
            return self.phonemes
        own = targets.own_ids(name)
        return [[own[token] for token in row if own[token] != BLANK] for row in self.tokens]

    def save(self, path: Path) -> None:
        """Writes the store, first beside its place."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        torch.save(
            {name: value.cpu() if isinstance(value, Tensor) else value for name, value in vars(self).items()}, beside
        )
        beside.replace(path)

    @staticmethod
    def read(path: Path, targets: Targets | None = None) -> FeatureStore:
        """Reads a store, with the ids of `targets`; an error names the stage that writes it."""
        if not path.is_file():
            stage = WRITERS.get(path.stem, "features")
            raise ValueError(f"expected cached features at {path}, but there are none: run `signbind train {stage}`")
        held = torch.load(path, weights_only=True)
        if "glosses" not in held:
            raise ValueError(f"{path} does not say which glosses it knows: delete it and run `signbind train features`")
        store = FeatureStore(**held)
        return store if targets is None else store.translated(targets)

    def translated(self, targets: Targets) -> FeatureStore:
        """The same with the ids of a lexicon that grew; raises ValueError naming a gloss that it lacks."""
        if self.glosses == list(targets.glosses.tokens):
            return self
        table = [BLANK, *targets.joint.encode(joint(self.glosses).tokens)]
        ids = torch.tensor([*table, UNSURE], dtype=self.symbols.dtype, device=self.symbols.device)
        tokens = [[table[token] for token in row] for row in self.tokens]
        return replace(self, symbols=ids[self.symbols.long()], tokens=tokens, glosses=list(targets.glosses.tokens))
