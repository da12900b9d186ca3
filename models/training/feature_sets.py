"""Which cached clips each network learns from, and endless batches of random takes of them.

`synthetic.pt` holds clips of the drawn signer, `spelled.pt` real hands that spell (from photographs), `held_out.pt`
clips of signers and sentences that no training sees. A take is a clip with its time stretched, its places shifted and
scaled, hands lost for moments, embeddings noisy, sometimes mirrored; all of a batch at once, on the store's device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.layout import GEOMETRY, HAND
from models.training.feature_clips import IGNORED, Batch, FeatureStore, Targets
from models.training.loop import RUNS

FEATURES = RUNS / "features"
HELD_OUT_WORDS = 100  # of the words spelled by real hands: the last, kept for measuring
CPU_FRAMES, GPU_FRAMES = 2200, 14_000  # steps of one batch
POOL = 12  # batches that are drawn together and sorted by length
MIRROR_ORDER = [*range(6, 12), *range(6), 12, 13, 14, *range(18, 21), *range(15, 18), 21, 22, 23]
MIRROR_SIGN = torch.ones(GEOMETRY)
MIRROR_SIGN[[1, 4, 7, 10, 13, 15, 18]] = -1
"""Geometry in a mirror (channels: models/crops.py): sides change places, every x changes its sign; the distance
between the hands keeps its x (both the sides and the axis turn) and changes its y."""


def glosses_of(path: Path) -> tuple[str, ...]:
    """The gloss vocabulary, one a line, as `glosses.txt` keeps it."""
    return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line)


@dataclass(frozen=True)
class Takes:
    """How far a take differs from its clip; 0 leaves it as it is."""

    strength: float = 1.0
    slowest: float = 0.85
    fastest: float = 1.2  # length of the take, in lengths of the clip
    mirror: float = 0.12


@dataclass(frozen=True)
class Source:
    """A store with the CTC targets and framewise ids of one expert."""

    store: FeatureStore
    targets: list[list[int]]
    own: Tensor
    """Joint id -> own id, (symbols + 1,); the last is for steps that are not trained."""

    @staticmethod
    def of(store: FeatureStore, name: str, targets: Targets) -> Source:
        own = torch.tensor(targets.own_ids("sign" if name == "lips" else name), device=store.manual.device)
        return Source(store, store.targets(name, targets), own)

    def take(self, clips: Tensor, takes: Takes) -> Batch:
        """A batch of random takes of the clips (B,)."""
        store = self.store
        lengths = store.lengths[clips]
        rate = torch.empty(len(clips), device=lengths.device).uniform_(takes.slowest, takes.fastest)
        stretched = (lengths * rate).round().long().clamp(min=8) if takes.strength else lengths
        steps = int(stretched.max())
        at = _places(lengths, stretched, steps, 0.8 if takes.strength else 0.0) + store.starts[clips][:, None]
        own = torch.arange(steps, device=at.device) < stretched[:, None]
        manual, mouth = store.manual[at].float() * own[..., None], store.mouth[at].float() * own[..., None]
        if takes.strength:
            manual, mouth = varied(manual, mouth, own, takes)
        routes = torch.where(own, store.routes[at].long(), IGNORED)
        frames = torch.where(own, self.own[store.symbols[at].long()], IGNORED)
        return Batch(manual, mouth, routes, stretched, [self.targets[c] for c in clips.tolist()], frames)


def _places(lengths: Tensor, stretched: Tensor, steps: int, wander: float) -> Tensor:
    """Which step of the clip stands at each step of the take, (B, steps): never backwards, never beyond the end."""
    share = torch.arange(steps, device=lengths.device) / (stretched[:, None] - 1).clamp(min=1)
    at = share.clamp(max=1.0) * (lengths[:, None] - 1)
    if wander:
        at = at + slow_noise(len(lengths), steps, 1, wander, lengths.device)[..., 0]
    last = (lengths - 1)[:, None]
    return at.round().long().clamp(min=0).minimum(last).cummax(dim=1).values


def slow_noise(rows: int, steps: int, channels: int, size: float, device: torch.device) -> Tensor:
    """Random curves (rows, steps, channels) of deviation `size` with a knot about every 12 steps."""
    knots = torch.randn(rows, channels, max(2, steps // 12), device=device) * size
    return interpolate(knots, size=steps, mode="linear", align_corners=True).transpose(1, 2)


def varied(manual: Tensor, mouth: Tensor, own: Tensor, takes: Takes) -> tuple[Tensor, Tensor]:
    """Another take of features (B, T, 216) and (B, T, 96) whose steps `own` (B, T) are no padding."""
    manual = torch.where(
        (torch.rand(len(manual), device=own.device) < takes.mirror)[:, None, None], mirrored(manual), manual
    )
    hands, geometry = manual[..., : 2 * HAND].clone(), manual[..., 2 * HAND :].clone()
    for side in range(2):
        _move_hand(geometry, side, takes.strength)
        kept = ~_moments(own, 0.4 * takes.strength, 6)
        hands[..., HAND * side : HAND * (side + 1)] *= kept[..., None]
        geometry[..., 6 * side : 6 * side + 6] *= kept[..., None]
    shown = hands != 0
    hands = hands + shown * torch.randn_like(hands) * (0.15 * takes.strength * _deviation(hands, shown))
    noise = torch.randn_like(mouth) * (0.1 * takes.strength * mouth.std().clamp(min=1e-6))
    mouth = (mouth + noise * (mouth != 0)) * ~_moments(own, 0.3 * takes.strength, 10)[..., None]
    return torch.cat((hands, geometry), -1), mouth


def _deviation(values: Tensor, shown: Tensor) -> Tensor:
    """Standard deviation of the values that are shown; 0 where none is, as in a batch of empty rooms."""
    count = shown.sum().clamp(min=1)
    return ((values.square().sum() / count) - (values.sum() / count).square()).clamp(min=0).sqrt()


def mirrored(manual: Tensor) -> Tensor:
    """The same signing by a left-handed signer: hands change places (their embeddings are of right hands already)."""
    swapped = manual[..., : 2 * HAND].roll(HAND, dims=-1)
    return torch.cat((swapped, manual[..., 2 * HAND :][..., MIRROR_ORDER] * MIRROR_SIGN.to(manual.device)), dim=-1)


def _move_hand(geometry: Tensor, side: int, strength: float) -> None:
    """Shifts one hand's place, size and speed, in place, where it is seen."""
    rows, steps, device = geometry.shape[0], geometry.shape[1], geometry.device
    seen = (geometry[..., 6 * side] > 0.5)[..., None]
    shift = torch.randn(rows, 1, 2, device=device) * 0.06 * strength + slow_noise(
        rows, steps, 2, 0.04 * strength, device
    )
    size = torch.randn(rows, 1, 1, device=device) * 0.08 * strength
    speed = torch.randn(rows, steps, 2, device=device) * 0.02 * strength
    moved = torch.cat((shift, size.expand(-1, steps, -1), speed), -1)
    geometry[..., 6 * side + 1 : 6 * side + 6] += seen * moved


