"""The sentences of a report: unseen signers and unseen English, drawn by seed. This file knows no network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.evaluation.report.records import Span, Truth, route_letters
from models.evaluation.report.words import bare, is_spelled, spelled_names
from models.synthetic.corpus import FIRST_HELD_OUT_SEED, Clip
from models.synthetic.script import Span as TrueSpan
from models.synthetic.script import compile_script
from models.synthetic.sentences import from_grammar
from models.synthetic.signer import CLOSE, Signer

SIGNERS, SIGNER = 20, 1
"""So many signers, and what sets their random numbers apart from those of sentences."""
TURNED_RADIANS = 0.2
SEEDS_A_RUN = 10_000
NAMES_BESIDE = 9
"""Names in the session's vocabulary that nobody spells, beside the sentence's own."""


def clip_of(number: int, seed: int) -> tuple[int, Clip]:
    """The signer's number and the clip of a sentence; sentences go round the signers, so that any part of a run has all.

    Neither training nor `evaluate synthetic`, which draw from single numbers, have these signers and sentences.
    """
    signer = Signer.draw(np.random.default_rng((FIRST_HELD_OUT_SEED, seed, SIGNER, number % SIGNERS)))
    rng = np.random.default_rng((FIRST_HELD_OUT_SEED + seed * SEEDS_A_RUN, number))
    script = compile_script(from_grammar(rng, held_out=True), rng, signer.lowest_palm)
    if signer.left_handed:
        script = replace(script, motion=script.motion.mirrored())
    return number % SIGNERS, Clip(signer, script)


def look_of(signer: Signer) -> tuple[str, ...]:
    """What is unusual about how a signer is seen; nothing for most."""
    looks = {
        "close framing": signer.face_side > CLOSE,
        "left-handed": signer.left_handed,
        "turned": abs(signer.turn[0]) > TURNED_RADIANS,
    }
    return tuple(look for look, is_so in looks.items() if is_so)


def names_spelled(clip: Clip) -> list[str]:
    """The spelled words of a clip as its English writes them; of a long one only the beginning may have been spelled."""
    spelled = spelled_names(clip.script.sentence.tokens)
    words = map(bare, clip.script.sentence.english.split())
    return [word for word in dict.fromkeys(words) if is_spelled(word, spelled)]


def vocabulary_of(clip: Clip, number: int, seed: int) -> tuple[str, ...]:
    """What a session might bring along: the names of this sentence among others."""
    rng = np.random.default_rng((seed, number, 1))
    names = names_spelled(clip)
    while len(names) < NAMES_BESIDE + len(names_spelled(clip)):
        other = [t[1:].capitalize() for t in from_grammar(rng, held_out=True).tokens if t.startswith("#")]
        names += [name for name in other if name not in names]
    return tuple(sorted(names))


def truth_of(clip: Clip) -> Truth:
    """The truth of a clip as records keep it."""
    script = clip.script

    def spans(found: tuple[TrueSpan, ...]) -> tuple[Span, ...]:
        return tuple(Span(span.text, span.start_ms, span.end_ms) for span in found)

    return Truth(
        script.sentence.english, script.sentence.tokens, spans(script.glosses), spans(script.letters),
        spans(script.phonemes), route_letters(script.routes.tolist()),
    )  # fmt: skip
