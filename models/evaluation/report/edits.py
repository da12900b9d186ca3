"""What the networks read of a sentence against what was shown: edits, steps, shares."""

from __future__ import annotations

from models.error_rate import edit_distance
from models.evaluation.report.records import Sentence


def gloss_edits(sentence: Sentence) -> tuple[int, int]:
    """(edits, length of the truth)"""
    truth = [span.text for span in sentence.truth.glosses]
    return edit_distance(sentence.found_glosses(), truth), len(truth)


def letter_edits(sentence: Sentence) -> tuple[int, int]:
    """(edits, length of the truth)"""
    truth = [span.text for span in sentence.truth.letters]
    return edit_distance(sentence.found_letters(), truth), len(truth)


def phoneme_edits(sentence: Sentence) -> tuple[int, int]:
    """(edits, length of the truth)"""
    truth = [span.text for span in sentence.truth.phonemes]
    return edit_distance(sentence.found_phonemes(), truth), len(truth)


def steps_right(sentence: Sentence) -> tuple[int, int]:
    """(steps with the right route, steps)"""
    pairs = list(zip(sentence.truth.routes, sentence.routes, strict=False))
    return sum(true == found for true, found in pairs), len(pairs)


def letter_accuracy(sentence: Sentence) -> float | None:
    """Share of right letters, not below 0; None where nothing was spelled."""
    edits, letters = letter_edits(sentence)
    return max(0.0, 1 - edits / letters) if letters else None
