"""Hypotheses of segments, for tests of what is written of them."""

from __future__ import annotations

from models.hypothesis import Hypothesis, Token


def hypothesis(*texts: str) -> Hypothesis:
    """Signs, and words that are spelled ("#MARIA"), one every half second; all of them sure."""
    tokens = tuple(
        Token(text.lstrip("#"), "fingerspelling" if "#" in text else "sign", 500 * place, 500 * place + 400, 0.9,
              (0.9,) * len(text.lstrip("#")) if "#" in text else ())
        for place, text in enumerate(texts)
    )  # fmt: skip
    return Hypothesis(tokens, len(tokens), 0, 500 * len(tokens), 1.0, (0.8, 0.2, 0.0), 0.9, 2.0, 1.0)
