"""Edits that turn a gloss line into its English, found by aligning the two: both say the same things in the same order.

A gloss stands against a word that it resembles (dynamic programming over both lines, in order), or against one that is found in
its place so often that it must be its form (`BE` - is, `TAKE` - took): those are counted in the gaps between what resembles.
"""

from __future__ import annotations

import os.path
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial

from models.edits import END_GLOSS, FORMS, Edit, EditVocabulary, classes, inflected, word_of

Forms = dict[tuple[str, str], float]
"""(gloss, word) -> score of a form that does not resemble it."""
LEAST_COUNT, LEAST_SHARE = 3, 0.05


@lru_cache(maxsize=400_000)
def likeness(gloss: str, word: str) -> float:
    """0 for nothing in common, 4 for the same word."""
    own = word_of(gloss)
    if own == word:
        return 4.0
    same, longest = len(os.path.commonprefix((own, word))), max(len(own), len(word))
    if same >= 3 and 2 * same >= longest:
        return 3.0 * same / longest + 0.5
    return 2.0 if same >= 2 and same >= len(own) - 1 and len(word) <= len(own) + 4 else 0.0


def align(glosses: Sequence[str], words: Sequence[str], forms: Forms) -> list[int | None]:
    """The place of every gloss's word, rising; None where it has none. O(glosses x words)."""
    scores = [[0.0] * (len(words) + 1) for _ in range(len(glosses) + 1)]
    for i, gloss in enumerate(glosses, start=1):
        above, here = scores[i - 1], scores[i]
        for j, word in enumerate(words, start=1):
            score = likeness(gloss, word) or forms.get((gloss, word), 0.0)
            here[j] = max(above[j], here[j - 1], above[j - 1] + score if score else 0.0)
    found: list[int | None] = [None] * len(glosses)
    i, j = len(glosses), len(words)
    while i and j:
        if scores[i][j] == scores[i - 1][j]:
            i -= 1
        elif scores[i][j] == scores[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            found[i] = j
    return found


def forms_of(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Forms:
    """Forms that do not resemble their gloss: words of the gap in which the gloss stands, often enough."""
    glosses: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for line, words in pairs:
        for gap, between in _gaps(line, words):
            glosses.update(gap)
            together.update((gloss, word) for gloss in gap for word in between)
    shares = {pair: count / glosses[pair[0]] for pair, count in together.items() if count >= LEAST_COUNT}
    return {pair: 1.0 + min(1.0, share) for pair, share in shares.items() if share > LEAST_SHARE}


def _gaps(glosses: Sequence[str], words: Sequence[str]) -> Iterable[tuple[list[str], Sequence[str]]]:
    """(glosses that resemble nothing, words between their neighbours')."""
    gap: list[str] = []
    before = 0
    for gloss, place in zip([*glosses, END_GLOSS], [*align(glosses, words, {}), len(words)], strict=True):
        if place is None:
            gap.append(gloss)
            continue
        if gap:
            yield gap, words[before:place]
        gap, before = [], place + 1


def words_of(pairs: Iterable[tuple[Sequence[str], Sequence[str]]], forms: Forms) -> dict[str, str]:
    """Glosses that are better understood by another word than the one they name: the one of their words from which, with
    its regular forms, most of the words that stand for the gloss are made."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for glosses, words in pairs:
        for gloss, place in zip(glosses, align(glosses, words, forms), strict=True):
            if place is not None:
                found[gloss][words[place]] += 1
    best = {gloss: max([word_of(gloss), *counts], key=partial(_explained, counts)) for gloss, counts in found.items()}
    return {gloss: word for gloss, word in best.items() if word != word_of(gloss) and found[gloss][word] >= LEAST_COUNT}


def _explained(counts: Counter[str], word: str) -> int:
    return sum(counts[form] for form in {word, *(inflected(word, form) for form in FORMS)})


def edits_of(glosses: Sequence[str], words: Sequence[str], forms: Forms, own: Mapping[str, str]) -> list[Edit]:
    """One edit a gloss and one for the end; applied to the glosses' own words they give the sentence, exactly."""
    edits: list[Edit] = []
    before = 0
    for gloss, place in zip(glosses, align(glosses, words, forms), strict=True):
        if place is None:
            edits.append(Edit(whole=""))
            continue
        edits.append(edit_of(own.get(gloss, word_of(gloss)), words[place], tuple(words[before:place])))
        before = place + 1
    return [*edits, Edit(tuple(words[before:]), whole="")]


def edit_of(own: str, word: str, before: tuple[str, ...] = ()) -> Edit:
    """The edit that makes `word` of a gloss's own word, the most regular one."""
    if own == word:
        return Edit(before)
    if regular := next((form for form in FORMS if inflected(own, form) == word), ""):
        return Edit(before, form=regular)
    same = len(os.path.commonprefix((own, word)))
    if same >= 2 and 2 * same >= len(own) - 1:
        return Edit(before, len(own) - same, word[same:])
    return Edit(before, whole=word)


def vocabulary_of(
    rows: Sequence[tuple[Sequence[str], Sequence[Edit]]], first: int, own: Mapping[str, str], *, least_gloss: int = 3,
    least_label: int = 2,
) -> EditVocabulary:  # fmt: skip
    """Glosses, classes and labels that come often enough; labels by how often they come."""
    glosses = Counter(gloss for line, _ in rows for gloss in line)
    kinds = Counter(name for gloss, count in glosses.items() for name in classes(gloss) for _ in range(min(count, 3)))
    labels = Counter(edit for _, edits in rows for edit in edits)
    known = [gloss for gloss, count in glosses.most_common() if count >= least_gloss]
    common = [name for name, count in kinds.most_common() if count >= 20 or name == "*"]
    return EditVocabulary(
        (END_GLOSS, *sorted(common), *known),
        tuple(label for label, count in labels.most_common() if count >= least_label),
        first,
        dict(own),
    )
