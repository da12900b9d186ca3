"""Labels of a clip, made from its English sentence: pseudo-glosses, letters of spelled words, phonemes.

Also the check that a label can be learned at all: CTC needs a step for every symbol and one blank between two equal
neighbours, so a target longer than its clip has no path and an infinite loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

Glosser = Callable[[str], Sequence[str]]
"""English sentence -> tokens, "NAME" for a sign and "#MARIA" for a spelled word."""


class LabelError(ValueError):
    """A label that cannot be used; the text names the sample and says why."""


@dataclass(frozen=True)
class Label:
    """All targets of one clip: tokens as above, and the phonemes of the sentence (ARPAbet without stress)."""

    name: str
    english: str
    tokens: tuple[str, ...]
    phonemes: tuple[str, ...]

    @property
    def joint(self) -> tuple[str, ...]:
        """The fusion's target: glosses, and spelled words letter by letter: NAME #M #A #R #I #A."""
        symbols: list[str] = []
        for token in self.tokens:
            symbols.extend(f"#{letter}" for letter in token[1:]) if token.startswith("#") else symbols.append(token)
        return tuple(symbols)

    @property
    def letters(self) -> tuple[str, ...]:
        """The fingerspelling expert's target."""
        return tuple(symbol[1:] for symbol in self.joint if symbol.startswith("#"))

    def record(self) -> dict[str, object]:
        return asdict(self)


def ctc_steps(target: Sequence[str] | Sequence[int]) -> int:
    """Fewest steps that CTC needs for a target: its length and a blank between equal neighbours (Graves et al. 2006)."""
    return len(target) + sum(first == second for first, second in zip(target, target[1:], strict=False))


def checked(label: Label, steps: int | None) -> Label:
    """The label itself, or a LabelError that names it when it is empty or longer than `steps` of its clip."""
    if not label.tokens:
        raise LabelError(f"{label.name}: the sentence {label.english!r} has no gloss; leave the sample out")
    targets: Mapping[str, Sequence[str]] = {"glosses": label.joint, "phonemes": label.phonemes}
    for kind, target in targets.items():
        if steps is not None and ctc_steps(target) > steps:
            raise LabelError(
                f"{label.name}: its {kind} need {ctc_steps(target)} steps (blanks between repeats included), the clip has"
                f" {steps}; leave the sample out or mend its times"
            )
    return label
