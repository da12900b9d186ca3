"""Scores of sentences: BLEU by sacreBLEU, and which words are right."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher

from sacrebleu.metrics.bleu import BLEU

PUNCTUATION = '.,?!;:"()[]'


def bleu(found: Sequence[str], truth: Sequence[str], *, tokenize: str = "13a") -> tuple[float, str]:
    """Corpus BLEU-4 (0..100) and its sacreBLEU signature; `tokenize` none takes the words as the corpus has them apart."""
    metric = BLEU(tokenize=tokenize)
    with _quiet("sacrebleu"):  # it warns of texts that are in tokens already: with none, they are meant to be
        score = metric.corpus_score(list(found), [list(truth)])
    return float(score.score), str(metric.get_signature())


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def plain_words(text: str) -> list[str]:
    """The words of a text without case and punctuation: what a reader compares."""
    return [plain for word in text.split() if (plain := plain_word(word))]


def plain_word(word: str) -> str:
    """One of them; empty where it is all punctuation."""
    return word.strip(PUNCTUATION).lower()


def words_right(found: Sequence[str], truth: str) -> list[bool]:
    """Of the words of a caption, which stand in the truth at their place (by the longest matching blocks)."""
    shown = [plain_word(word) for word in found]
    right = [False] * len(shown)
    for block in SequenceMatcher(None, shown, plain_words(truth), autojunk=False).get_matching_blocks():
        right[block.a : block.a + block.size] = [True] * block.size
    return right


def caption_right(found: str, truth: str) -> bool:
    """A caption is right when it has the words of the truth, all and in order; case and punctuation do not count."""
    return plain_words(found) == plain_words(truth)
