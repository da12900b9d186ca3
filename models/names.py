"""Fingerspelled words: believed, corrected, or shown as they were seen; never replaced by another name.

A noisy channel. The letters seen, each with its posterior p, came from a word w that the signer spelled:

    log P(seen | w) = best alignment of: same letter, log p; another letter c, log (1 - p) + log K[seen, c];
                      a letter too many, log INSERTED + log (1 - p); a letter missed, log DELETED (double: DELETED_TWIN)

K says which handshapes are taken for each other (fists A S T M N E, the two fingers of U V R K, ...). Words of the
session's vocabulary, then those of a name list, then common words compete with "it is what was seen", an unknown word
whose prior falls with every letter. A word wins only by a clear posterior; else the letters stand, and the confidence
says so.

Meets `refine` in the pipeline only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from models.hypothesis import Token
from models.vocabulary import LETTERS

NAMES_FILE = Path(__file__).with_name("names.txt")

CONFUSED = (
    "ASTMNE",
    "UVRKH",
    "GQLZ",
    "IJY",
    "DFPK",
    "COE",
    "BFW",
    "VWK",
    "XDZ",
    "PQ",
    "MW",
    "O0",
    "I1",
    "V2",
    "W6",
    "F9",
)
"""Letters whose handshapes are taken for each other; a letter may stand in several groups."""

SHARE_CONFUSED = 0.85
INSERTED, DELETED, DELETED_TWIN = 0.1, 0.03, 0.25
LEAST, MOST = 0.03, 0.97
"""A CTC posterior is believed no further than this."""
VOCABULARY_PRIOR, NAME_PRIOR, COMMON_PRIOR, UNKNOWN_PRIOR, UNKNOWN_LETTER = 10.0, 1.0, 0.02, 1.0, 0.3
VOCABULARY_WINS, NAME_WINS, COMMON_WINS = 0.6, 0.7, 0.75
SHORTENED = 9
"""A longer word may be spelled by as many letters only, as the synthetic signer does."""
SHORT = 5
"""A word up to this long is aligned with what was seen when at most 2 letters stand in one of them alone (as after one
mistake), a longer one at most 4; a common word is short up to SHORT + 2."""
CLEAR = 0.6
"""An unknown word is written as a word ("Marla") when the mean of its letters' posteriors is at least this, else as
letters ("MARLA")."""
DOUBTED = 2
"""So few letters are no word by themselves, unless a list or the session's vocabulary has them."""
UNCLEAR = "[spelling unclear]"
"""Stands for a spelling of which too little was seen to write any letter of it."""


@dataclass(frozen=True)
class Verified:
    """A spelled word as it shall be read, P(it is right), whether it differs from the letters seen, and whether a list
    or the session's vocabulary has it."""

    text: str
    confidence: float
    corrected: bool
    listed: bool = False


