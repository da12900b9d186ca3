"""Errors like recognition's, put into clean tokens: so the language can be measured without any video.

This is not the noise that the language model trains with (`training/language_pool.py`): it works on tokens with letters and
posteriors, by other rules, so that a good figure is not that of a rule learned by heart. Posteriors of signs are drawn as
they were measured on 400 recognised sentences of unseen signers, for signs read right and for signs read wrong.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.hypothesis import Token
from models.names import default_confusion
from models.synthetic import lexicon
from models.training.gloss_noise import look_alikes

STEP_MS = 400
PAUSE_MS = 900
"""Longer than letters of one word may be apart: what was cut stays cut."""
_SHARES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_RIGHT = (0.4, 0.95, 0.984, 0.997, 0.999, 1.0, 1.0, 1.0)
_WRONG = (0.35, 0.57, 0.627, 0.76, 0.91, 0.985, 0.997, 1.0)
"""The posteriors under which these shares of all signs lie."""
_CONFUSION = default_confusion()


@dataclass(frozen=True)
class Rates:
    """Shares of tokens and of letters that are wrong; of a token's errors `deleted` drop it and `substituted` mistake it, the
    rest are signs that nobody made, or cut a spelled word in two."""

    tokens: float = 0.0
    letters: float = 0.0
    deleted: float = 0.45
    substituted: float = 0.4


def noisy_tokens(texts: Sequence[str], rates: Rates, rng: random.Random) -> tuple[Token, ...]:
    """Tokens ("NAME", "#MARIA") with errors; where all were dropped, the first stays."""
    found: list[Token] = []
    for text in texts:
        wrong = rng.random() < rates.tokens
        found += _spelled(text[1:], rates, wrong, rng) if text.startswith("#") else _signed(text, wrong, rates, rng)
    return _placed(found or [token_of(texts[0])])


def token_of(text: str, posterior: float = 1.0) -> Token:
    """A token read without doubt; its time is given later."""
    if text.startswith("#"):
        return Token(text[1:], "fingerspelling", 0, STEP_MS, posterior, (posterior,) * (len(text) - 1))
    return Token(text, "sign", 0, STEP_MS, posterior)


def _posterior(table: Sequence[float], rng: random.Random) -> float:
    return float(np.interp(rng.random(), _SHARES, table))


def _signed(text: str, wrong: bool, rates: Rates, rng: random.Random) -> list[Token]:
    if not wrong:
        return [token_of(text, _posterior(_RIGHT, rng))]
    fault = rng.random()
    if fault < rates.deleted:
        return []
    if fault < rates.deleted + rates.substituted:
        near = look_alikes().get(text, ())
        other = rng.choice(near) if near and rng.random() < 0.6 else _any(rng)
        return [token_of(other, _posterior(_WRONG, rng))]
    return [token_of(text, _posterior(_RIGHT, rng)), token_of(_any(rng), _posterior(_WRONG, rng))]


def _any(rng: random.Random) -> str:
    return rng.choice(lexicon.load().glosses)


def _spelled(letters: str, rates: Rates, wrong: bool, rng: random.Random) -> list[Token]:
    """A spelled word with wrong letters; when the whole is `wrong` it is missed or cut in two."""
    if wrong and rng.random() < rates.deleted:
        return []
    seen = [one for letter in letters for one in _letter(letter, rates.letters, rng)] or [(letters[0], 0.5)]
    cut = rng.randint(1, len(seen) - 1) if wrong and len(seen) > 1 else len(seen)
    return [_word(part) for part in (seen[:cut], seen[cut:]) if part]


def _letter(letter: str, rate: float, rng: random.Random) -> list[tuple[str, float]]:
    """What is seen of one letter, with posteriors as the networks give them: wrong ones are surer than they should be."""
    right = (letter, max(0.5, 1 - abs(rng.gauss(0, 0.12))))
    if rng.random() >= rate:
        return [right]
    fault, doubt = rng.random(), rng.uniform(0.35, 0.95)
    if fault < 0.25:
        return []
    row = _CONFUSION[letter]
    other = (rng.choices(list(row), list(row.values()))[0], doubt)
    return [other] if fault < 0.85 else [right, other]


def _word(seen: Sequence[tuple[str, float]]) -> Token:
    posteriors = tuple(posterior for _, posterior in seen)
    mean = sum(posteriors) / len(posteriors)
    return Token("".join(letter for letter, _ in seen), "fingerspelling", 0, 200 * len(seen), mean, posteriors)


def _placed(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """The same tokens one after the other in time; between spelled words lies a pause."""
    placed: list[Token] = []
    now = 0
    for token in tokens:
        now += PAUSE_MS if placed and placed[-1].kind == token.kind == "fingerspelling" else 0
        length = token.end_ms - token.start_ms
        placed.append(replace(token, start_ms=now, end_ms=now + length))
        now += length
    return tuple(placed)
