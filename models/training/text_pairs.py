"""Pairs of glosses and English that the language model learns from: the grammar, How2Sign, NCSLGR, ASLG-PC12.

Glosses come by the rules of `synthetic/sentences.py` where a corpus has none of its own. What is fingerspelled becomes a
slot on both sides, so the model learns to place a name and never to know one. A twentieth of every corpus, by the hash of
the English as for the clips, is never trained on. `permissive_only` keeps the grammar alone, which is this project's own.

`english_alone` is for a stronger prior of English: text without glosses of its own, what it lacks in the prompt to be filled in.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from models.evaluation.report.words import function_class
from models.prompts import SLOTS, gloss_text, lower_start, sentence_case
from models.synthetic.lexicon import LEXICON
from models.synthetic.sentences import LONGEST_SPELLED, english_to_glosses, from_grammar, is_held_out
from models.training.gloss_corpora import aslg_tokens, clean_english, ncslgr_rows

LONGEST_WORDS = 24
EMPTY, WITHHELD = 1 / 3, 0.3
"""Of English alone: the share of prompts that are empty; in the others, that of function words kept back though they have a
sign (those without one are never told)."""
_WORD = re.compile(r"[A-Za-z0-9]+")
_SENTENCE_START = re.compile(r"(?:^|[.?!]\s+)\S+")


@dataclass(frozen=True)
class Pair:
    """`gloss`: "me name <fs1>", `english`: "my name is <fs1>." in lower-start form, `context`: the sentence before."""

    gloss: str
    english: str
    context: str = ""


@dataclass(frozen=True)
class Shares:
    """Shares of a batch; they need not sum to one."""

    grammar: float = 0.5
    swapped: float = 0.1
    lexicon: float = 0.22
    """How2Sign sentences that the lexicon nearly covers: at most two spelled words."""
    how2sign: float = 0.06
    """The others, with common words that have no sign as glosses of their own."""
    ncslgr: float = 0.05
    aslg: float = 0.07


TEXT_SHARES = {"grammar": 0.3, "how2sign": 0.5, "aslg": 0.2}
"""Of English alone."""


@dataclass(frozen=True)
class Corpora:
    """The pairs read from files; the grammar's are drawn anew."""

    lexicon: tuple[Pair, ...] = ()
    how2sign: tuple[Pair, ...] = ()
    ncslgr: tuple[Pair, ...] = ()
    aslg: tuple[Pair, ...] = ()
    proper: frozenset[str] = frozenset()

    @staticmethod
    def read(data: Path, *, permissive_only: bool = False) -> Corpora:
        """Training pairs of `data`/text; raises ValueError naming the first file that is missing."""
        proper = _proper_in_grammar()
        if permissive_only:
            return Corpora(proper=proper)
        how2sign = lines_of(data, "how2sign.train.tsv")
        english = [line.split("\t")[1] for line in how2sign]
        proper |= proper_words(english)
        covered, others = _how2sign(how2sign, proper)
        ncslgr = _pairs(ncslgr_rows(lines_of(data, "ncslgr.train.tsv")), proper)
        known = _everyday(english)
        aslg = _pairs(_aslg(lines_of(data, "aslg_pc12.train.tsv"), known), frozenset())
        return Corpora(tuple(covered), tuple(others), tuple(ncslgr), tuple(aslg), proper)


def _proper_in_grammar() -> frozenset[str]:
    return proper_words(from_grammar(np.random.default_rng(0)).english for _ in range(2000))


def _everyday(english: Iterable[str]) -> set[str]:
    """Words that stand in lower case in some text: no names."""
    return {word for line in english for word in _WORD.findall(line) if word.islower() and len(word) > 1} | {"a"}


def lines_of(data: Path, name: str) -> list[str]:
    path = data / "text" / name
    if not path.is_file():
        raise ValueError(
            f"expected {path}, but there is no such file: put the text corpora there, or use permissive_only"
        )
    return path.read_text(encoding="utf-8").splitlines()


