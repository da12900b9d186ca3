"""What a language model answered, as tokens: the notation is mended where it is clear, anything else is refused."""

from __future__ import annotations

import re

from models.training.labels import LabelError

MOST_TOKENS = 3
"""So many tokens a word of the English, and two more, are plausible; beyond that the model rambled."""

_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
_LEAD = re.compile(r"^(?:pseudo-?)?gloss(?:es)?\s*:\s*", re.IGNORECASE)
_SPELLED = re.compile(r"^(?:fs-|FS-|#)(?=[A-Za-z0-9])")
_TOKEN = re.compile(r"#[A-Z0-9]+|[A-Z0-9]+(?:[-'][A-Z0-9]+)*")


class AnswerError(LabelError):
    """An answer that holds anything but glosses; the text says which sentence and what came."""


def tokens_of(answer: str, english: str) -> tuple[str, ...]:
    """The tokens of an answer of one line, or an AnswerError.

    `fs-MARIA` and `#M-A-R-I-A` become #MARIA. A fingerspelled word must stand in the English: names are not invented.
    """
    lines = [line for line in _bare(answer).splitlines() if line.strip()]
    tokens = tuple(_mended(raw) for raw in lines[0].replace(",", " ").rstrip(" .?!").split()) if len(lines) == 1 else ()
    odd = [token for token in tokens if not _TOKEN.fullmatch(token)]
    if odd or not tokens or len(tokens) > MOST_TOKENS * len(english.split()) + 2:
        raise AnswerError(
            f"expected glosses in capitals for {english!r}, got {answer.strip()[:80]!r}; ask another model or mend the prompt"
        )
    words = [re.sub(r"[^A-Z0-9]", "", word) for word in english.upper().split()]
    runs = {"".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1)}
    for token in tokens:
        if token.startswith("#") and token[1:] not in runs:
            raise AnswerError(f"{token} is not in {english!r}: the labeller invented it; leave the sample out")
    return tokens


def _bare(answer: str) -> str:
    """Without a reasoning model's thoughts, a code fence, a lead such as "Gloss:" and quotes."""
    text = _THOUGHTS.sub("", answer).strip()
    text = "\n".join(line for line in text.splitlines() if not line.startswith("```"))
    return _LEAD.sub("", text.strip().strip("`\"'")).strip()


def _mended(raw: str) -> str:
    if _SPELLED.match(raw):
        return "#" + re.sub(r"[-.]", "", _SPELLED.sub("", raw)).upper()
    return raw
