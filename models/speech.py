"""Hypotheses to captions: the language model's sentence or the readable draft, each word with its confidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from models import names
from models.confidence import Calibrator, caption_features, word_features
from models.hypothesis import Caption, Hypothesis, Token, Wanted, Word
from models.prompts import Refined, RefinedWord, Request, Show, readable, sentence_case

if TYPE_CHECKING:
    from models.refine import Refiner


@dataclass(frozen=True)
class Explained:
    """A caption and what its confidence was computed from (see `models/confidence.py`)."""

    caption: Caption
    features: dict[str, float]
    word_features: tuple[dict[str, float], ...]


class Writer(Protocol):
    """Sentences of many streams at once, by a language model here (`refine.Sentences`) or elsewhere.

    `step` gives what is finished, None for what cannot be had; where the work is done elsewhere it waits for it, at most
    `wait_s`, until `poke` is called from another thread.
    """

    def __len__(self) -> int: ...
    def join(self, requests: Mapping[int, Request]) -> None: ...
    def leave(self, keys: Collection[int]) -> None: ...
    def step(self, wait_s: float) -> list[tuple[int, Refined | None]]: ...
    def poke(self) -> None: ...
    def close(self) -> None: ...


class Speaker:
    """Writes captions. Without a calibrator (a checkpoint being trained) posteriors stand in for confidences."""

    def __init__(self, refiner: Refiner | None, calibrator: Calibrator | None) -> None:
        self.refiner, self.calibrator = refiner, calibrator

    def refine(
        self,
        hypotheses: Sequence[Hypothesis],
        vocabulary: Sequence[str] = (),
        context: Sequence[str] = (),
        deadline_s: float | None = None,
    ) -> list[Caption]:
        """One caption a hypothesis; the draft where the deadline passed before the sentence was written."""
        return [explained.caption for explained in self.explain(hypotheses, vocabulary, context, deadline_s)]

    def explain(
        self,
        hypotheses: Sequence[Hypothesis],
        vocabulary: Sequence[str] = (),
        context: Sequence[str] = (),
        deadline_s: float | None = None,
    ) -> list[Explained]:
        """`refine`, with the features of every confidence; the segments have ended. Spelled words that were cut in two are
        read as one."""
        hypotheses = [_read(h, vocabulary, running=False) for h in hypotheses]
        requests = [Request(tuple(h.tokens), tuple(vocabulary), tuple(context)) for h in hypotheses]
        written: list[Refined | None] = [None] * len(requests)
        if self.refiner is not None:
            written = self.refiner.refine(requests, deadline_s)
        return [self.explained(h, text, vocabulary) for h, text in zip(hypotheses, written, strict=True)]

    def draft(self, hypothesis: Hypothesis, vocabulary: Sequence[str] = (), *, running: bool = True) -> Caption:
        """The tokens as readable text; the last word of a `running` segment may still grow."""
        return self.explained(_read(hypothesis, vocabulary, running), None, vocabulary).caption

    def captions(self, writer: Writer | None = None) -> Captions | None:
        """Captions of many streams at once, by `writer` or else the refiner; None where there is neither."""
        if writer is None and self.refiner is not None:
            from models.refine import Sentences

            writer = Sentences(self.refiner)
        return Captions(self, writer) if writer is not None else None

    def explained(self, hypothesis: Hypothesis, refined: Refined | None, vocabulary: Sequence[str]) -> Explained:
        """The caption of a sentence, or the draft of a hypothesis without one, or whose sentence says what nobody signed.

        A small model asked for a sentence makes one: MOTHER alone became "The mother is late." Better the bare tokens.
        """
        unsigned = refined is not None and bool(refined.unsigned)
        refined = None if unsigned else refined
        tokens = enumerate(hypothesis.tokens)
        spelled = {i: names.verified(t, vocabulary).confidence for i, t in tokens if t.kind == "fingerspelling"}
        words = refined.words if refined is not None else draft_words(hypothesis.tokens, vocabulary)
        text = refined.text if refined is not None else readable(hypothesis.tokens, vocabulary, names.show)
        features = caption_features(hypothesis, refined, spelled, unsigned=unsigned)
        each = [word_features(hypothesis, refined, word, spelled) for word in words]
        if self.calibrator is not None:
            whole = self.calibrator.caption_right(features)
            confidences = [self.calibrator.word_right(row) for row in each]
        else:
            whole, confidences = hypothesis.posterior, [row.posterior for row in each]
        said = tuple(
            Word(word.text, word.start_ms, word.end_ms, share, word.source)
            for word, share in zip(words, confidences, strict=True)
        )
        return Explained(Caption(text, said, whole), dict(vars(features)), tuple(dict(vars(row)) for row in each))


class Captions:
    """The captions of segments by the caller's keys, as `writer` finishes their sentences. One thread but for `poke`."""

    def __init__(self, speaker: Speaker, writer: Writer) -> None:
        self._speaker, self._writer = speaker, writer
        self._wanted: dict[int, Wanted] = {}

    def join(self, wanted: Mapping[int, Wanted]) -> None:
        """Segments with tokens, under keys that are not here already; spelled words cut in two are read as one."""
        whole = {
            key: replace(one, hypothesis=_read(one.hypothesis, one.vocabulary, one.grows))
            for key, one in wanted.items()
        }
        self._writer.join(
            {
                key: Request(tuple(one.hypothesis.tokens), one.vocabulary, one.context, one.adapter, one.grows)
                for key, one in whole.items()
            }
        )
        self._wanted |= whole

    def leave(self, keys: Collection[int]) -> None:
        self._writer.leave(keys)
        self._wanted = {key: one for key, one in self._wanted.items() if key not in keys}

    def step(self, wait_s: float) -> list[tuple[int, Caption | None]]:
        """The captions that are finished; None for what could not be written."""
        found: list[tuple[int, Caption | None]] = []
        for key, refined in self._writer.step(wait_s):
            one = self._wanted.pop(key)
            said = self._speaker.explained(one.hypothesis, refined, one.vocabulary).caption if refined else None
            found.append((key, said))
        return found

    def poke(self) -> None:
        self._writer.poke()

    def close(self) -> None:
        self._writer.close()


def _read(hypothesis: Hypothesis, vocabulary: Sequence[str], running: bool) -> Hypothesis:
    """The hypothesis as it shall be written: cut words as one, single letters not believed."""
    whole = names.joined(hypothesis.tokens, vocabulary)
    return replace(hypothesis, tokens=names.doubted(whole, vocabulary, running))


def draft_words(tokens: Sequence[Token], vocabulary: Sequence[str], show: Show = names.show) -> tuple[RefinedWord, ...]:
    """One word a token, as the draft shows it; `show` says how a spelled word is read."""
    words = []
    for index, token in enumerate(tokens):
        text = readable([token], vocabulary, show)
        shown = text if index == 0 or token.kind == "fingerspelling" or text == "I" else text[0].lower() + text[1:]
        words.append(RefinedWord(sentence_case(shown) if index == 0 else shown, 0.0, token.kind, index,
                                 token.start_ms, token.end_ms))  # fmt: skip
    return tuple(words)
