"""The real corpora as examples for the text model: what each dialect trains on, and the rows on which it is measured.

Only train files are learned from. ASLG-PC12 and PHOENIX-2014T are measured on their dev files, NCSLGR, which has none here, on
a twentieth of its train file by hash of the English, as everywhere in this project.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from models.dialects import EDITED, MARKS, SPOKEN, Script
from models.edits import Edit
from models.evaluation.gloss2text import Row, held_out_corpus
from models.prefix_lm import Batch, Example, collate
from models.prompts import END, PAD, SPECIAL, gloss_text
from models.training.edit_labels import edits_of, forms_of, vocabulary_of, words_of
from models.training.text_pairs import Corpora, lines_of

PIECES = 3000
FORMS_FROM = 30_000
FILES = {"aslg": "aslg_pc12", "phoenix": "phoenix14t"}
UMLAUTS = (("ue", "ü"), ("oe", "ö"), ("ae", "ä"), ("ss", "ß"))


@dataclass(frozen=True)
class Sentences:
    """Training pairs of one dialect: glosses as annotated and the sentence; edits have their own."""

    plain: dict[str, list[tuple[list[str], str]]]
    edited: list[tuple[list[str], list[Edit]]]
    words: dict[str, str] = field(default_factory=dict)
    """Own words of edited glosses that do not name them."""


def read(data: Path, only: str | None = None) -> Sentences:
    """Training pairs of `data`/text, of one dialect if `only` says so; ValueError names a file that is missing."""
    plain: dict[str, list[tuple[list[str], str]]] = {}
    if only in (None, "phoenix"):
        plain["phoenix"] = _tabbed(data, "phoenix14t.train.tsv")
    if only in (None, "ncslgr"):
        corpora = Corpora.read(data)
        plain["ncslgr"] = [(pair.gloss.split(), pair.english) for pair in corpora.ncslgr]
        spoken = (*corpora.lexicon, *corpora.how2sign)
        plain[SPOKEN] = [(pair.gloss.split(), pair.english) for pair in spoken]
    return Sentences(plain, *(_edited(data) if only in (None, EDITED) else ([], {})))


def held_out(data: Path, dialect: str) -> list[Row]:
    """Rows to measure a dialect on: glosses as annotated, the reference as published."""
    if dialect == "ncslgr":
        return held_out_corpus(data, dialect)
    return [(glosses, text) for glosses, text in _tabbed(data, f"{FILES[dialect]}.dev.tsv")]


def _tabbed(data: Path, name: str) -> list[tuple[list[str], str]]:
    rows = (line.partition("\t") for line in lines_of(data, name))
    return [(gloss.split(), text) for gloss, _, text in rows]


def _edited(data: Path) -> tuple[list[tuple[list[str], list[Edit]]], dict[str, str]]:
    pairs = [(glosses, text.split()) for glosses, text in _tabbed(data, "aslg_pc12.train.tsv")]
    forms = forms_of(pairs[:FORMS_FROM])
    own = words_of(pairs, forms)
    return [(glosses, edits_of(glosses, words, forms, own)) for glosses, words in pairs], own


def script_of(sentences: Sentences) -> Script:
    """Tokenizer over the plain dialects, German and English of equal weight, and the vocabulary of edits."""
    german, others = sentences.plain["phoenix"], [*sentences.plain["ncslgr"], *sentences.plain[SPOKEN]]
    spellings = spellings_of(german)
    lines = [text for glosses, english in others for text in (" ".join(glosses), english)]
    own = [" ".join(spellings.get(gloss_text(one), gloss_text(one)) for one in glosses) for glosses, _ in german]
    more = max(1, len(lines) // (2 * len(german)))
    tokenizer = _tokenizer([*lines, *([*own, *(text for _, text in german)] * more)])
    return Script(tokenizer, vocabulary_of(sentences.edited, len(tokenizer), sentences.words), spellings)


def _tokenizer(lines: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE; slots and marks are single pieces that swallow the blank before them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, lstrip=True, special=True) for text in (*SPECIAL, *MARKS)]
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES, special_tokens=special, min_frequency=4, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator((f" {line}" for line in lines), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False
    )


def spellings_of(pairs: Sequence[tuple[Sequence[str], str]]) -> dict[str, str]:
    """German glosses are written without umlauts; those whose sentences hold the word with them get it back."""
    words = Counter(word for _, text in pairs for word in set(text.split()))
    starts = Counter(word[:length] for word in words for length in range(3, len(word) + 1))
    found: dict[str, str] = {}
    for gloss in {gloss_text(gloss) for glosses, _ in pairs for gloss in glosses}:
        best = max(
            _variants(gloss), key=lambda word: (words[word], starts[word[: max(3, len(word) - 2)]], word == gloss)
        )
        if best != gloss and (
            words[best] or starts[best[: max(3, len(best) - 2)]] > starts[gloss[: max(3, len(gloss) - 2)]]
        ):
            found[gloss] = best
    return found


def _variants(gloss: str) -> list[str]:
    made = [gloss]
    for plain, umlaut in UMLAUTS:
        made += [word.replace(plain, umlaut) for word in made if plain in word]
    return made


def examples(sentences: Sentences, script: Script) -> dict[str, list[Example]]:
    """All that can be said, by dialect; a sentence with an edit that is too rare to be a label is left out."""
    labels = script.edits.label_ids
    made = {
        name: [script.example(name, glosses, text) for glosses, text in pairs]
        for name, pairs in sentences.plain.items()
    }
    if sentences.edited:
        rows = ((glosses, edits) for glosses, edits in sentences.edited if all(edit in labels for edit in edits))
        made[EDITED] = [script.example(EDITED, glosses, edits) for glosses, edits in rows]
    return made


@dataclass(frozen=True)
class Variation:
    """What happens to prompts while training: shares of pieces that are dropped, of glosses that are only their class."""

    dropped: float = 0.0
    unknown: float = 0.05


def varied(example: Example, variation: Variation, known_as: Mapping[int, int], rng: random.Random) -> Example:
    """The example with its prompt as if some of it were new or unseen; the mark stays, and at least one piece."""
    mark, *rest = example.prompt
    if example.aligned:
        rest = [known_as.get(one, one) if rng.random() < variation.unknown else one for one in rest]
    else:
        rest = [one for one in rest if rng.random() >= variation.dropped] or rest[:1]
    return replace(example, prompt=(mark, *rest))


def classes_of(script: Script) -> dict[int, int]:
    """Id of every gloss that edits know -> id of its class."""
    edits = script.edits
    return {edits.first + place: edits.class_id(gloss) for place, gloss in enumerate(edits.glosses) if place}


def batches(
    held: Mapping[str, Sequence[Example]], shares: Mapping[str, float], script: Script, pieces: int, seed: int,
    variation: Variation,
) -> Iterator[Batch]:  # fmt: skip
    """Endless batches of about `pieces` ids, each of one dialect and of rows of like length; dialects by their shares."""
    rng = random.Random(seed)
    known_as = classes_of(script)
    names = [name for name in shares if held.get(name)]
    streams = {name: _of_one(held[name], pieces, rng) for name in names}
    while True:
        [name] = rng.choices(names, [shares[one] for one in names])
        yield collate([varied(one, variation, known_as, rng) for one in next(streams[name])])


def _of_one(held: Sequence[Example], pieces: int, rng: random.Random, pool: int = 4000) -> Iterator[list[Example]]:
    while True:
        order = rng.sample(range(len(held)), len(held))
        for start in range(0, len(order), pool):
            part = sorted((held[place] for place in order[start : start + pool]), key=_size)
            groups: list[list[Example]] = [[]]
            for one in part:
                if groups[-1] and (len(groups[-1]) + 1) * _size(one) > pieces:
                    groups.append([])
                groups[-1].append(one)
            rng.shuffle(groups)
            yield from groups


def _size(one: Example) -> int:
    return len(one.prompt) + len(one.answer)
