"""What the samples of corpora teach: pseudo-glosses, letters, phonemes, and which route a step takes.

Glosses are the corpus' own where people annotated it; else pseudo-glosses are made of the English, by rules or as
`labels.jsonl` (`signbind labels make`) gives them. Words that the sentence writes in lower case are glosses, names
are spelled.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.clock import FRAME_RATE_HZ
from models.paper import GLOSSES
from models.pronunciation import phonemes_of
from models.training.audit.trust import labels_for_training
from models.training.corpora.sample import Corpus, Sample
from models.training.feature_clips import IGNORED, Targets
from models.training.gloss_corpora import clean_english
from models.training.label_rules import glosses
from models.vocabulary import FINGERSPELLING, REST, SIGN, Vocabulary

LEAST_SAMPLES = 1000  # of a corpus from which on a gloss must come twice to be learned


@dataclass(frozen=True)
class Lesson:
    """A sample with all that is taught by it: tokens in order of time ("NAME", "#MARIA") and phonemes.

    `corpus` names where it is from; `english` is the sentence in English, empty where there is none.
    """

    sample: Sample
    corpus: str
    tokens: tuple[str, ...]
    phonemes: tuple[str, ...]
    english: str = ""

    @property
    def key(self) -> str:
        """Its name among all corpora, fit for a file."""
        return f"{self.corpus}-{re.sub(r'[^A-Za-z0-9_.-]', '_', self.sample.name)}"

    def target(self, expert: str, targets: Targets) -> list[int]:
        """CTC ids for "sign", "fingerspelling", "lips" or "fusion"; what the vocabularies lack is left out."""
        ids = targets.of_expert(expert).ids
        return [ids[symbol] for symbol in self.symbols(expert) if symbol in ids]

    def symbols(self, expert: str) -> list[str]:
        """All that the expert should say, whether it has a name for it or not."""
        if expert == "lips":
            return list(self.phonemes)
        signs, letters = expert in ("sign", "fusion"), expert in ("fingerspelling", "fusion")
        before = "#" if expert == "fusion" else ""
        found: list[str] = []
        for token in self.tokens:
            if token.startswith("#"):
                found += [before + letter for letter in token[1:]] if letters else []
            elif signs:
                found.append(token)
        return found

    def routes(self, hands: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Route of every step (T,) as far as it is known, else IGNORED; `hands` (T,) says where one is seen.

        No hand, no signing. Annotated spans are taken as they are, and rest between them; a sample that is all spelled
        or has nothing spelled is of one route; where a sentence has both and no times, nothing is said.
        """
        sample, routes = self.sample, np.full(len(hands), IGNORED, np.int8)
        if sample.times_s:
            routes[:] = REST
            for token, (start_s, end_s) in zip(sample.glosses, sample.times_s, strict=True):
                first = round(start_s * FRAME_RATE_HZ)
                routes[first : max(first + 1, round(end_s * FRAME_RATE_HZ))] = (
                    FINGERSPELLING if token.startswith("#") else SIGN
                )
        elif self.tokens and all(token.startswith("#") for token in self.tokens):
            routes[:] = FINGERSPELLING
        elif self.tokens and not any(token.startswith("#") for token in self.tokens):
            routes[:] = SIGN
        routes[~hands] = REST
        return routes


def lessons(corpus: Corpus, samples: Iterable[Sample], labels: Mapping[str, tuple[str, ...]]) -> list[Lesson]:
    """Lessons of a corpus; `labels` are pseudo-glosses by the sample's name that replace those by rules."""
    found = (_lesson(corpus, sample, labels) for sample in samples)
    return [lesson for lesson in found if lesson.tokens or lesson.phonemes]


def _lesson(corpus: Corpus, sample: Sample, labels: Mapping[str, tuple[str, ...]]) -> Lesson:
    english = clean_english(sample.text) if corpus.written == "en" else ""
    if sample.glosses:
        tokens = sample.glosses
    elif sample.letters:
        tokens = (f"#{sample.letters}",)
    else:
        tokens = labels.get(sample.name) or glosses(english)
    return Lesson(sample, corpus.name, tokens, phonemes_of(english), english)


def labels_of(path: Path) -> dict[str, tuple[str, ...]]:
    """Pseudo-glosses of a `labels.jsonl`; none where there is no such file. Names lose a video's ending.

    Warns of labels that an audit found wanting, or that had none; raises LabelFileError."""
    if not path.is_file():
        return {}
    return {label.name.removesuffix(".mp4"): label.tokens for label in labels_for_training(path)}


def gloss_vocabulary(taught: Iterable[Lesson], path: Path) -> Vocabulary:
    """The glosses that are learned, likeliest first; kept in `path`, so that a resumed run has the same."""
    if path.is_file():
        return Vocabulary.read(path)
    all_taught = list(taught)
    counts = Counter(token for lesson in all_taught for token in lesson.tokens if not token.startswith("#"))
    least = 2 if len(all_taught) >= LEAST_SAMPLES else 1
    kept = [token for token, count in counts.most_common(GLOSSES) if count >= least and token.strip()]
    if not kept:
        raise ValueError("these corpora teach no sign: give one with sentences or glosses, such as how2sign=DIR")
    vocabulary = Vocabulary(tuple(kept))
    vocabulary.write(path)
    return vocabulary