def _moments(own: Tensor, share: float, longest: int) -> Tensor:
    """A stretch of up to `longest` steps in a `share` of the rows: bool (B, T)."""
    rows, steps = own.shape
    start = (torch.rand(rows, 1, device=own.device) * own.sum(1, keepdim=True)).long()
    length = torch.randint(1, longest + 1, (rows, 1), device=own.device)
    at = torch.arange(steps, device=own.device)
    return (at >= start) & (at < start + length) & (torch.rand(rows, 1, device=own.device) < share)


def batches(source: Source, shares: list[tuple[list[int], float]], *, seed: int, takes: Takes) -> Iterator[Batch]:
    """Endless batches of clips of like length; each group of clip numbers fills its share of all clips drawn."""
    rng = np.random.default_rng(seed)
    device = source.store.manual.device
    lengths = source.store.lengths.cpu().numpy()
    frames = GPU_FRAMES if device.type == "cuda" else CPU_FRAMES
    typical = max(1, round(frames / float(np.mean(lengths))))
    decks = [_deck(group, rng) for group, _ in shares]
    total = sum(share for _, share in shares)
    while True:
        drawn = [next(deck) for deck, (_, share) in zip(decks, shares, strict=True)
                 for _ in range(round(POOL * typical * share / total))]  # fmt: skip
        drawn.sort(key=lambda clip: lengths[clip])
        groups: list[list[int]] = [[]]
        for clip in drawn:
            if groups[-1] and (len(groups[-1]) + 1) * lengths[clip] > frames:
                groups.append([])
            groups[-1].append(clip)
        for number in rng.permutation(len(groups)):
            yield source.take(torch.tensor(groups[number], device=device), takes)


def _deck(clips: list[int], rng: np.random.Generator) -> Iterator[int]:
    """The clips again and again, each time in another order."""
    while True:
        yield from (clips[i] for i in rng.permutation(len(clips)))


def validation(source: Source, size: int = 32) -> Iterator[Batch]:
    """All clips once, unvaried, those of like length together."""
    order = source.store.lengths.argsort()
    for start in range(0, len(order), size):
        yield source.take(order[start : start + size], Takes(strength=0.0, mirror=0.0))
