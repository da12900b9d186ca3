"""Symbols of a CTC output: tokens by name, ids from 1, blank 0."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

BLANK = 0
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_ARPABET = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
PHONEMES = tuple(_ARPABET.split())
SPELLED = "#"

ROUTES = ("sign", "fingerspelling", "rest")
SIGN, FINGERSPELLING, REST = range(3)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their ids; the first has id 1, because 0 is CTC's blank."""

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse tokens that could not be told apart or written one a line."""
        seen: set[str] = set()
        for token in self.tokens:
            if token != token.strip() or not token:
                raise ValueError(f"a token is a word without blanks around it, but {token!r} is none: strip it")
            if token in seen:
                raise ValueError(f"tokens are unique, but {token!r} stands twice: drop one")
            seen.add(token)

    @classmethod
    def read(cls, path: Path) -> "Vocabulary":
        """Read one token a line; empty lines count for nothing."""
        if not path.is_file():
            raise ValueError(f"expected a list of tokens at {path}, but there is no such file: train or copy it first")
        return cls(tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()))

    def write(self, path: Path) -> None:
        """Write one token a line, as `read` takes it."""
        path.write_text("".join(f"{token}\n" for token in self.tokens), encoding="utf-8")

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token -> id."""
        return {token: index for index, token in enumerate(self.tokens, start=1)}

    @property
    def size(self) -> int:
        """Number of symbols, blank included: the width of the output layer."""
        return len(self.tokens) + 1

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of tokens; an unknown one is a ValueError that names the nearest known."""
        return [self._id(token) for token in tokens]

    def decode(self, ids: Sequence[int]) -> list[str]:
        """Tokens of ids; blanks are left out."""
        return [self._token(int(index)) for index in ids if index != BLANK]

    def _id(self, token: str) -> int:
        try:
            return self.ids[token]
        except KeyError:
            near = get_close_matches(token, self.tokens, n=1, cutoff=0.0)
            hint = f"did you mean {near[0]!r}?" if near else "the vocabulary is empty"
            raise ValueError(f"expected one of {len(self.tokens)} known tokens, but got {token!r}: {hint}") from None

    def _token(self, index: int) -> str:
        if not 1 <= index < self.size:
            raise ValueError(
                f"expected an id in 0..{self.size - 1}, but got {index}: the ids belong to another vocabulary"
            )
        return self.tokens[index - 1]


def joint(glosses: Vocabulary | Sequence[str]) -> Vocabulary:
    """The vocabulary of the fusion: all glosses, then every letter and digit as "#A" .. "#9"."""
    tokens = glosses.tokens if isinstance(glosses, Vocabulary) else tuple(glosses)
    return Vocabulary(tokens + tuple(SPELLED + letter for letter in LETTERS))


def signs_of(both: Vocabulary) -> int:
    """How many tokens of a `joint` vocabulary are glosses: the ids from 1 to this."""
    return len(both.tokens) - len(LETTERS)
