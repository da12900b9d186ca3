"""The closer look (models/closer.py): a published trunk as it is, a head that learns letters, a gate that learns where to look.

The trunk of MediaPipe's landmark network stays untouched, since what it knows of people's hands is what is wanted of it. The head
names letters of photographs and of drawn hands, and says of all other hands what the encoder in `out` says (learning without
forgetting, Li and Hoiem 2016), for the experts know its words. The gate learns from drawn clips which hands spell, with hands of
photographs in their place half of the time. The fingerspelling expert has to go on afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.backends import Backend
from models.checkpoint import load, save_small
from models.closer import CLOSER, Closer, CloserConfig
from models.features import HandEncoder
from models.training import landmark_weights, seen_clips
from models.training.closer_views import Views, kept
from models.training.encoder_stage import measured, symbol_loss
from models.training.features_stage import embedded
from models.training.seen_clips import CLIPS, SPELLING, SeenClip

LETTERS_STAY, MOVES, STAYS = 0.2, 0.1, 1.0
"""How much it counts that embeddings are what the experts know: of drawn letters, of photographs, of all other hands."""
STEPS, RATE, DECAY = 4000, 1e-3, 0.05
BATCH = {"photographs": 256, "spelled": 96, "signing": 48, "drawn": 64, "empty": 8, "as_cut": 96}
NOISE, LEAST_DEVIATION = 0.1, 0.02
GATE_CLIPS, GATE_STEPS, GATE_BATCH, GATE_EVERY = 300, 1500, 512, 2
HELD_SHARE = 0.2  # of the gate's clips, to set where it opens
FOUND = 0.985  # of the spelling hands that were not learned from, by which the gate opens
MOVED = 0.3  # by how much hands of photographs stand elsewhere, in face sides


@dataclass(frozen=True)
class Hands:
    """What the gate learns from: `known` (N, 96), `geometry` (N, 24), `left` and `spells` (N,) bool."""

    known: Tensor
    geometry: Tensor
    left: Tensor
    spells: Tensor

    def some(self, rows: Tensor) -> Hands:
        return Hands(self.known[rows], self.geometry[rows], self.left[rows], self.spells[rows])


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, clips: Path = CLIPS, permissive_only: bool = False,
    published: Path = landmark_weights.PUBLISHED,
) -> dict[str, float]:  # fmt: skip
    """Writes `closer` beside the hand encoder in `out`; takes some twelve minutes of one core, most of them for views, which
    are kept, whatever `minutes` says. Returns the held-out source's accuracy and what the gate lets through."""
    del minutes
    torch.manual_seed(seed)
    before = load(HandEncoder, out, "hand_encoder").requires_grad_(False)
    closer = Closer(CloserConfig())
    closer.trunk.layers.load_state_dict(landmark_weights.trunk(published).state_dict())
    views = kept(data, clips, closer.looking(Backend()), before, permissive_only=permissive_only)
    standardise(closer, views)
    closer.symbols.load_state_dict(before.symbols.state_dict())
    learn_letters(closer, views)
    hands = [gated_hands(seen_clips.read(path), before) for path in seen_clips.kept(clips)[:GATE_CLIPS]]
    figures = learn_gate(closer, hands, views)
    save_small(closer, closer.config, out, CLOSER)
    return {**measured(before, data, load(Closer, out, CLOSER)), **figures}


def standardise(closer: Closer, views: dict[str, Views]) -> None:
    """Sets what the trunk's outputs are measured by."""
    seen = torch.cat([one.seen for one in views.values()]).float()
    closer.trunk.mean.copy_(seen.mean(0))
    closer.trunk.deviation.copy_(seen.std(0).clamp(min=LEAST_DEVIATION))


def learn_letters(closer: Closer, views: dict[str, Views], steps: int = STEPS) -> None:
    """Teaches what comes after the trunk; no picture is looked at."""
    head = [*closer.hidden.parameters(), *closer.project.parameters(), *closer.symbols.parameters()]
    optimizer = torch.optim.AdamW(head, RATE, weight_decay=DECAY)
    closer.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / 100) * (1 - step / steps)
        total, figures = letters_loss(closer, views)
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 500 == 0:
            print("closer:", {name: round(float(figure), 3) for name, figure in figures.items()}, flush=True)
    closer.eval()


