"""Tokens to an English sentence: prompt, language model, output guard.

A LlamaForCausalLM (any causal model that transformers loads) writes the sentence, for every request with the LoRA adapter
of peft that it asks for, in 8 or 4 bits by bitsandbytes if asked for. Spelled words are slots that the model only places;
it may not say a proper noun that was neither spelled nor signed: within a sentence the pieces with capitals that nothing
signed are barred while it writes, and what still comes through is dropped. See `models/prompts.py` for the text.

Meets `names` in the pipeline only: how a spelled word is shown comes in as a function.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from models.flat_llama import FlatStep, flat_step
from models.flat_writing import FlatWriting
from models.generation import Asked, Continues, Writing, Written, write_all
from models.hypothesis import Token
from models.lexemes import Lexemes
from models.prompt_cache import PromptCache
from models.prompts import Refined, Request, Show, as_spelled, gloss_line, lower_start, most_pieces, prompt, slots_of
from models.quantised import Precision, loading, pretrained
from models.sentence import sentence

log = logging.getLogger("signbind.refine")

ALONE = "default"
"""Name of the adapter that is given without a name: all requests use it that ask for none."""
_NAME = re.compile(r"[\w-]{1,64}")


class RefinerError(ValueError):
    """A language model or an adapter that cannot be loaded; the text is one sentence for the operator."""


class Refiner:
    """Writes sentences for batches of segments. Not thread-safe: one caller at a time."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, lexemes: Lexemes, show: Show = as_spelled
    ) -> None:
        self.model, self.tokenizer, self.lexemes, self.show = model.eval(), tokenizer, lexemes, show
        self.prompts = PromptCache()
        self.step: FlatStep | None = None
        """What writes in the model's place, with the same weights and several times as fast, if there is such a thing."""
        known: Collection[str] = getattr(model, "peft_config", {})
        self._default = ALONE if ALONE in known else None
        self.adapters = tuple(sorted(name for name in known if name != ALONE))
        """Names that a request's `adapter` may be."""
        self._plain = _without_capitals(tokenizer, int(model.config.vocab_size))

    @classmethod
    def load(
        cls,
        source: Path | str,
        adapter: Path | None = None,
        precision: Precision = "fp32",
        show: Show = as_spelled,
        *,
        adapters: Mapping[str, Path] | None = None,
        device: str = "cpu",
    ) -> Refiner:
        """Loads transformers' files from a folder or by a hub's name, and folders of peft adapters on top.

        `adapter` is for every request that asks for none, `adapters` are for those that ask for one by its name.
        Raises RefinerError when something is missing or does not fit.
        """
        folder = Path(source)
        if isinstance(source, Path) and not (folder / "config.json").is_file():
            raise RefinerError(
                f"expected a language model at {folder}, but it has no config.json; train it with `signbind train language`"
            )
        disable_progress_bar()  # transformers draws one for every load, also in a server's log
        try:
            how = loading(precision, device)
            tokenizer = AutoTokenizer.from_pretrained(source)
            model = pretrained(source, **how)
        except (OSError, ValueError, ImportError) as error:
            raise RefinerError(f"the language model at {source} cannot be loaded: {_first_line(error)}") from error
        if how["device_map"] is None:
            model = model.to(device)
        for name, where in {**(adapters or {}), **({ALONE: adapter} if adapter else {})}.items():
            model = adapted(model, name, where)
        refiner = cls(model, tokenizer, Lexemes.load(folder / "words.json"), show)
        refiner.step = flat_step(model)
        return refiner

    def refine(self, requests: Sequence[Request], deadline_s: float | None = None) -> list[Refined | None]:
        """One sentence a request; None for those that were not written `deadline_s` seconds from now.

        A request without tokens has the empty sentence.
        """
        deadline = None if deadline_s is None else time.monotonic() + deadline_s
        places = [place for place, request in enumerate(requests) if request.tokens]
        refined: list[Refined | None] = [None if request.tokens else Refined("", (), 1.0) for request in requests]
        if not places or (deadline_s is not None and deadline_s <= 0):
            return refined
        asked = [self.asked(key, requests[place]) for key, place in enumerate(places)]
        for place, row in zip(places, write_all(self.writing(), asked, deadline), strict=True):
            refined[place] = self.sentence(requests[place], row) if row is not None else None
        return refined

    def writing(self) -> Continues:
        """A running batch of its own; prompts that are known are shared with the others'."""
        if self.step is not None:
            return FlatWriting(self.step, int(self.tokenizer.eos_token_id), self.prompts)
        return Writing(self.model, int(self.tokenizer.eos_token_id), self.prompts)

    def asked(self, key: int, request: Request) -> Asked:
        """The request as the generation takes it; the request must have tokens, its adapter must be known."""
        context = lower_start(request.context[-1], self.lexemes.proper) if request.context else ""
        text = prompt(gloss_line(request.tokens, self.lexemes.doubtful_below), context)
        assert request.adapter is None or request.adapter in self.adapters, (request.adapter, self.adapters)
        return Asked(
            key,
            tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]),
            self._allowed(request.tokens),
            most_pieces(request.tokens),
            request.adapter or self._default,
            request.grows,
        )

    def sentence(self, request: Request, written: Written) -> Refined:
        """The guarded sentence of what was written."""
        texts = [self.tokenizer.decode(written.ids[:end]) for end in range(len(written.ids) + 1)]
        pieces = [after[len(before) :] for before, after in zip(texts, texts[1:], strict=False)]
        return sentence(list(zip(pieces, written.log_probs, strict=True)), request, self.lexemes, self.show)

    def _allowed(self, tokens: Sequence[Token]) -> Tensor:
        """Ids (vocabulary,) that the answer may hold: no capitals but those that the tokens allow, no foreign slot."""
        allowed = self._plain.clone()
        glosses = [token.text for token in tokens if token.kind == "sign"]
        words = " ".join(sorted(self.lexemes.capitals(glosses)))
        allowed[self.tokenizer(words, add_special_tokens=False)["input_ids"]] = True
        allowed[self.tokenizer.convert_tokens_to_ids(list(slots_of(tokens).values()))] = True
        return allowed


