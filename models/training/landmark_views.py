"""Views of hands, and what two networks say of each: the landmark network at its own size, and the encoder that the experts know.

Drawn once and kept: the landmark network takes ten times as long for a picture as a small encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.features import HandEncoder
from models.landmarks import LandmarkTrunk
from models.training.hand_looks import coarser, draw_views, placed_finely, relight
from models.training.hand_pools import DRAWN_CHANGES, EMPTY_CHANGES, SIGNING_CHANGES, HandPools
from models.training.landmark_weights import PUBLISHED_PX
from models.training.loop import RUNS

COUNTS = {"photographs": 24_000, "signing": 7_000, "drawn": 9_000, "empty": 1_500}
BATCH = {"photographs": 36, "signing": 9, "drawn": 15, "empty": 4}
AT_ONCE = 64
RELIT = 0.6
"""Of the views of a batch; the teachers saw all of them in their own light."""


@dataclass(frozen=True)
class Views:
    """Of one kind: `pictures` (N, 3, 64, 64) uint8; `seen` (N, 1152) by the landmark trunk and `known` (N, 96) to the experts, in
    half precision; `symbols` (N,) 0-35 or -1."""

    pictures: Tensor
    seen: Tensor
    known: Tensor
    symbols: Tensor


@dataclass(frozen=True)
class Taught:
    """A batch of all kinds: `pictures` (N, 3, 64, 64) in -1..1, the rest as in `Views`; `stays` (N,): whether the experts
    meet such pictures in signing, so that the embedding must stay where they know it."""

    pictures: Tensor
    seen: Tensor
    known: Tensor
    symbols: Tensor
    stays: Tensor


def stays(kind: str) -> bool:
    """Photographs alone move: what is better known of letters has to go somewhere."""
    return kind != "photographs"


def kept(
    data: Path, clips: Path, trunk: LandmarkTrunk, before: HandEncoder, *, permissive_only: bool = False
) -> dict[str, Views]:
    """All views by kind, from `RUNS`/landmark_views.pt if they lie there."""
    path = RUNS / ("landmark_views_permissive.pt" if permissive_only else "landmark_views.pt")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        pools = HandPools(data, clips, torch.device("cpu"), COUNTS["drawn"], permissive_only=permissive_only)
        drawn = draw(pools, trunk, before, COUNTS)
        torch.save({kind: vars(views) for kind, views in drawn.items()}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    held = torch.load(path, weights_only=True)
    return {kind: Views(**one) for kind, one in held.items()}


@torch.inference_mode()
def draw(pools: HandPools, trunk: LandmarkTrunk, before: HandEncoder, counts: dict[str, int]) -> dict[str, Views]:
    """At least so many views of each kind; without any of hands of real signing where there are none. ValueError without
    drawn ones, since then nothing says what hands of signing look like to the experts."""
    if pools.drawn is None:
        raise ValueError(f"expected drawn clips in {pools.clips}, but there are none: run `signbind train clips` first")
    drawn: dict[str, Views] = {}
    for kind, count in counts.items():
        if kind == "signing" and not len(pools.signing.pictures):
            continue
        parts = [_some(pools, kind, trunk, before) for _ in range(-(-count // AT_ONCE))]
        columns = ("pictures", "seen", "known", "symbols")
        drawn[kind] = Views(*(torch.cat([getattr(part, column) for part in parts]) for column in columns))
        print(f"landmark views: {len(drawn[kind].symbols)} of {kind}", flush=True)
    return drawn


def _some(pools: HandPools, kind: str, trunk: LandmarkTrunk, before: HandEncoder) -> Views:
    fine, symbols = _laid(pools, kind)
    fine = _lit(fine)
    small = coarser(fine)
    size = (PUBLISHED_PX, PUBLISHED_PX)
    shown = F.interpolate(fine, size=size, mode="bilinear", align_corners=False)
    return Views((small * 255).round().byte(), trunk(shown).half(), before.embed(small * 2 - 1).half(), symbols)


def _laid(pools: HandPools, kind: str) -> tuple[Tensor, Tensor]:
    """Views with 128 pixels a side, and their symbols."""
    changes = {
        "photographs": pools.changes, "signing": SIGNING_CHANGES, "drawn": DRAWN_CHANGES, "empty": EMPTY_CHANGES
    }[kind]  # fmt: skip
    view = draw_views(AT_ONCE, changes, pools.device)
    empty = pools.empty[torch.randint(len(pools.empty), (AT_ONCE,), device=pools.device)]
    if kind == "empty":
        return placed_finely(empty, None, None, view, changes), torch.full((AT_ONCE,), -1)
    pool = {"photographs": pools.photographs, "signing": pools.signing, "drawn": pools.drawn}[kind]
    assert pool is not None, kind
    rows = pool.draw(AT_ONCE)
    opaque = None if pool.opaque is None else pool.opaque[rows]
    return placed_finely(pool.pictures[rows], opaque, empty, view, changes), pool.symbols[rows]


def _lit(pictures: Tensor) -> Tensor:
    """A little other light and colour."""
    count = len(pictures)
    gamma, colour, gain = (
        torch.randn(count, 1, 1, 1) * 0.2,
        torch.randn(count, 3, 1, 1) * 0.06,
        torch.randn(count, 1, 1, 1) * 0.12,
    )
    return (pictures.clamp(1e-4, 1).pow(gamma.exp()) * (colour + gain).exp()).clamp(0, 1)


def batches(views: dict[str, Views]) -> Iterator[Taught]:
    """Endless batches of all kinds; most pictures in a light in which neither teacher saw them."""
    while True:
        rows = {kind: torch.randint(len(one.symbols), (BATCH[kind],)) for kind, one in views.items()}
        pictures, seen, known, symbols = (
            torch.cat([getattr(one, column)[rows[kind]] for kind, one in views.items()])
            for column in ("pictures", "seen", "known", "symbols")
        )
        plain = pictures.float() / 255
        relit = torch.rand(len(plain), 1, 1, 1) < RELIT
        held = torch.cat([torch.full((len(rows[kind]),), stays(kind)) for kind in views])
        yield Taught(torch.where(relit, relight(plain), plain) * 2 - 1, seen.float(), known.float(), symbols, held)
