"""Which glosses recognition takes for which: signs of one mouthing, signs whose hands look alike."""

from __future__ import annotations

from functools import lru_cache

from models.synthetic import lexicon
from models.synthetic.lexicon import Sign

LOOK_ALIKES = 8
_WEIGHTS = {"handshape": 2.0, "location": 2.0, "movement": 2.0, "hands": 1.5, "handshape_end": 1.0, "palm": 0.5,
            "pointing": 0.5, "repeat": 0.5, "base": 0.5}  # fmt: skip
"""What two signs must share to look alike; the hand and the way it goes count most."""


@lru_cache(maxsize=1)
def look_alikes() -> dict[str, tuple[str, ...]]:
    """Gloss -> the LOOK_ALIKES glosses most like it, those of its own group first and twice."""
    signs = lexicon.load().signs
    return {gloss: _nearest(sign, signs) for gloss, sign in signs.items()}


def _nearest(sign: Sign, signs: dict[str, Sign]) -> tuple[str, ...]:
    mates = [other.gloss for other in signs.values() if sign.group and other.group == sign.group]
    mates.remove(sign.gloss) if sign.gloss in mates else None
    others = sorted((gloss for gloss in signs if gloss != sign.gloss), key=lambda gloss: -_likeness(sign, signs[gloss]))
    return (*mates, *mates, *others)[:LOOK_ALIKES]


def _likeness(one: Sign, other: Sign) -> float:
    """Weighted count of what two signs share; movements share their kind."""
    shared = 0.0
    for name, weight in _WEIGHTS.items():
        a, b = getattr(one, name), getattr(other, name)
        if name == "movement":
            a, b = a.split()[0], b.split()[0]
        shared += weight * (a == b)
    return shared
