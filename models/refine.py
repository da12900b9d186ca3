"""Tokens to an English sentence: prompt, language model, output guard.

A LlamaForCausalLM (any causal model that transformers loads) writes the sentence, with a LoRA adapter of peft if one is
asked for, in 8 or 4 bits by bitsandbytes if asked for. Spelled words are slots that the model only places; it may not
say a proper noun that was neither spelled nor signed: within a sentence the pieces with capitals that nothing signed
are barred while it writes, and what still comes through is dropped. See `models/prompts.py` for the text.

Meets `names` in the pipeline only: how a spelled word is shown comes in as a function.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from models.generation import PromptCache, Written, generate
from models.hypothesis import Source, Token
from models.lexemes import FUNCTION_WORDS, Lexemes, agreement, bare
from models.prompts import (
    Refined,
    RefinedWord,
    Request,
    Show,
    as_spelled,
    gloss_line,
    lower_start,
    prompt,
    sentence_case,
    slots_of,
)

Bits = Literal["8bit", "4bit"]

PIECES_A_TOKEN = 5
PIECES_AT_LEAST = 16
"""A sentence is cut at PIECES_AT_LEAST + PIECES_A_TOKEN x tokens pieces: a model that rambles stops there."""
_SLOT = re.compile(r"<fs\d>")
_SENTENCE_END = (".", "?", "!")


class RefinerError(ValueError):
    """A language model or an adapter that cannot be loaded; the text is one sentence for the operator."""


class Refiner:
    """Writes sentences for batches of segments. Not thread-safe: one caller at a time."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, lexemes: Lexemes, show: Show = as_spelled
    ) -> None:
        self.model, self.tokenizer, self.lexemes, self.show = model.eval(), tokenizer, lexemes, show
        self._prompts = PromptCache()
        size = int(model.config.vocab_size)
        self._plain = torch.ones(size, dtype=torch.bool)
        for piece, index in tokenizer.get_vocab().items():
            if index < size and (
                piece in tokenizer.all_special_tokens or any("A" <= letter <= "Z" for letter in piece)
            ):
                self._plain[index] = False
        self._plain[len(tokenizer) :] = False
        self._plain[tokenizer.eos_token_id] = True

    @classmethod
    def load(
        cls, folder: Path, adapter: Path | None = None, load_in: Bits | None = None, show: Show = as_spelled
    ) -> Refiner:
        """Loads a folder of transformers' files and, on top, a folder of a peft adapter.

        `load_in` quantises by bitsandbytes. Raises RefinerError when something is missing or does not fit.
        """
        if not (folder / "config.json").is_file():
            raise RefinerError(
                f"expected a language model at {folder}, but it has no config.json; train it with `signbind train language`"
            )
        disable_progress_bar()  # transformers draws one for every load, also in a server's log
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, **_quantised(load_in))
        except (OSError, ValueError, ImportError) as error:
            raise RefinerError(f"the language model at {folder} cannot be loaded: {_first_line(error)}") from error
        if adapter is not None:
            model = _adapted(model, adapter)
        return cls(model, tokenizer, Lexemes.load(folder / "words.json"), show)

    def refine(self, requests: Sequence[Request], deadline_s: float | None = None) -> list[Refined | None]:
        """One sentence a request; None for those that were not written `deadline_s` seconds from now.

        A request without tokens has the empty sentence.
        """
        deadline = None if deadline_s is None else time.monotonic() + deadline_s
        asked = [index for index, request in enumerate(requests) if request.tokens]
        refined: list[Refined | None] = [None if request.tokens else Refined("", (), 1.0) for request in requests]
        if not asked or (deadline_s is not None and deadline_s <= 0):
            return refined
        written = generate(
            self.model,
            [self._ids(requests[index]) for index in asked],
            torch.stack([self._allowed(requests[index].tokens) for index in asked]).to(self.model.device),
            int(self.tokenizer.eos_token_id),
            [PIECES_AT_LEAST + PIECES_A_TOKEN * len(requests[index].tokens) for index in asked],
            deadline,
            self._prompts,
        )
        for index, row in zip(asked, written, strict=True):
            refined[index] = self._refined(requests[index], row) if row is not None else None
        return refined

    def _ids(self, request: Request) -> list[int]:
        context = lower_start(request.context[-1], self.lexemes.proper) if request.context else ""
        ids: list[int] = self.tokenizer(prompt(gloss_line(request.tokens), context), add_special_tokens=False)[
            "input_ids"
        ]
        return ids

    def _allowed(self, tokens: Sequence[Token]) -> Tensor:
        """Ids (vocabulary,) that the answer may hold: no capitals but those that the tokens allow, no foreign slot."""
        allowed = self._plain.clone()
        glosses = [token.text for token in tokens if token.kind == "sign"]
        words = " ".join(sorted(self.lexemes.capitals(glosses)))
        allowed[self.tokenizer(words, add_special_tokens=False)["input_ids"]] = True
        allowed[self.tokenizer.convert_tokens_to_ids(list(slots_of(tokens).values()))] = True
        return allowed

    def _refined(self, request: Request, written: Written) -> Refined:
        words = self._guarded(self._words(written), request)
        glosses = {index: token.text for index, token in enumerate(request.tokens) if token.kind == "sign"}
        slots = slots_of(request.tokens)
        found = self.lexemes.align([word for word, _ in words], glosses)
        for place, (word, _) in enumerate(words):
            if slot := _SLOT.search(word):
                found[place] = next(index for index, name in slots.items() if name == slot[0])
        share = agreement([word for word, _ in words], found, len(request.tokens))
        shown = [self._shown(word, request, slots) for word, _ in words]
        return _timed(request.tokens, shown, [log_prob for _, log_prob in words], found, share)

    def _words(self, written: Written) -> list[tuple[str, float]]:
        """The words of the answer, slots still in them, each with the sum of its pieces' log-probabilities."""
        texts = [self.tokenizer.decode(written.ids[:end]).replace("<fs", " <fs") for end in range(len(written.ids) + 1)]
        words: list[tuple[str, float]] = []
        for match in re.finditer(r"\S+", texts[-1]):
            pieces = [
                log_prob
                for before, after, log_prob in zip(texts, texts[1:], written.log_probs, strict=False)
                if len(before) < match.end() and len(after) > match.start()
            ]
            words.append((match[0], sum(pieces)))
        return words

    def _guarded(self, words: list[tuple[str, float]], request: Request) -> list[tuple[str, float]]:
        """Drops proper nouns that nothing signed and slots that nobody spelled; their punctuation stays."""
        glosses = [token.text for token in request.tokens if token.kind == "sign"]
        capitals = self.lexemes.capitals(glosses)
        slots = set(slots_of(request.tokens).values())
        kept: list[tuple[str, float]] = []
        for word, log_prob in words:
            plain = bare(word).removesuffix("'s")
            slot = _SLOT.search(word)
            if (slot and slot[0] in slots) or (not slot and _said(plain, capitals)):
                kept.append((word, log_prob))
            elif kept and word.endswith(_SENTENCE_END):
                kept[-1] = (kept[-1][0] + word[-1], kept[-1][1])
        return kept

    def _shown(self, word: str, request: Request, slots: dict[int, str]) -> str:
        def spelled(match: re.Match[str]) -> str:
            tokens = [request.tokens[index] for index, slot in slots.items() if slot == match[0]]
            return " ".join(self.show(token, request.vocabulary) for token in tokens)

        return _SLOT.sub(spelled, word)