@dataclass(frozen=True)
class NameList:
    """Names by their letters in capitals ("MARIA" -> "Maria"), and common words ("TABLE"), which are shown small. What is
    written in capitals ("TV") is known as it is: nothing is corrected to it, for any two letters are like some other two."""

    names: Mapping[str, str] = field(default_factory=dict)
    common: frozenset[str] = frozenset()
    _by_length: dict[int, list[tuple[int, int, str]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    """Length -> (which letters stand in it, how many may be astray, the word)."""

    def __post_init__(self) -> None:
        for words, short in ((self.names, SHORT), (self.common, SHORT + 2)):
            for word in words:
                if self.names.get(word) == word:
                    continue
                for length in {len(word), min(len(word), SHORTENED)}:
                    held = (_letters_in(word[:length]), 2 if length <= short else 4, word)
                    self._by_length.setdefault(length, []).append(held)

    def near(self, letters: str) -> set[str]:
        """Listed words worth aligning with the letters seen: of like length, few letters astray."""
        seen, count = _letters_in(letters), len(letters)
        lengths = range(count - min(2, count // 3), count + min(2, count // 3 + 1) + 1)
        return {
            word
            for length in lengths
            for held, astray, word in self._by_length.get(length, ())
            if (held ^ seen).bit_count() <= astray
        }

    @staticmethod
    def read(path: Path = NAMES_FILE) -> NameList:
        """One word a line; a capital makes it a name; `#` begins a comment."""
        lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
        words = [line for line in lines if line]
        names = {spelling(word): word for word in words if word != word.lower()}
        return NameList(names, frozenset(spelling(word) for word in words if word == word.lower()))


def _letters_in(word: str) -> int:
    """The letters of a word as bits."""
    bits = 0
    for letter in word:
        bits |= 1 << LETTERS.index(letter)
    return bits


@lru_cache(maxsize=1)
def default_names() -> NameList:
    return NameList.read()


def spelling(word: str) -> str:
    """The letters that spell a word: "O'Brien" -> "OBRIEN"."""
    return "".join(letter for letter in word.upper() if letter in LETTERS)


def default_confusion() -> dict[str, dict[str, float]]:
    """K[seen][spelled], rows sum to 1: SHARE_CONFUSED among the letters of the seen one's groups, the rest spread."""
    table: dict[str, dict[str, float]] = {}
    for seen in LETTERS:
        near = {letter for group in CONFUSED if seen in group for letter in group} - {seen}
        spread = (1 - SHARE_CONFUSED if near else 1.0) / (len(LETTERS) - 1)
        table[seen] = {c: spread + (SHARE_CONFUSED / len(near) if c in near else 0.0) for c in LETTERS if c != seen}
    return table


_CONFUSION = default_confusion()


def log_likelihood(seen: str, posteriors: Sequence[float], word: str) -> float:
    """log P(seen | word spelled) by the best alignment; both in capitals; time O(len(seen) x len(word))."""
    sure = [min(MOST, max(LEAST, p)) for p in posteriors]
    row = [0.0]
    for place in range(len(word)):
        row.append(row[-1] + _missed(word, place))
    for letter, p in zip(seen, sure, strict=True):
        new = [row[0] + math.log(INSERTED * (1 - p))]
        for place, spelled in enumerate(word):
            same = math.log(p) if spelled == letter else math.log((1 - p) * _CONFUSION[letter][spelled])
            new.append(
                max(row[place] + same, row[place + 1] + math.log(INSERTED * (1 - p)), new[-1] + _missed(word, place))
            )
        row = new
    return row[-1]


def _missed(word: str, place: int) -> float:
    twin = place > 0 and word[place] == word[place - 1]
    return math.log(DELETED_TWIN if twin else DELETED)


def verify(
    letters: str,
    posteriors: Sequence[float],
    vocabulary: Sequence[str] = (),
    names: NameList | None = None,
) -> Verified:
    """The word that `letters` (capitals and digits, each with its posterior) spell.

    A word of `vocabulary` or of `names` (the bundled list by default) is taken only when it is clearly more probable
    than the letters themselves. Raises ValueError when letters and posteriors differ in number.
    """
    if len(letters) != len(posteriors):
        raise ValueError(f"expected one posterior a letter, got {len(posteriors)} for {letters!r}: give one for each")
    names = default_names() if names is None else names
    if not letters:
        return Verified("", 0.0, False)
    scores = _scores(letters, posteriors, vocabulary, names)
    best = max(scores, key=lambda word: scores[word][0])
    highest, text, wins = scores[best]
    total = sum(math.exp(score - highest) for score, _, _ in scores.values())  # of the best one: none may vanish
    if best != letters and len(letters) > 1 and 1 / total >= wins:
        return Verified(text, 1 / total, True, True)
    score, text, _ = scores[letters]
    return _as_seen(letters, text, posteriors, math.exp(score - highest) / total)


def _scores(
    letters: str, posteriors: Sequence[float], vocabulary: Sequence[str], names: NameList
) -> dict[str, tuple[float, str, float]]:
    """Candidates by their letters: (log prior + log likelihood, text, posterior from which it wins)."""
    candidates = {key: _listed(key, names) for key in names.near(letters) | ({letters} & names.names.keys())}
    listed = {key: text for text in vocabulary if (key := spelling(text))}
    candidates |= {key: (math.log(VOCABULARY_PRIOR), text, VOCABULARY_WINS) for key, text in listed.items()}
    scores = {
        key: (prior + _likelihood(letters, posteriors, key), text, wins)
        for key, (prior, text, wins) in candidates.items()
    }
    if letters not in scores:
        unknown = math.log(UNKNOWN_PRIOR) + len(letters) * math.log(UNKNOWN_LETTER)
        scores[letters] = (unknown + log_likelihood(letters, posteriors, letters), "", 1.0)
    return scores


def _listed(key: str, names: NameList) -> tuple[float, str, float]:
    """Log prior, text and the posterior from which it wins."""
    if key in names.names:
        return math.log(NAME_PRIOR), names.names[key], NAME_WINS
    return math.log(COMMON_PRIOR), key.lower(), COMMON_WINS


def _likelihood(seen: str, posteriors: Sequence[float], word: str) -> float:
    whole = log_likelihood(seen, posteriors, word)
    if len(word) <= SHORTENED:
        return whole
    return max(whole, log_likelihood(seen, posteriors, word[:SHORTENED]))


def _as_seen(letters: str, text: str, posteriors: Sequence[float], share: float) -> Verified:
    """`text` is the listed form of exactly these letters, empty when no list has them."""
    if text:
        return Verified(text, share, False, True)
    clear = math.exp(sum(math.log(min(MOST, max(LEAST, p))) for p in posteriors) / len(posteriors))
    if (len(letters) <= DOUBTED or len(set(letters)) == 1) and clear <= LEAST:
        return Verified(UNCLEAR, share * clear, False)
    shown = letters.capitalize() if clear >= CLEAR and letters.isalpha() else letters
    return Verified(shown, share * clear, False)


def verified(token: Token, vocabulary: Sequence[str] = (), names: NameList | None = None) -> Verified:
    """`verify` of a spelled token; a token without a posterior for each letter has its mean for all."""
    posteriors = token.letters if len(token.letters) == len(token.text) else (token.posterior,) * len(token.text)
    if names is not None:
        return verify(token.text, posteriors, vocabulary, names)
    return _verified_before(token.text, posteriors, tuple(vocabulary))


@lru_cache(maxsize=4096)
def _verified_before(letters: str, posteriors: tuple[float, ...], vocabulary: tuple[str, ...]) -> Verified:
    """A caption asks for each of its words several times, and so does every draft after it."""
    return verify(letters, posteriors, vocabulary)


def show(token: Token, vocabulary: Sequence[str]) -> str:
    """A spelled token as it shall be read; what the refiner asks for when it fills its slots."""
    return verified(token, vocabulary).text


def joined(tokens: Sequence[Token], vocabulary: Sequence[str] = (), names: NameList | None = None) -> tuple[Token, ...]:
    """Spelled words that follow each other and are one listed word together, but not each by itself, as one."""
    found: list[Token] = []
    for token in tokens:
        if found and found[-1].kind == token.kind == "fingerspelling":
            whole = _together(found[-1], token)
            if _better_together(found[-1], token, whole, vocabulary, names):
                found[-1] = whole
                continue
        found.append(token)
    return tuple(found)


def doubted(tokens: Sequence[Token], vocabulary: Sequence[str] = (), running: bool = False) -> tuple[Token, ...]:
    """The tokens with one or two letters that no list has believed no more, so that they read UNCLEAR.

    A hand on its way to a sign looks like a letter for a moment, and some signs are made with a letter's handshape: of such
    letters in recognised sentences most were spelled by nobody, and none was the word that was. A segment that ended with
    nothing else has said nothing: no tokens. While it is `running` its last word may still grow, and stands.
    """
    last = len(tokens) - 1
    little = [
        _says_little(token) and not (running and place == last) and not verified(token, vocabulary).listed
        for place, token in enumerate(tokens)
    ]
    if all(little):
        return ()
    return tuple(
        replace(token, posterior=0.0, letters=(0.0,) * len(token.text)) if doubt else token
        for token, doubt in zip(tokens, little, strict=True)
    )


def _says_little(token: Token) -> bool:
    """One or two letters, or one seen several times in a row."""
    return (
        token.kind == "fingerspelling"
        and token.text.isalpha()
        and (len(token.text) <= DOUBTED or len(set(token.text)) == 1)
    )


def _together(first: Token, second: Token) -> Token:
    letters = first.letters + second.letters
    posterior = sum(letters) / len(letters) if letters else min(first.posterior, second.posterior)
    return replace(first, text=first.text + second.text, end_ms=second.end_ms, posterior=posterior, letters=letters)


def _better_together(
    first: Token, second: Token, whole: Token, vocabulary: Sequence[str], names: NameList | None
) -> bool:
    parts = [verified(part, vocabulary, names) for part in (first, second)]
    return verified(whole, vocabulary, names).listed and not all(part.listed for part in parts)
