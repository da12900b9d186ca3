"""Pseudo-glosses of any English sentence by rules, for clips that have no glosses: the labeller that needs no server.

Every content word becomes its base form in capitals, as annotators of ASL write signs; proper nouns become "#NAME", which
is fingerspelled; words that ASL does not sign are left out; times begin their clause. `label_rules.toml` holds the words.
docs/labels.md says what these rules cannot do. Unlike `synthetic.sentences.english_to_glosses` they know no lexicon: a
word without a drawn sign is still signed by a person, not spelled.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import simplemma

from models.names import default_names, spelling

TABLE = Path(__file__).with_name("label_rules.toml")
LONGEST_PHRASE = 4
TITLE_WORDS = 6
"""So many words that all have a capital are a title: there, capitals say nothing."""
BE = frozenset("am is are was were be been being 's 're 'm".split())
HAVE = frozenset("have has had having 've".split())
DO = frozenset("do does did".split())
SUBJECTS = frozenset("i you he she it we they this that these those the a an my your his her our their".split())
POINTING = frozenset("the a an my your his her our their this that these those".split())
WH = frozenset("what who whom where when why which how".split())
BEFORE_THAT = frozenset("in of for with on from at to like do does did about all after before than and".split())
ADVERBS = frozenset("not never always already just only ever also really still even".split())
DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN")
ORDINALS = {"1st": "FIRST", "2nd": "SECOND", "3rd": "THIRD"}
_PART = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*|[0-9]+(?:st|nd|rd|th)?|[.?!;:,]")
_ENDINGS = ("'s", "'re", "'m", "'ve", "'ll", "'d")
_ACRONYMS = re.compile(r"^([A-Z]{2,})s$")
_SHORT_VOWEL = re.compile(r"(?:^|[^aeiou])[aeiou][^aeiouwxy]$")
_MOJIBAKE = re.compile(r"(?<=[A-Za-z])â+(?=(?:m|s|t|d|re|ve|ll)\b)")  # an apostrophe decoded wrongly, as in How2Sign
_LETTERS_OF_ACRONYM = re.compile(r"(?<![A-Za-z])(?:[A-Z]\.){2,}")


@dataclass(frozen=True)
class Table:
    """The words of label_rules.toml, all in lower case, and their glosses."""

    dropped: frozenset[str]
    words: dict[str, str]
    phrases: dict[str, str]
    times: dict[str, str]
    spelled: dict[str, str]
    signed_names: frozenset[str]
    contractions: dict[str, list[str]] = field(default_factory=dict)

    @staticmethod
    @lru_cache(maxsize=1)
    def load() -> Table:
        held: dict[str, Any] = tomllib.loads(TABLE.read_text(encoding="utf-8"))
        return Table(
            frozenset(held["dropped"].split()),
            held["words"],
            held["phrases"],
            held["times"],
            held["spelled"],
            frozenset(held["signed_names"]["signs"].split()),
            {short: long.split() for short, long in held["contractions"].items()},
        )


@dataclass(frozen=True)
class Clause:
    """Words between two marks; `capitals` says whether a capital means a name here; `question`: it ends with "?"."""

    words: tuple[str, ...]
    question: bool
    capitals: bool
    starts: bool

    def lower(self, index: int) -> str:
        """The word at `index` in lower case, "" outside."""
        return self.words[index].lower() if 0 <= index < len(self.words) else ""


def glosses(english: str) -> tuple[str, ...]:
    """Pseudo-glosses of a sentence: "My name is Maria." -> MY NAME #MARIA."""
    tokens: list[str] = []
    for clause in _clauses(english):
        tokens += _times_first(list(_signs(clause)))
    return tuple(tokens)