def letters_loss(closer: Closer, views: dict[str, Views]) -> tuple[Tensor, dict[str, Tensor]]:
    """Letters, and how far embeddings are from what the experts know."""
    rows = {kind: torch.randint(len(one.symbols), (BATCH[kind],)) for kind, one in views.items()}
    seen, known, symbols = (
        torch.cat([getattr(one, column)[rows[kind]] for kind, one in views.items()])
        for column in ("seen", "known", "symbols")
    )
    inputs = (seen.float() - closer.trunk.mean) / closer.trunk.deviation
    embedding = closer(inputs + NOISE * torch.randn_like(inputs))
    letters = symbol_loss(closer.symbols(F.dropout(embedding, 0.2, closer.training)), symbols)
    away = dict(
        zip(rows, (embedding - known.float()).square().mean(1).split([len(one) for one in rows.values()]), strict=True)
    )
    moved = {kind: one.mean() for kind, one in away.items()}
    weights = {"photographs": MOVES, "spelled": LETTERS_STAY, "as_cut": LETTERS_STAY}
    total = letters + sum((weights.get(kind, STAYS) * one for kind, one in moved.items()), torch.zeros(()))
    return total, {"letters": letters.detach(), **{kind: one.detach() for kind, one in moved.items()}}


def gated_hands(clip: SeenClip, before: HandEncoder) -> Hands:
    """Hands of a drawn clip: those of the steps that spell, if raised, against those of steps far from any."""
    spelling, near = np.zeros((len(clip), 2), bool), np.zeros(len(clip), bool)
    steps, sides = clip.finer_at.T
    near[steps] = True
    own = clip.routes[steps] == SPELLING
    spelling[steps[own], sides[own]] = True
    chosen = clip.seen[:, :2] & (spelling | ~near[:, None])
    chosen[1::GATE_EVERY] = False
    at, side = np.nonzero(chosen)
    known = torch.from_numpy(embedded(before, clip.hands[at, side]))
    return Hands(
        known,
        torch.from_numpy(clip.geometry[at]).float(),
        torch.from_numpy(side == 1),
        torch.from_numpy(spelling[at, side]),
    )


def learn_gate(closer: Closer, clips: list[Hands], views: dict[str, Views]) -> dict[str, float]:
    """Teaches the gate, then sets where it opens by clips that it did not learn from."""
    held = max(1, round(len(clips) * HELD_SHARE))
    hands, apart = _joined(clips[held:]), _joined(clips[:held])
    optimizer = torch.optim.AdamW(closer.gate.parameters(), 3e-3, weight_decay=0.01)
    groups = [torch.where(hands.spells)[0], torch.where(~hands.spells)[0]]
    for step in range(GATE_STEPS):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / GATE_STEPS)
        rows = torch.cat([group[torch.randint(len(group), (GATE_BATCH // 2,))] for group in groups])
        batch = _with_real_hands(hands.some(rows), views)
        logits = closer.chances(batch.known, batch.geometry, batch.left)
        loss = F.binary_cross_entropy_with_logits(logits, batch.spells.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.inference_mode():
        drawn = _chances(closer, apart)
        real = _chances(closer, _with_real_hands(apart.some(torch.where(apart.spells)[0]), views, share=1.0))
    least = min(float(drawn[apart.spells].quantile(1 - FOUND)), float(real.quantile(1 - FOUND)))
    closer.config = replace(closer.config, least=least)
    return {
        "gate_found": float((drawn[apart.spells] >= least).float().mean()),
        "gate_found_real": float((real >= least).float().mean()),
        "gate_let_through": float((drawn[~apart.spells] >= least).float().mean()), "gate_least": least,
    }  # fmt: skip


def _chances(closer: Closer, hands: Hands) -> Tensor:
    return closer.chances(hands.known, hands.geometry, hands.left).sigmoid()


def _joined(parts: list[Hands]) -> Hands:
    return Hands(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("known", "geometry", "left", "spells"))
    )


def _with_real_hands(hands: Hands, views: dict[str, Views], share: float = 0.5) -> Hands:
    """Some hands that spell become those of photographs, some that sign those of real signing; all stand a little elsewhere."""
    known, geometry = hands.known.clone(), hands.geometry.clone()
    swapped = torch.rand(len(known)) < share
    for spells, kind in ((True, "photographs"), (False, "signing")):
        own = torch.where(swapped & (hands.spells == spells))[0]
        if kind in views and len(own):
            known[own] = views[kind].known[torch.randint(len(views[kind].known), (len(own),))].float()
    geometry[:, [1, 2, 7, 8]] += MOVED * torch.randn(len(known), 4)
    return replace(hands, known=known, geometry=geometry)
