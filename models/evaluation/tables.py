"""Judges a variant on held-out clips as the live path would: prefix beam, tokens, draft, language model, BLEU.

A clip is one sentence and is read as one segment, so that what is compared is the networks, not the endpointing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.decoded import reading_of
from models.error_rate import ErrorRate
from models.evaluation.scores import bleu
from models.fusion import FusionOutput
from models.speech import Speaker
from models.training import feature_sets
from models.training.feature_clips import Batch
from models.training.feature_sets import Source
from models.vocabulary import Vocabulary

Network = Callable[[Batch], FusionOutput]
RESAMPLES = 1000


@dataclass(frozen=True)
class Judged:
    """What a variant said on every clip, in the store's order, and its scores (shares; BLEU 0..100)."""

    gloss_wer: float
    letter_accuracy: float
    bleu4: float
    draft_bleu4: float
    signature: str
    sentences: list[str]
    drafts: list[str]

    def record(self) -> dict[str, Any]:
        return asdict(self)


@torch.inference_mode()
def judged(network: Network, source: Source, joint: Vocabulary, speaker: Speaker) -> Judged:
    """Reads every clip of the store once."""
    glosses, letters = ErrorRate(), ErrorRate()
    hypotheses = [reading_of(*said, joint) for said in spoken(network, source)]
    for hypothesis, truth in zip(hypotheses, source.store.tokens, strict=True):
        symbols = joint.decode(truth)
        found = [token.text for token in hypothesis.tokens if token.kind == "sign"]
        spelled = [letter for token in hypothesis.tokens if token.kind == "fingerspelling" for letter in token.text]
        glosses.add(found, [symbol for symbol in symbols if not symbol.startswith("#")])
        letters.add(spelled, [symbol[1:] for symbol in symbols if symbol.startswith("#")])
    drafts = [speaker.draft(hypothesis, running=False).text for hypothesis in hypotheses]
    sentences = [caption.text for caption in speaker.refine(hypotheses)]
    score, signature = bleu(sentences, source.store.english)
    return Judged(
        glosses.value, letters.accuracy, score, bleu(drafts, source.store.english)[0], signature, sentences, drafts
    )


def spoken(network: Network, source: Source) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Of every clip, in the store's order: joint log posteriors (T, V) and alpha (T,)."""
    order = source.store.lengths.argsort().tolist()
    found: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    clips = iter(order)
    for batch in feature_sets.validation(source):
        said = network(batch)
        for row, steps in enumerate(batch.lengths.tolist()):
            found[next(clips)] = (said.log_probs[row, :steps].cpu().numpy(), said.alpha[row, :steps].cpu().numpy())
    return (found[clip] for clip in range(len(order)))


def paired(sentences: dict[str, list[str]], english: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """BLEU-4 with its 95 % interval's half width, and the p value against the first (Koehn 2004: paired bootstrap), by
    name; the first's p value is 1, and a system alone has no interval."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import PairedTest, Result

    systems: list[tuple[str, Sequence[str]]] = list(sentences.items())
    metric = {"BLEU": BLEU(references=[list(english)])}
    test = PairedTest(systems, metric, references=None, test_type="bs", n_samples=RESAMPLES)
    _, scores = test()
    rows = [row for row in scores["BLEU"] if isinstance(row, Result)]
    return {
        name: (
            float(row.score),
            float("nan") if row.ci is None else float(row.ci),
            1.0 if row.p_value is None else row.p_value,
        )
        for (name, _), row in zip(systems, rows, strict=True)
    }
