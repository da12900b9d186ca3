"""What an OpenAI-compatible server is asked for a segment, and what its answer says. Pure: no sockets, no clocks.

Two of its calls will do. `chat`: any instructed model, told in words what to do. `completions`: a server (vLLM) of a model that
`signbind train language` or `train lora` made, given the prompt it was trained with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from models.lexemes import FUNCTION_WORDS, Lexemes
from models.prompts import END, Request, gloss_line, lower_start, most_pieces, prompt
from models.sentence import Piece

Api = Literal["chat", "completions"]

PATHS: dict[Api, str] = {"chat": "chat/completions", "completions": "completions"}
UNKNOWN_LOG_PROB = -0.7
"""Of every word where the server gives no log-probabilities: as likely wrong as right."""

INSTRUCTION = """You turn glosses of American Sign Language into one English sentence.
Say what the glosses say, in their tense and person, and nothing else. Answer with the sentence alone, on one line.
<fs1>, <fs2>, ... stand for words that were fingerspelled, mostly names: put each where it belongs, written exactly so, once.
Never write a name that is not among the glosses. Begin in lower case unless the first word is a name."""
_WORD = re.compile(r"[A-Za-z][\w']*")


def body(request: Request, api: Api, model: str, lexemes: Lexemes) -> dict[str, Any]:
    """The JSON to post; the same beginning for all segments, so that the server's prefix cache applies."""
    line, context = gloss_line(request.tokens), request.context[-1] if request.context else ""
    asked: dict[str, Any] = {"model": model, "temperature": 0, "max_tokens": most_pieces(request.tokens)}
    if api == "completions":
        text = prompt(line, lower_start(context, lexemes.proper))
        # vLLM's own options: the slots are marks of the tokenizer, which it would leave out
        marks = {"skip_special_tokens": False, "spaces_between_special_tokens": False}
        return {**asked, "prompt": text, "logprobs": 1, "stop": [END], **marks}
    before = f"The sentence before it: {context}\n" if context else ""
    messages = [
        {"role": "system", "content": INSTRUCTION},
        {"role": "user", "content": f"{before}Glosses: {line}"},
    ]
    return {**asked, "messages": messages, "logprobs": True}


def pieces_of(answer: Any, api: Api) -> list[Piece]:
    """The text and log-probabilities of an answer's first choice; ValueError where it is none."""
    try:
        choice = answer["choices"][0]
        if api == "chat":
            text = choice["message"]["content"]
            given = [(one["token"], one["logprob"]) for one in (choice.get("logprobs") or {}).get("content") or ()]
        else:
            text, held = choice["text"], choice.get("logprobs") or {}
            given = list(zip(held.get("tokens") or (), held.get("token_logprobs") or (), strict=True))
        if not isinstance(text, str):
            raise ValueError(f"expected a text, got {type(text).__name__}")
        return _pieces(text, [(str(piece), float(log_prob or 0.0)) for piece, log_prob in given])
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"no answer of {PATHS[api]}: {type(error).__name__} {error}") from error


def _pieces(text: str, given: list[Piece]) -> list[Piece]:
    """The first line, piece by piece; words of like probability where the pieces are not the text's."""
    if "".join(piece for piece, _ in given).startswith(text) and text:
        return _first_line(given, len(text))
    mean = sum(log_prob for _, log_prob in given) / len(given) if given else UNKNOWN_LOG_PROB
    line = next((line for line in text.splitlines() if line.strip()), "")
    return [(f"{word} ", mean) for word in line.replace(END, " ").split()]


def _first_line(given: list[Piece], length: int) -> list[Piece]:
    kept: list[Piece] = []
    for piece, log_prob in given:
        piece, length = piece[:length], length - len(piece)
        said = "".join(text for text, _ in kept).strip()
        line = (piece if said else piece.lstrip("\n")).split("\n")[0].replace(END, "")
        kept.append((line, log_prob))
        if length <= 0 or (said and "\n" in piece):
            break
    return kept


def known_words(lexemes: Lexemes) -> frozenset[str]:
    """Words that need not be a name where they begin a sentence."""
    return FUNCTION_WORDS.union(*lexemes.words.values())


def with_lower_start(pieces: Sequence[Piece], proper: frozenset[str], known: frozenset[str]) -> list[Piece]:
    """The convention of the bundled model: a capital is a name's. A first word is one unless it is known as a word."""
    text = "".join(piece for piece, _ in pieces)
    names = {word for word in _WORD.findall(text) if word.lower().removesuffix("'s") not in known}
    lowered = lower_start(text.lstrip(), proper | names)
    lowered = text[: len(text) - len(lowered)] + lowered
    changed: list[Piece] = []
    for piece, log_prob in pieces:
        changed.append((lowered[: len(piece)], log_prob))
        lowered = lowered[len(piece) :]
    return changed
