"""The lexicon: signs described as ASL phonology does, read from lexicon.toml and checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

from models.synthetic.handshapes import HANDSHAPES

LEXICON = Path(__file__).with_name("lexicon.toml")
HANDS = ("one", "same", "alternating", "base")


@dataclass(frozen=True)
class Sign:
    """One sign; the fields are explained at the top of lexicon.toml."""

    gloss: str
    english: tuple[str, ...]
    handshape: str
    handshape_end: str = ""
    location: str = "neutral"
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    contact: str = "centre"
    palm: str = "left"
    palm_end: str = ""
    pointing: str = "up"
    pointing_end: str = ""
    movement: str = "none"
    repeat: int = 0
    hands: str = "one"
    base: str = ""
    mouthing: str | None = None
    group: str = ""

    def __post_init__(self) -> None:
        for shape in (self.handshape, self.handshape_end):
            if shape and shape not in HANDSHAPES:
                raise ValueError(f"sign {self.gloss}: no handshape {shape!r}: use one of handshapes.py")
        if self.hands not in HANDS:
            raise ValueError(f"sign {self.gloss}: hands must be one of {', '.join(HANDS)}, got {self.hands!r}")

    @property
    def spoken(self) -> str:
        """What the lips form: the mouthing, else the lemma."""
        return self.english[0] if self.mouthing is None else self.mouthing

    def manual(self) -> tuple[object, ...]:
        """Everything the hands show: equal for signs that only the lips tell apart."""
        skipped = ("gloss", "english", "mouthing", "group")
        return tuple(getattr(self, item.name) for item in fields(self) if item.name not in skipped)


@dataclass(frozen=True)
class Lexicon:
    """All signs by gloss, and the English words (lower case) that they stand for."""

    signs: dict[str, Sign]
    words: dict[str, str] = field(default_factory=dict)

    @property
    def glosses(self) -> tuple[str, ...]:
        return tuple(sorted(self.signs))


@lru_cache(maxsize=1)
def load(path: Path = LEXICON) -> Lexicon:
    """Reads the lexicon; raises ValueError naming the sign that is wrong."""
    sections = tomllib.loads(path.read_text(encoding="utf-8"))
    known = {item.name for item in fields(Sign)}
    signs: dict[str, Sign] = {}
    for entries in sections.values():
        for gloss, entry in entries.items():
            if gloss in signs:
                raise ValueError(f"sign {gloss} stands twice in {path.name}: rename one")
            if unknown := set(entry) - known:
                raise ValueError(
                    f"sign {gloss}: unknown field {sorted(unknown)[0]!r}, known are {', '.join(sorted(known))}"
                )
            english = tuple(word.strip() for word in entry["english"].split(","))
            rest = {key: value for key, value in entry.items() if key != "english"}
            if "offset" in rest:
                rest["offset"] = tuple(rest["offset"])
            signs[gloss] = Sign(gloss, english, **rest)
    words: dict[str, str] = {}
    for sign in signs.values():
        for word in sign.english:
            words.setdefault(word.lower(), sign.gloss)
    return Lexicon(signs, words)
