"""The paper's networks at the paper's sizes: DINOv2 ViT-B/14 on body and hands, a ViT-B on the mouth, chunked experts,
six layers of fusion. Frames cross to the device as bytes; crops, encoders and the networks over time run there.

Used with random weights to measure what one GPU carries (`signbind bench paper`); no checkpoint of this size is bundled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from models.captured import compiled, state_tensors
from models.clock import CHUNK_FRAMES, HEIGHT, WIDTH
from models.config import BeamConfig, Config, ExpertConfig, FusionConfig, RouterConfig
from models.experts import Expert
from models.fusion import Fusion, FusionInput
from models.patches import Patching, colours, cut
from models.routing import Router, from_rest, holding
from models.static_llama import LlamaSizes
from models.vit import VisionConfig, VisionTransformer, Way
from models.vocabulary import LETTERS, PHONEMES

CROPS = ("body", "right_hand", "left_hand", "mouth")
SYMBOLS = BeamConfig().symbols  # likeliest symbols of a step that the search on the host looks at
GLOSSES = 5000


@dataclass(frozen=True, kw_only=True)
class PaperConfig(Config):
    """Sizes of all stages. The mouth is seen at 112 px: its crop holds fewer pixels than that in a 640 x 480 frame."""

    width: int = WIDTH
    height: int = HEIGHT
    body_and_hands: VisionConfig = VisionConfig()
    mouth: VisionConfig = VisionConfig(picture_px=112, patch_px=16, eps=1e-12)
    dim: int = 512
    heads: int = 8
    expert_layers: int = 6
    fusion_layers: int = 6
    glosses: int = GLOSSES
    language: LlamaSizes = LlamaSizes()

    @classmethod
    def reduced(cls) -> PaperConfig:
        """The same structure, small enough for a processor to run it in tests."""
        tiny = VisionConfig(picture_px=28, patch_px=14, dim=32, layers=2, heads=2, hidden=64)
        return cls(
            width=80, height=60, body_and_hands=tiny, mouth=replace(tiny, patch_px=7, layers=3), dim=16, heads=2,
            expert_layers=1, fusion_layers=1, glosses=20,
            language=LlamaSizes(dim=32, layers=2, heads=2, hidden=64, vocabulary=99, lora_rank=2),
        )  # fmt: skip

    @property
    def manual(self) -> int:
        """Features of body and both hands in a step."""
        return 3 * self.body_and_hands.dim

    @property
    def sight_flops(self) -> int:
        """Operations of the encoders a frame."""
        return 3 * self.body_and_hands.flops + self.mouth.flops

    def expert(self, in_features: int, vocabulary: int) -> ExpertConfig:
        """One of the three."""
        return ExpertConfig(
            dim=self.dim, heads=self.heads, layers=self.expert_layers, in_features=in_features, vocabulary=vocabulary
        )

    @property
    def fusion(self) -> FusionConfig:
        """All of them joined."""
        return FusionConfig(
            dim=self.dim, heads=self.heads, layers=self.fusion_layers, sign_vocabulary=self.glosses + 1,
            sign_dim=self.dim, fingerspelling_dim=self.dim, lips_dim=self.dim,
        )  # fmt: skip


class PaperSight:
    """Frames (frames, height, width, 3) uint8 and boxes (frames, 4 crops, 4) -> features (frames, manual + mouth).

    Every frame is encoded once. Boxes are those of `patches.cut`, in the order of CROPS.
    """

    def __init__(self, config: PaperConfig, large: VisionTransformer, small: VisionTransformer) -> None:
        self.config, self.large, self.small = config, large, small
        self.dtype, self.colours = large.first.dtype, colours(large.first.device)

    @classmethod
    def random(cls, config: PaperConfig, device: torch.device, dtype: torch.dtype) -> PaperSight:
        """Random weights, made where they are used."""
        kinds = (config.body_and_hands, config.mouth)
        large, small = (VisionTransformer.random(kind, device, dtype) for kind in kinds)
        return cls(config, large, small)

    def use(self, way: Way) -> None:
        """Computes that way from now on."""
        self.large.way = self.small.way = way

    def exact(self) -> PaperSight:
        """A copy in single precision, computed the plain way."""
        copy = PaperSight(self.config, self.large.to(torch.float32), self.small.to(torch.float32))
        copy.use(Way())
        return copy

    @torch.no_grad()
    def __call__(self, frames: Tensor, boxes: Tensor) -> Tensor:
        large = torch.cat([self.patches(self.large.config, frames, boxes[:, crop]) for crop in range(3)])
        small = self.patches(self.small.config, frames, boxes[:, 3])
        manual = self.large(large).view(3, len(frames), -1).transpose(0, 1).flatten(1)
        return torch.cat((manual, self.small(small)), 1)

    def patches(self, sizes: VisionConfig, frames: Tensor, boxes: Tensor) -> Tensor:
        """What an encoder of these sizes gets of the frames."""
        cutting = compiled(cut) if self.large.way.compiled else cut
        want = Patching(sizes.picture_px, sizes.patch_px, sizes.patch_values, self.dtype)
        found: Tensor = cutting(frames, boxes, self.colours, want)
        return found


class PaperTemporal:
    """Features of one chunk of some slots -> the likeliest symbols of every step. Single precision throughout.

    `slots` are real ones; one more takes what a padded batch says of nobody. Only the slots asked for run and move on.
    """

    def __init__(self, config: PaperConfig, slots: int, device: torch.device) -> None:
        self.config, self.slots, self.device = config, slots, device
        manual, mouth = config.manual, config.mouth.dim
        router = RouterConfig(in_features=manual, dim=config.dim // 2)
        with torch.device(device):
            self.router = Router(router).eval()
            self.sign = Expert(config.expert(manual, config.glosses + 1)).eval()
            self.fingerspelling = Expert(config.expert(manual, len(LETTERS) + 1)).eval()
            self.lips = Expert(config.expert(mouth, len(PHONEMES) + 1)).eval()
            self.fusion = Fusion(config.fusion).eval()
            nn.init.normal_(self.fusion.head.weight, 0, config.dim**-0.5)  # untrained it is zero and says nothing
        networks = (self.router, self.sign, self.fingerspelling, self.lips, self.fusion)
        self._memories = {network: network.encoder.new_state(slots + 1, device) for network in networks}
        self._from_rest = torch.zeros(slots + 1, dtype=torch.int64, device=device)

    @property
    def state(self) -> list[Tensor]:
        """All that is written in place."""
        return state_tensors(self._from_rest, list(self._memories.values()))

    @torch.no_grad()
    def __call__(self, features: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """features (n * CHUNK_FRAMES, manual + mouth) of the slots `rows` (n,) -> log posteriors and symbols.

        Both are (n, CHUNK_FRAMES, SYMBOLS). Padding has row `slots`.
        """
        chunk = features.float().view(len(rows), CHUNK_FRAMES, -1)
        manual, mouth = chunk[..., : self.config.manual], chunk[..., self.config.manual :]
        held = holding(self._from_rest[rows])
        routes = self._advance(self.router, rows, manual, held).routes
        self._from_rest[rows] = from_rest(routes)
        experts = ((self.sign, manual), (self.fingerspelling, manual), (self.lips, mouth))
        heard = [part for expert, said in experts for part in self._advance(expert, rows, said)]
        log_probs = self._advance(self.fusion, rows, FusionInput._make((*heard, routes))).log_probs
        likeliest = log_probs.topk(SYMBOLS, -1)
        return likeliest.values, likeliest.indices

    def _advance(self, network: Any, rows: Tensor, *inputs: Any) -> Any:
        """One chunk of the slots `rows` through a network, which remembers it."""
        memory = self._memories[network]
        sight = network.encoder.sight(memory.seen[rows], memory.tails)
        out, fresh = network.advance(*inputs, sight, memory.kept(rows))
        memory.put(fresh, rows)
        return out
