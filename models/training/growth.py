"""Networks whose lexicon grew: what was learned of the old glosses stays, new ones begin as nobody's favourite.

A new gloss says in the sign expert what glosses say on the average. Fusion keeps its encoder, but its head begins again at
zero, so that it says what the routed expert says: its old corrections speak against every sign that it never met.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.checkpoint import load
from models.experts import Expert
from models.fusion import Fusion
from models.training.feature_sets import glosses_of
from models.vocabulary import BLANK, Vocabulary

M = TypeVar("M", Expert, Fusion)


def begin(module: M, start: Path, name: str, glosses: Vocabulary) -> M:
    """Gives `module`, made for `glosses`, the weights of `start`/`name`; raises ValueError for a gloss that it would lose."""
    old = load(type(module), start, name)
    if name != "fingerspelling":
        places = _places(Vocabulary(glosses_of(start / "glosses.txt")), glosses)
        if len(places) < glosses.size:
            _grow(old, module, places)
    module.load_state_dict(old.state_dict())
    return module


def _places(old: Vocabulary, new: Vocabulary) -> list[int]:
    """Of blank and every old gloss the new id."""
    if gone := [token for token in old.tokens if token not in new.ids]:
        raise ValueError(
            f"expected a glosses.txt that still holds {gone[0]!r} ({len(gone)} of the old glosses are gone): "
            "a lexicon can only grow; train from nothing instead"
        )
    return [BLANK, *(new.ids[token] for token in old.tokens)]


def _grow(old: Expert | Fusion, new: Expert | Fusion, places: list[int]) -> None:
    """Makes the old network's layers that know glosses as wide as the new one's, in place."""
    if isinstance(old, Expert):
        _widen_head(old.head, new.head, places)
        return
    assert isinstance(new, Fusion), new
    width = old.config.sign_dim
    old.from_sign.weight = nn.Parameter(
        _spread(
            old.from_sign.weight,
            new.from_sign.weight.shape[1],
            [*range(width), *(width + place for place in places)],
            dim=1,
        )
    )
    for name in ("weight", "bias"):
        setattr(old.head, name, nn.Parameter(torch.zeros_like(getattr(new.head, name))))


def _widen_head(old: nn.Linear, new: nn.Linear, places: Sequence[int]) -> None:
    fresh = sorted(set(range(new.out_features)) - set(places))
    for name in ("weight", "bias"):
        value = getattr(old, name)
        wide = _spread(value, new.out_features, places, dim=0)
        wide[fresh] = value.detach()[1:].mean(0)
        setattr(old, name, nn.Parameter(wide))


def _spread(value: Tensor, size: int, places: Sequence[int], *, dim: int) -> Tensor:
    """The slices of `value` at their new places along `dim`, zeros between."""
    shape = list(value.shape)
    shape[dim] = size
    return torch.zeros(shape, dtype=value.dtype).index_copy_(dim, torch.tensor(places), value.detach())