def _said(word: str, capitals: set[str]) -> bool:
    return word == word.lower() or word in capitals or word.lower() in FUNCTION_WORDS


def _timed(
    tokens: Sequence[Token], texts: list[str], log_probs: list[float], found: list[int | None], share: float
) -> Refined:
    """Joins all that is known of the words; a word without a token lies between its neighbours in time."""
    cased = sentence_case(" ".join(texts)).split()
    words: list[RefinedWord] = []
    place = 0
    for text, log_prob, index in zip(texts, log_probs, found, strict=True):
        shown = " ".join(cased[place : place + len(text.split())])
        place += len(text.split())
        source: Source = "language" if index is None else tokens[index].kind
        start_ms, end_ms = _times(tokens, index, words)
        words.append(RefinedWord(shown, log_prob, source, index, start_ms, end_ms))
    return Refined(" ".join(word.text for word in words), tuple(words), share)


def _times(tokens: Sequence[Token], index: int | None, before: list[RefinedWord]) -> tuple[int, int]:
    if index is not None:
        return tokens[index].start_ms, tokens[index].end_ms
    return (before[-1].end_ms, before[-1].end_ms) if before else (tokens[0].start_ms, tokens[0].start_ms)


def _quantised(load_in: Bits | None) -> dict[str, object]:
    if load_in is None:
        return {"dtype": torch.float32}
    if load_in not in ("8bit", "4bit"):
        raise RefinerError(f"load_in must be 8bit, 4bit or nothing, got {load_in!r}")
    from transformers import BitsAndBytesConfig

    return {"quantization_config": BitsAndBytesConfig(**{f"load_in_{load_in}": True})}


def _adapted(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    from peft import PeftModel

    if not (adapter / "adapter_config.json").is_file():
        raise RefinerError(
            f"expected a peft adapter at {adapter}, but it has no adapter_config.json; train one with `signbind train lora`"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property that was renamed
            adapted: PreTrainedModel = PeftModel.from_pretrained(model, adapter)
    except (OSError, ValueError, RuntimeError) as error:
        raise RefinerError(f"the adapter at {adapter} does not fit the language model: {_first_line(error)}") from error
    return adapted


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