def proper_words(english: Iterable[str]) -> frozenset[str]:
    """Words that have a capital within sentences at least four times as often as not."""
    capital: Counter[str] = Counter()
    lower: Counter[str] = Counter()
    for sentence in english:
        for word in _WORD.findall(_SENTENCE_START.sub(" ", sentence)):
            (capital if word[0].isupper() else lower)[word.lower()] += 1
    return frozenset(word.capitalize() for word, count in capital.items() if count > 4 * lower[word] and len(word) > 1)


def pair_of(tokens: Sequence[str], english: str, proper: frozenset[str] = frozenset()) -> Pair | None:
    """Replaces every "#WORD" by a slot on both sides; None when a spelled word is not in the English or there are more
    words spelled than slots."""
    slots: dict[str, str] = {}
    glosses: list[str] = []
    for token in tokens:
        if not token.startswith("#"):
            glosses.append(gloss_text(token))
            continue
        if token not in slots:
            if len(slots) == len(SLOTS):
                return None
            slots[token] = SLOTS[len(slots)]
        glosses.append(slots[token])
    text, missing = english, False
    for token, slot in slots.items():
        text, count = _spelled(token[1:]).subn(slot, text)
        missing = missing or not count
    return None if missing or not glosses else Pair(" ".join(glosses), lower_start(text, proper))


def _spelled(letters: str) -> re.Pattern[str]:
    """The word that a spelling stands for; long words are spelled by their first LONGEST_SPELLED letters."""
    rest = "[A-Za-z0-9]*" if len(letters) >= LONGEST_SPELLED else ""
    return re.compile(rf"(?<![A-Za-z0-9<]){re.escape(letters)}{rest}(?![A-Za-z0-9>])", re.IGNORECASE)


def _pairs(rows: Iterable[tuple[Sequence[str], str]], proper: frozenset[str]) -> list[Pair]:
    found = (pair_of(tokens, english, proper) for tokens, english in rows if not is_held_out(english))
    return [pair for pair in found if pair is not None and len(pair.english.split()) <= LONGEST_WORDS]


def _how2sign(lines: Sequence[str], proper: frozenset[str]) -> tuple[list[Pair], list[Pair]]:
    """(sentences that the lexicon nearly covers, the others); the sentence before, of the same video, is the context."""
    covered: list[Pair] = []
    others: list[Pair] = []
    before = ("", "")
    for line in lines:
        clip, english = line.split("\t")[:2]
        english, video = clean_english(english), clip[:11]
        context = before[1] if before[0] == video and not is_held_out(before[1]) else ""
        before = (video, english)
        if is_held_out(english) or not 2 <= len(english.split()) <= LONGEST_WORDS:
            continue
        tokens = english_to_glosses(english)
        few = sum(token.startswith("#") for token in tokens) <= 2
        pair = pair_of(tokens if few else common_as_glosses(tokens, english), english, proper)
        if pair is not None:
            kept = replace(pair, context=lower_start(context, proper) if len(context.split()) <= LONGEST_WORDS else "")
            (covered if few else others).append(kept)
    return covered, others


def common_as_glosses(tokens: Sequence[str], english: str) -> list[str]:
    """Spelled words that stand in lower case in the English become glosses of their own: "#PLANT" -> "PLANT"."""
    lower = {word[:LONGEST_SPELLED].upper(): word.upper() for word in _WORD.findall(english) if word.islower()}
    return [lower.get(token[1:], token) if token.startswith("#") else token for token in tokens]


def _aslg(lines: Sequence[str], known: set[str]) -> Iterator[tuple[Sequence[str], str]]:
    """Short sentences of everyday words, for the corpus has lost its capitals; half by its glosses, half by our rules."""
    for number, line in enumerate(lines):
        gloss, _, english = line.partition("\t")
        english = clean_english(english)
        if _of(known, english, 12):
            ours = common_as_glosses(english_to_glosses(english), english)
            yield (aslg_tokens(gloss) if number % 2 else ours), english[0].upper() + english[1:]


