"""English sentences and their pseudo-glosses: by rules from any English, or drawn from a grammar.

A pseudo-gloss is a sign of the lexicon for every content word, in the order of the English, and "#WORD" for names and
words that have no sign: those are fingerspelled. Articles, forms of "be" and "do" have no sign. The same rules serve the
grammar, real sentences and the language model's training, so that all agree.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from models.synthetic import lexicon

GRAMMAR = Path(__file__).with_name("grammar.toml")
HELD_OUT_SHARE = 0.05
HELD_OUT_NAMES = 5  # every fifth name, by hash
HELD_OUT_TRIES = 60  # of a template, a twentieth of whose sentences are held out
LONGEST_SPELLED = 9

DROPPED = frozenset(
    """a an the is are am was were be been being to of do does did has had would could might shall 's 'm 're 've 'll 'd at
    by as so into onto than then just also well it's that's there's i'm you're we're they're let's um uh kind really""".split()
)
IRREGULAR = {
    "went": "go", "gone": "go", "came": "come", "got": "get", "gotten": "get", "made": "make", "took": "take", "taken": "take",
    "saw": "see", "seen": "see", "knew": "know", "known": "know", "thought": "think", "understood": "understand",
    "forgot": "forget", "taught": "teach", "said": "say", "told": "tell", "gave": "give", "given": "give", "brought": "bring",
    "found": "find", "chose": "choose", "held": "hold", "threw": "throw", "caught": "catch", "ran": "run", "stood": "stand",
    "sat": "sit", "fell": "fall", "left": "leave", "bought": "buy", "sold": "sell", "paid": "pay", "spent": "spend",
    "sent": "send", "met": "meet", "won": "win", "lost": "lose", "felt": "feel", "heard": "hear", "slept": "sleep",
    "became": "become", "grew": "grow", "drove": "drive", "flew": "fly", "rode": "ride", "swam": "swim", "fought": "fight",
    "broke": "break", "broken": "break", "built": "build", "kept": "keep", "meant": "mean", "wore": "wear", "began": "start",
    "men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth", "better": "good", "best": "good",
    "doesn't": "not", "don't": "not", "didn't": "not", "can't": "not", "won't": "not", "isn't": "not", "aren't": "not",
    "wanna": "want", "gonna": "will", "died": "die", "lives": "live", "slowly": "slow",
    "ate": "eat", "eaten": "eat", "drank": "drink", "drunk": "drink", "wrote": "write", "written": "write", "drew": "draw",
    "drawn": "draw", "woke": "wake", "mice": "mouse", "sang": "sing", "sung": "sing", "blew": "blow", "worse": "bad",
    "worst": "bad",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|[0-9]+")


@dataclass(frozen=True)
class Sentence:
    """English and its tokens: glosses of the lexicon, "#WORD" for what is fingerspelled."""

    english: str
    tokens: tuple[str, ...]


def is_held_out(english: str) -> bool:
    """Whether a sentence belongs to evaluation alone (a twentieth, by hash)."""
    return _share(english) < HELD_OUT_SHARE


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def english_to_glosses(english: str) -> tuple[str, ...]:
    """Pseudo-glosses of any English sentence."""
    words = _WORD.findall(english.replace("’", "'"))
    tokens: list[str] = []
    index = 0
    while index < len(words):
        taken = _phrase(words, index)
        if taken:
            tokens.append(taken[0])
            index += taken[1]
            continue
        tokens.extend(_word(words[index], first=index == 0))
        index += 1
    return tuple(tokens)


def _phrase(words: list[str], index: int) -> tuple[str, int] | None:
    known = lexicon.load().words
    for length in (3, 2):
        text = " ".join(words[index : index + length]).lower()
        if len(words) >= index + length and text in known:
            return known[text], length
    return None


def _word(word: str, *, first: bool) -> list[str]:
    known = lexicon.load().words
    lower = word.lower()
    own, _, ending = lower.partition("'")
    if lower in IRREGULAR and IRREGULAR[lower] in known:
        return [known[IRREGULAR[lower]]]
    if word[0].isupper() and not first and own not in known and lower not in known:
        return [] if own in DROPPED else ["#" + own.upper()[:LONGEST_SPELLED]]
    for stem in _stems(own if ending else lower):
        if stem in known:
            return [known[stem]]
    if lower in DROPPED or own in DROPPED:
        return []
    return ["#" + own.upper()[:LONGEST_SPELLED]]


def _stems(word: str) -> list[str]:
    """The word and what it may be an inflection of."""
    stems = [word, IRREGULAR.get(word, word)]
    for ending, instead in (("ies", "y"), ("ied", "y"), ("s", ""), ("es", ""), ("ing", "e"), ("ing", ""), ("ed", "e"),
                            ("ed", ""), ("ier", "y"), ("ily", "y"), ("er", "e"), ("er", ""), ("ly", "")):  # fmt: skip
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            stem = word[: -len(ending)] + instead
            stems.append(stem)
            if len(stem) > 3 and stem[-1] == stem[-2] and not instead:
                stems.append(stem[:-1])
    return stems


def real_sentences(path: Path, *, longest: int = 12) -> list[Sentence]:
    """Sentences of a file (clip TAB English) short enough to sign, with at most one fingerspelled word."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        english = line.rsplit("\t", 1)[-1].strip()
        words = _WORD.findall(english)
        if 3 <= len(words) <= longest and not any(word.isdigit() for word in words):
            tokens = english_to_glosses(english)
            if len(tokens) >= 2 and sum(token.startswith("#") for token in tokens) <= 1:
                found.append(Sentence(english, tokens))
    return found


@lru_cache(maxsize=1)
def _grammar() -> tuple[list[str], dict[str, list[str]]]:
    held = tomllib.loads(GRAMMAR.read_text(encoding="utf-8"))
    lists = {name: [word.replace("_", " ") for word in words.split()] for name, words in held["lists"].items()}
    return held["templates"], lists


def from_grammar(rng: np.random.Generator, held_out: bool = False) -> Sentence:
    """A sentence of the grammar, from the training or the held-out part.

    Of the held-out part every template that has a sentence there is as likely as any other: a template without slots
    would else stand for a tenth of it each.
    """
    templates, lists = _grammar()
    while True:
        template = templates[int(rng.integers(len(templates)))]
        for _ in range(HELD_OUT_TRIES if held_out else 1):
            english = re.sub(
                r"\{([a-z]+?)2?\}", lambda match: _choice(rng, match[1], lists[match[1]], held_out), template
            )
            english = english[0].upper() + english[1:]
            tokens = english_to_glosses(english) if is_held_out(english) == held_out else ()
            if tokens:
                return Sentence(english, tokens)


@lru_cache(maxsize=1)
def names_held_out() -> frozenset[str]:
    """The grammar's names and cities that no training clip spells, as they are spelled."""
    _, lists = _grammar()
    names = {word for kind in ("name", "city") for word in lists[kind] if _share(word) < 1 / HELD_OUT_NAMES}
    return frozenset(name.upper()[:LONGEST_SPELLED] for name in names)


def _choice(rng: np.random.Generator, name: str, words: list[str], held_out: bool) -> str:
    """A word of a list; names and cities of the held-out fifth come in held-out sentences alone."""
    if name in ("name", "city"):
        words = [word for word in words if held_out or _share(word) >= 1 / HELD_OUT_NAMES]
    return words[int(rng.integers(len(words)))]