def _clauses(english: str) -> Iterator[Clause]:
    text = _LETTERS_OF_ACRONYM.sub(
        lambda match: match[0].replace(".", ""), _MOJIBAKE.sub("'", english.replace("’", "'"))
    )
    long = re.findall(r"[A-Za-z]{2,}", text)
    capitals = len(long) < TITLE_WORDS or not all(word[0].isupper() for word in long)
    words: list[str] = []
    starts = True
    for part in [*_PART.findall(re.sub(r"\b(Dr|Mrs?|Ms|St)\.", r"\1", text)), "."]:
        if part not in ".?!;:,":
            words += _expanded(part)
            continue
        if words and not (part == "," and _goes_on(words)):
            yield Clause(tuple(words), part == "?", capitals, starts)
        words, starts = ([], part in ".?!") if not (part == "," and words and _goes_on(words)) else (words, starts)


def _goes_on(words: Sequence[str]) -> bool:
    """Whether a comma after so few words is one of a list or an address, no end of a clause."""
    return len(words) < 3


def _expanded(word: str) -> list[str]:
    """A contraction's words: "don't" -> do not, "I'll" -> I will, "Maria's" -> Maria 's."""
    lower = word.lower()
    table = Table.load().contractions
    if lower in table:
        return table[lower]
    if lower.endswith("n't"):
        return [word[:-3], "not"]
    for ending in _ENDINGS:
        if lower.endswith(ending) and len(word) > len(ending):
            return [word[: -len(ending)], {"'ll": "will", "'d": "would"}.get(ending, ending)]
    return [word]


def _signs(clause: Clause) -> Iterator[tuple[str, bool]]:
    """(gloss, whether it is a time) of a clause in the order of the English."""
    index = 0
    while index < len(clause.words):
        gloss, is_time, length = _phrase(clause, index) or (_word(clause, index), False, 1)
        if gloss:
            yield gloss, is_time
        index += length


def _phrase(clause: Clause, index: int) -> tuple[str, bool, int] | None:
    table = Table.load()
    for length in range(LONGEST_PHRASE, 0, -1):
        words = [clause.lower(place) for place in range(index, index + length)]
        if not all(words):
            continue
        for text in (" ".join(words), " ".join([base(words[0]), *words[1:]])):
            if text == "used to" and clause.lower(index - 1) in BE:
                continue
            if text in table.times:
                return table.times[text], True, length
            if length > 1 and text in table.phrases:
                return table.phrases[text], False, length
    if clause.lower(index) == "going" and clause.lower(index + 1) == "to":
        return _going_to(clause, index)
    return None


def _going_to(clause: Clause, index: int) -> tuple[str, bool, int]:
    """ "going to buy" is WILL, "going to the shop" and "going to Boston" are GO."""
    goal = clause.words[index + 2] if index + 2 < len(clause.words) else ""
    place = not goal or goal.lower() in POINTING or goal[0].isupper()
    return ("GO" if place else "WILL"), False, 2


def _word(clause: Clause, index: int) -> str:
    """The gloss of one word, "" when it is not signed."""
    table, word, lower = Table.load(), clause.words[index], clause.lower(index)
    capital = word[0].isupper() and (index > 0 or lower not in ("may", "march"))
    if lower in table.spelled and (capital or lower == "tv"):
        return f"#{table.spelled[lower]}"
    if _is_silent(clause, index):
        return ""
    if _is_name(clause, index):
        return "#" + spelling(_ACRONYMS.sub(r"\1", word))
    if lower == "left" and clause.lower(index - 1) in POINTING | {"to", "on", "from"}:
        return "LEFT"
    if word[0].isdigit():
        return _number(lower)
    return table.words.get(lower) or base(lower).upper()


def _number(lower: str) -> str:
    """Digits up to ten as words, as annotators write them; the rest stays in digits."""
    if lower in ORDINALS:
        return ORDINALS[lower]
    digits = lower.rstrip("stndrh")
    return DIGITS[int(digits)] if int(digits) < len(DIGITS) else digits


def _is_silent(clause: Clause, index: int) -> bool:
    """Whether a word is grammar that ASL does not sign where it stands."""
    lower, before, after = clause.lower(index), clause.lower(index - 1), clause.lower(index + 1)
    if lower == "a" and clause.words[index] == "A" and index and clause.capitals:
        return False  # vitamin A
    if lower in Table.load().dropped or lower in BE or lower.startswith("'"):
        return True
    if lower in HAVE:
        return _is_perfect(clause, index)
    if lower in DO:
        asks = after in SUBJECTS and (index == 0 or before in WH) and (clause.question or before in WH)
        return after == "not" or asks
    if lower == "it":
        return after in BE
    if lower == "that":
        return not (index == 0 or not after or after in BE or before in BEFORE_THAT)
    relative = lower in ("who", "which") and not (index == 0 and clause.starts)
    return relative and not clause.question and before not in BEFORE_THAT