def _of(known: set[str], english: str, longest: int) -> bool:
    """Whether a sentence has three to `longest` words, all of them `known`."""
    words = _WORD.findall(english)
    return 3 <= len(words) <= longest and all(word in known or word == "I" for word in words)


def grammar_pairs(rng: np.random.Generator, proper: frozenset[str]) -> Iterator[Pair]:
    """Endless pairs of the grammar's training part."""
    while True:
        sentence = from_grammar(rng)
        pair = pair_of(sentence.tokens, sentence.english, proper)
        if pair is not None:
            yield pair


def swapped(pairs: Sequence[Pair], rng: random.Random) -> list[Pair]:
    """Pairs with one lemma exchanged for another of the same part of the lexicon on both sides ("close it" -> "open it"),
    so that what is signed is said even in a sentence that the grammar never makes; nothing that is held out."""
    parts = _parts()
    found = (_exchanged(pair, parts, rng) for pair in pairs)
    return [pair for pair in found if pair is not None and not is_held_out(sentence_case(pair.english))]


@lru_cache(maxsize=1)
def _parts() -> dict[str, tuple[str, ...]]:
    """Lemma -> all lemmas of its section of the lexicon; a lemma is a gloss that is its own English."""
    sections = tomllib.loads(LEXICON.read_text(encoding="utf-8"))
    parts: dict[str, tuple[str, ...]] = {}
    for entries in sections.values():
        lemmas = tuple(
            gloss.lower() for gloss, sign in entries.items() if gloss.lower() == sign["english"].split(",")[0]
        )
        parts |= dict.fromkeys(lemmas, lemmas)
    return parts


def _exchanged(pair: Pair, parts: dict[str, tuple[str, ...]], rng: random.Random) -> Pair | None:
    glosses, words = pair.gloss.split(), re.findall(r"[\w'<>]+", pair.english)
    fit = [gloss for gloss in glosses if gloss in parts and glosses.count(gloss) == words.count(gloss) == 1]
    if not fit:
        return None
    old = rng.choice(fit)
    new = rng.choice(parts[old])
    gloss = " ".join(new if one == old else one for one in glosses)
    return replace(pair, gloss=gloss, english=re.sub(rf"(?<![\w'<]){old}(?![\w'>])", new, pair.english))


def english_alone(
    data: Path, rng: random.Random, *, draws: int, permissive_only: bool = False
) -> dict[str, list[Pair]]:
    """Training sentences by source with what `blanked` leaves of them as prompts: `draws` of the grammar's, How2Sign's, and
    those of ASLG-PC12 that are made of everyday words, however long. ValueError as for `Corpora.read`."""
    proper, drawn = _proper_in_grammar(), np.random.default_rng(rng.getrandbits(32))
    texts = {"grammar": [from_grammar(drawn).english for _ in range(draws)]}
    if not permissive_only:
        told = [clean_english(line.split("\t")[1]) for line in lines_of(data, "how2sign.train.tsv")]
        proper, known = proper | proper_words(told), _everyday(told)
        read = (clean_english(line.partition("\t")[2]) for line in lines_of(data, "aslg_pc12.train.tsv"))
        texts |= {"how2sign": told, "aslg": [t[0].upper() + t[1:] for t in read if _of(known, t, LONGEST_WORDS)]}
    rows = {name: (_glossed(text) for text in held if len(text.split()) >= 3) for name, held in texts.items()}
    return {name: [blanked(pair, rng) for pair in _pairs(found, proper)] for name, found in rows.items()}


def _glossed(english: str) -> tuple[Sequence[str], str]:
    """Common words that have no sign are glosses of their own."""
    return common_as_glosses(english_to_glosses(english), english), english


def blanked(pair: Pair, rng: random.Random) -> Pair:
    """The English with little or nothing of its glosses (see EMPTY, WITHHELD). What is spelled is always told: a slot that
    was not read cannot be placed."""
    if "<" not in pair.gloss and rng.random() < EMPTY:
        return Pair("", pair.english)
    told = (one for one in pair.gloss.split() if not function_class(one) or rng.random() >= WITHHELD)
    return Pair(" ".join(told), pair.english)