class Sentences:
    """Sentences of many streams in one running batch: requests `join` and `leave` between its steps."""

    def __init__(self, refiner: Refiner) -> None:
        self._refiner, self._writing = refiner, refiner.writing()
        self._requests: dict[int, Request] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def join(self, requests: Mapping[int, Request]) -> None:
        """Requests by the caller's keys, which must not be here already; each must have tokens."""
        self._writing.join([self._refiner.asked(key, request) for key, request in requests.items()])
        self._requests |= requests

    def leave(self, keys: Collection[int]) -> None:
        self._writing.leave(keys)
        self._requests = {key: request for key, request in self._requests.items() if key not in keys}

    def step(self, wait_s: float) -> list[tuple[int, Refined | None]]:
        """One piece more of every sentence; the finished ones, None for what cannot be read. It works, so it never waits."""
        return [(key, self._sentence(self._requests.pop(key), row)) for key, row in self._writing.step()]

    def _sentence(self, request: Request, row: Written) -> Refined | None:
        try:
            return self._refiner.sentence(request, row)
        except Exception:
            log.exception("what was written for a segment cannot be read, reference %s", secrets.token_hex(4))
            return None

    def poke(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.leave(list(self._requests))


def _without_capitals(tokenizer: PreTrainedTokenizerFast, size: int) -> Tensor:
    """Ids (size,) bool without capitals and marks, the sentence's end among them."""
    plain = torch.ones(size, dtype=torch.bool)
    marks = set(tokenizer.all_special_tokens)
    for piece, index in tokenizer.get_vocab().items():
        if index < size and (piece in marks or any("A" <= letter <= "Z" for letter in piece)):
            plain[index] = False
    plain[len(tokenizer) :] = False
    plain[tokenizer.eos_token_id] = True
    return plain


def adapted(model: PreTrainedModel, name: str, folder: Path) -> PreTrainedModel:
    """`model` with one adapter more; rows choose by name (see `generation`)."""
    from peft import PeftModel

    if not (folder / "adapter_config.json").is_file():
        raise RefinerError(
            f"expected a peft adapter at {folder}, but it has no adapter_config.json; train one with `signbind train lora`"
        )
    if not _NAME.fullmatch(name):
        raise RefinerError(f"the adapter at {folder} needs a name of letters, digits, - and _: rename the folder")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property that was renamed
            if isinstance(model, PeftModel):
                model.load_adapter(folder, name)
                return model
            adapted: PreTrainedModel = PeftModel.from_pretrained(model, folder, adapter_name=name)
    except (OSError, ValueError, RuntimeError) as error:
        raise RefinerError(f"the adapter at {folder} does not fit the language model: {_first_line(error)}") from error
    return adapted


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