def _is_perfect(clause: Clause, index: int) -> bool:
    """Whether a form of "have" only makes a tense: a participle follows, adverbs aside."""
    place = index + 1
    while clause.lower(place) in ADVERBS:
        place += 1
    following = clause.lower(place)
    if clause.question and following in SUBJECTS:
        following = clause.lower(place + 1)
    participle = following.endswith(("ed", "en", "wn", "ought", "aught")) or following in _PARTICIPLES
    return following == "been" or (participle and following not in _NO_PARTICIPLES)


_PARTICIPLES = frozenset(
    """got had made gone done said told found kept left lost met paid read sent sold spent stood begun come become run put
    set cut let hit heard held built felt learned meant understood won worn sung drunk swum""".split()
)
_NO_PARTICIPLES = frozenset(
    "seven ten eleven women men children red bed garden kitchen chicken oxygen open even often".split()
)


def _is_name(clause: Clause, index: int) -> bool:
    word, lower = clause.words[index], clause.lower(index)
    if not word[0].isupper() or lower in ("i", "ok") or lower in Table.load().signed_names | set(WH) | SUBJECTS:
        return False
    names, letters = default_names(), spelling(word)
    common = letters in names.common and letters not in names.names
    if len(word) > 1 and word.isupper() and clause.capitals:
        return not common  # an acronym, DVD; but STOP is only loud
    before, after = (clause.words[place : place + 1] for place in (max(index - 1, 0), index + 1))
    if clause.capitals and not (index == 0 and clause.starts):
        if common and not (_is_capital(after) or (index > 0 and _is_capital(before))):
            return False  # a capital by chance; within "Martial Arts Studio" it is part of a name
        return lower not in Table.load().words and lower not in ADVERBS | BEFORE_THAT
    if clause.capitals and not (simplemma.is_known(lower, lang="en") or common) and _is_capital(after):
        return True  # the first of two: Graco Mosaic
    return letters in names.names and letters not in names.common and lower not in Table.load().words


def _is_capital(words: Sequence[str]) -> bool:
    """Whether the one word, if there is one, begins with a capital and is not wholly of capitals."""
    return bool(words) and words[0][0].isupper() and not words[0].isupper()


@lru_cache(maxsize=65_536)
def base(word: str) -> str:
    """The base form of a word in lower case: looking -> look, children -> child, quickly -> quick."""
    if word.endswith("bly"):
        return word[:-1] + "e"
    if word.endswith("ly") and len(word) > 5:
        for stem in (word[:-2], word[:-4] if word.endswith("ally") else "", word[:-3] + "y"):
            if len(stem) > 3 and simplemma.is_known(stem, lang="en"):
                return stem
    found = str(simplemma.lemmatize(word, lang="en")).lower()
    if found == word and word.endswith("ing") and len(word) > 5:
        return _of_gerund(word)
    return found if re.fullmatch(r"[a-z]+", found) else word


def _of_gerund(word: str) -> str:
    """The verb of a form in -ing that the dictionary holds as a noun: writing -> write, cutting -> cut, drawing -> draw."""
    stem = word[:-3]
    if not set(stem) & set("aeiouy"):
        return word
    if stem[-1] == stem[-2] and stem[-1] not in "ls":
        return stem[:-1]
    verbs = (stem + "e", stem) if _SHORT_VOWEL.search(stem) else (stem, stem + "e")
    return next((verb for verb in verbs if simplemma.is_known(verb, lang="en")), word)


def _times_first(signs: list[tuple[str, bool]]) -> list[str]:
    """Times come first in their clause; question words stay where the English has them, since signers put them anywhere."""
    return [gloss for gloss, _ in sorted(signs, key=lambda sign: not sign[1])]
