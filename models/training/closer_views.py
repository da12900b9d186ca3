"""Views of hands in fine crops, and what two networks say of each: the trunk of the closer look, and the encoder that the experts
know. Drawn once and kept: the trunk takes ten times as long for a picture as a small encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.backends import Network
from models.features import HandEncoder
from models.training import seen_clips
from models.training.features_stage import embedded
from models.training.hand_looks import Changes, coarser, draw_views, placed_finely
from models.training.hand_pools import DRAWN_CHANGES, EMPTY_CHANGES, SIGNING_CHANGES, HandPools
from models.training.loop import RUNS
from models.training.photographs import symbol_id
from models.training.seen_clips import SeenClip

COUNTS = {"photographs": 20_000, "spelled": 8_000, "signing": 2_500, "drawn": 3_000, "empty": 800}
AT_ONCE = 64
SOFT_SHARE = 0.35
"""Of the views, which are only as sharp as a small crop: a hand far from the camera has no more pixels."""
SPELLED_EVERY = 3  # such crops of a clip, neighbours are alike
SPELLED_CLIPS = 400


@dataclass(frozen=True)
class Views:
    """Of one kind: `seen` (N, 1152) by the trunk and `known` (N, 96) to the experts, in half precision; `symbols` (N,) 0-35 or
    -1."""

    seen: Tensor
    known: Tensor
    symbols: Tensor


def kept(
    data: Path, clips: Path, look: Network, before: HandEncoder, *, permissive_only: bool = False
) -> dict[str, Views]:
    """All views by kind, from `RUNS`/closer_views.pt if they lie there."""
    path = RUNS / ("closer_views_permissive.pt" if permissive_only else "closer_views.pt")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        pools = HandPools(data, clips, torch.device("cpu"), COUNTS["drawn"], permissive_only=permissive_only)
        drawn = draw(pools, look, before, COUNTS)
        torch.save({kind: vars(views) for kind, views in drawn.items()}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    held = torch.load(path, weights_only=True)
    return {kind: Views(**one) for kind, one in held.items()}


@torch.inference_mode()
def draw(pools: HandPools, look: Network, before: HandEncoder, counts: dict[str, int]) -> dict[str, Views]:
    """At least so many views of each kind, and all of `as_cut`; without any of hands of real signing where there are none.
    ValueError without drawn ones, since then nothing says what hands of signing look like to the experts."""
    spelled = finer_letters(pools.clips)
    if pools.drawn is None or not len(spelled[1]):
        raise ValueError(f"expected drawn clips in {pools.clips}, but there are none: run `signbind train clips` first")
    layings: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
        "photographs": lambda: _laid_photographs(pools), "spelled": lambda: _laid_letters(pools, *spelled),
        "signing": lambda: _laid_hands(pools, "signing", SIGNING_CHANGES),
        "drawn": lambda: _laid_hands(pools, "drawn", DRAWN_CHANGES), "empty": lambda: _laid_nothing(pools),
    }  # fmt: skip
    drawn: dict[str, Views] = {}
    for kind, count in counts.items():
        if kind == "signing" and not len(pools.signing.pictures):
            continue
        parts = [looked_at(*layings[kind](), look, before) for _ in range(-(-count // AT_ONCE))]
        columns = ("seen", "known", "symbols")
        drawn[kind] = Views(*(torch.cat([getattr(part, column) for part in parts]) for column in columns))
        print(f"closer views: {len(drawn[kind].symbols)} of {kind}", flush=True)
    drawn["as_cut"] = as_cut(pools.clips, look, before)
    return drawn


def as_cut(clips: Path, look: Network, before: HandEncoder) -> Views:
    """All drawn hands that hold a letter, as the live path cuts them."""
    parts = []
    for path in seen_clips.kept(clips):
        clip = seen_clips.read(path)
        rows, symbols = held_letters(clip)
        if len(rows):
            steps, sides = clip.finer_at[rows].T
            known = torch.from_numpy(embedded(before, clip.hands[steps, sides]))
            parts.append((torch.from_numpy(look(clip.finer[rows])).half(), known.half(), torch.from_numpy(symbols)))
    return Views(*(torch.cat(column) for column in zip(*parts, strict=True)))


def looked_at(fine: Tensor, symbols: Tensor, look: Network, before: HandEncoder) -> Views:
    """What both networks say of pictures (N, 3, 128, 128) in 0..1, some of them made soft, in a little other light."""
    soft = torch.rand(len(fine), 1, 1, 1) < SOFT_SHARE
    fine = lit(torch.where(soft, F.interpolate(coarser(fine), scale_factor=2.0, mode="bilinear"), fine))
    return Views(torch.from_numpy(look(as_crops(fine))).half(), before.embed(coarser(fine) * 2 - 1).half(), symbols)


def as_crops(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures (N, 3, S, S) in 0..1 as networks take crops."""
    crops: NDArray[np.uint8] = (pictures * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return crops


def finer_letters(clips: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Fine crops (N, 128, 128, 3) of drawn hands that hold a letter, and the letters (N,)."""
    pictures, symbols = [np.zeros((0, *(seen_clips.FINER_SIDE,) * 2, 3), np.uint8)], [np.zeros(0, np.int64)]
    for path in seen_clips.kept(clips)[:SPELLED_CLIPS]:
        clip = seen_clips.read(path)
        rows, held = held_letters(clip)
        pictures.append(clip.finer[rows[::SPELLED_EVERY]])
        symbols.append(held[::SPELLED_EVERY])
    return np.concatenate(pictures), np.concatenate(symbols)


def held_letters(clip: SeenClip) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of a clip's fine crops hold a letter for more than this step, and the letters."""
    said = seen_clips.frame_symbols(clip)
    held = [
        (row, symbol_id(said[step][1:]))
        for row, step in enumerate(clip.finer_at[:, 0])
        if said[step].startswith("#") and said[max(0, step - 1)] == said[step]
    ]
    rows, symbols = np.array(held, np.int64).reshape(-1, 2).T
    return rows, symbols


def _laid_photographs(pools: HandPools) -> tuple[Tensor, Tensor]:
    pool, view = pools.photographs, draw_views(AT_ONCE, pools.changes, pools.device)
    rows = pool.draw(AT_ONCE)
    opaque = None if pool.opaque is None else pool.opaque[rows]
    behind = pools.empty[torch.randint(len(pools.empty), (AT_ONCE,))]
    return placed_finely(pool.pictures[rows], opaque, behind, view, pools.changes), pool.symbols[rows]


def _laid_letters(pools: HandPools, pictures: NDArray[np.uint8], symbols: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    rows = np.random.default_rng(int(torch.randint(2**31, ()))).integers(0, len(symbols), AT_ONCE)
    own = torch.from_numpy(pictures[rows].transpose(0, 3, 1, 2).copy())
    view = draw_views(AT_ONCE, DRAWN_CHANGES, pools.device)
    return placed_finely(own, None, None, view, DRAWN_CHANGES), torch.from_numpy(symbols[rows])


def _laid_hands(pools: HandPools, kind: str, changes: Changes) -> tuple[Tensor, Tensor]:
    pool = {"signing": pools.signing, "drawn": pools.drawn}[kind]
    assert pool is not None, kind
    rows = pool.draw(AT_ONCE)
    view = draw_views(AT_ONCE, changes, pools.device)
    return placed_finely(pool.pictures[rows], None, None, view, changes), pool.symbols[rows]


def _laid_nothing(pools: HandPools) -> tuple[Tensor, Tensor]:
    view = draw_views(AT_ONCE, EMPTY_CHANGES, pools.device)
    empty = pools.empty[torch.randint(len(pools.empty), (AT_ONCE,))]
    return placed_finely(empty, None, None, view, EMPTY_CHANGES), torch.full((AT_ONCE,), -1)


def lit(pictures: Tensor) -> Tensor:
    """A little other light and colour."""

    def normal(channels: int, size: float) -> Tensor:
        return torch.randn(len(pictures), channels, 1, 1, device=pictures.device) * size

    gamma, colour, gain = normal(1, 0.2), normal(3, 0.06), normal(1, 0.12)
    return (pictures.clamp(1e-4, 1).pow(gamma.exp()) * (colour + gain).exp()).clamp(0, 1)
