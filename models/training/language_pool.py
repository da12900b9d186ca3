"""The language model's training pairs as tensors, made once and kept in a file; batches with noise, on any device.

What recognition does to glosses is done to a whole batch at once: a sign is dropped, taken for one that looks like it, or
followed by one that nobody made; a spelled word is missed (then the English is asked to do without it), cut in two, or
seen where nothing was spelled. Slots are numbered as they come, as live.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from models.prompts import CONTEXT, END, ENGLISH, GLOSS, SLOTS, SPECIAL
from models.training.gloss_noise import look_alikes
from models.training.text_pairs import Pair

IGNORED = -100
FIRST_SLOT, LAST_SLOT, SPURIOUS, CUT, FIRST_GLOSS = 1, len(SLOTS), len(SLOTS) + 1, len(SLOTS) + 2, len(SLOTS) + 3
"""Symbols of a gloss line: 0 nothing, the slots, a word seen where none was spelled, a word's second half, glosses."""
FIRST_SLOT_PIECE = SPECIAL.index(SLOTS[0])
"""The first slot's id: SPECIAL stands at the vocabulary's beginning, the slots in order."""
LIKE = 12
"""How many glosses stand in a row of the table of mistakes."""


@dataclass(frozen=True)
class Noise:
    """How often recognition errs: a share of rows is clean, the others have a rate of their own up to `most`."""

    clean: float = 0.4
    most: float = 0.4
    dropped: float = 0.5
    mistaken: float = 0.35
    """Shares of a sign's errors; the rest are signs that nobody made."""
    missed: float = 0.4
    cut: float = 0.3
    """Shares of a spelled word's errors; the rest are spelled words that nobody spelled."""
    alike: float = 0.7
    """Of mistaken signs, those taken for one that looks like them."""


HARDER = Noise(clean=0.35, most=0.45, dropped=0.35, mistaken=0.4, alike=0.5)
"""More of it, and more signs that nobody made: nothing is lost of a sentence where they stand, so they alone can be undone."""


@dataclass(frozen=True)
class Doubt:
    """The mark behind a sign of which recognition was not sure: its `piece`, and how often it stands behind a sign read
    wrong and behind one read right (as measured on recognised sentences: docs/experiments.md)."""

    piece: int
    wrong: float = 0.6
    right: float = 0.05


@dataclass(frozen=True)
class Batch:
    """Ids and labels (rows, pieces), padded on the right; labels are IGNORED outside the English."""

    ids: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Pool:
    """All pairs: `glosses` (pairs, longest) symbols, `english` (pairs, longest) pieces, both filled up with zeros.

    `context` (pairs,) is a row of `contexts` (sentences, longest) or -1; `weights` (pairs,) how often a pair is drawn;
    `pieces` (symbols, most) how a symbol is written; `mistakes` (symbols, LIKE) what it is taken for; `common` symbols as
    often as they are signed; `marks` the ids of CONTEXT, GLOSS, ENGLISH and END.
    """

    glosses: Tensor
    english: Tensor
    context: Tensor
    weights: Tensor
    contexts: Tensor
    pieces: Tensor
    mistakes: Tensor
    common: Tensor
    marks: Tensor

    def to(self, device: torch.device) -> Pool:
        return Pool(**{item.name: getattr(self, item.name).to(device) for item in fields(self)})

    def save(self, path: Path) -> None:
        """Compressed; ids take two bytes."""
        held = {item.name: getattr(self, item.name).numpy() for item in fields(self)}
        small = {
            name: array if name in ("weights", "context") else array.astype(np.uint16) for name, array in held.items()
        }
        np.savez_compressed(path, allow_pickle=False, **small)

    @staticmethod
    def load(path: Path) -> Pool:
        with np.load(path) as held:
            arrays = {name: held[name] for name in held.files}
        return Pool(**{name: torch.from_numpy(array if array.dtype == np.float32 else array.astype(np.int64))
                       for name, array in arrays.items()})  # fmt: skip


def pool_of(
    sources: Sequence[tuple[float, Counter[Pair]]],
    contexts: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
) -> Pool:
    """`sources`: share of a batch and the pairs with how often each was met; `contexts` are drawn for other pairs."""
    rows = [(pair, share * count / sum(pairs.values())) for share, pairs in sources for pair, count in pairs.items()]
    names = sorted({gloss for pair, _ in rows for gloss in pair.gloss.split() if not gloss.startswith("<")})
    symbols = {slot: FIRST_SLOT + place for place, slot in enumerate(SLOTS)}
    symbols |= {name: FIRST_GLOSS + place for place, name in enumerate(names)}
    before = list(dict.fromkeys([*contexts, *(pair.context for pair, _ in rows if pair.context)]))
    places = {text: place for place, text in enumerate(before)}
    rng = random.Random(seed)
    common = [
        gloss for pair, _ in rng.choices(rows, [weight for _, weight in rows], k=20_000) for gloss in pair.gloss.split()
    ]
    signed = [symbols[gloss] for gloss in common if not gloss.startswith("<")]
    marks: list[int] = tokenizer.convert_tokens_to_ids([CONTEXT, GLOSS, ENGLISH, END])
    assert tokenizer.convert_tokens_to_ids(SLOTS[0]) == FIRST_SLOT_PIECE
    return Pool(
        _padded([[symbols[gloss] for gloss in pair.gloss.split()] for pair, _ in rows]),
        _padded(_pieces([pair.english for pair, _ in rows], tokenizer)),
        torch.tensor([places.get(pair.context, -1) if pair.context else -1 for pair, _ in rows]),
        torch.tensor([weight for _, weight in rows], dtype=torch.float32),
        _padded(_pieces(before, tokenizer)),
        _padded([[], *([FIRST_SLOT_PIECE + k] for k in range(len(SLOTS))), [], [], *_pieces(names, tokenizer)]),
        torch.tensor([*[[0] * LIKE] * FIRST_GLOSS, *(_mistakes(name, symbols, signed, rng) for name in names)]),
        torch.tensor(signed),
        torch.tensor(marks),
    )


def _pieces(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    if not texts:
        return []
    ids: list[list[int]] = tokenizer([f" {text}" for text in texts], add_special_tokens=False)["input_ids"]
    return ids


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    found = torch.zeros(len(rows), max((len(row) for row in rows), default=1), dtype=torch.long)
    for place, row in enumerate(rows):
        found[place, : len(row)] = torch.tensor(row)
    return found


def _mistakes(name: str, symbols: dict[str, int], signed: list[int], rng: random.Random) -> list[int]:
    near = [symbols[other.lower()] for other in look_alikes().get(name.upper(), ()) if other.lower() in symbols]
    return [rng.choice(near or signed) for _ in range(LIKE)]


def noisy(pool: Pool, glosses: Tensor, english: Tensor, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
    """Symbols (rows, 2 x longest) and pieces as recognition might have them, and which symbols are read wrong; holes are
    zeros."""
    rows, device = len(glosses), glosses.device
    rate = noise.most * torch.rand(rows, 1, device=device) * (torch.rand(rows, 1, device=device) >= noise.clean)
    hit = (torch.rand(glosses.shape, device=device) < rate) & (glosses > 0)
    fault = torch.rand(glosses.shape, device=device)
    spelled = (glosses <= LAST_SLOT) & (glosses > 0)
    dropped = hit & (fault < torch.where(spelled, noise.missed, noise.dropped))
    dropped &= ~((glosses > 0) == dropped).all(1, keepdim=True)  # something was seen, or nothing would be written
    mistaken = hit & ~spelled & ~dropped & (fault < noise.dropped + noise.mistaken)
    added = hit & ~dropped & ~mistaken
    body = torch.where(mistaken, _taken_for(pool, glosses, noise), glosses).masked_fill(dropped, 0)
    extra = torch.where(spelled, CUT, _any(pool, glosses.shape)).masked_fill(~added, 0)
    nobody = added & (fault > torch.where(spelled, noise.missed + noise.cut, 0.97))
    extra = extra.masked_fill(nobody, SPURIOUS)
    line = torch.stack([body, extra], 2).flatten(1)
    is_word = (line > 0) & (line < FIRST_GLOSS)
    number = is_word.cumsum(1).clamp(max=LAST_SLOT)
    wrong = torch.stack([mistaken, added], 2).flatten(1)
    return torch.where(is_word, number, line), _renamed(english, body, extra, number[:, ::2]), wrong


def doubted(line: Tensor, wrong: Tensor, doubt: Doubt) -> Tensor:
    """Pieces (rows, symbols) of the marks behind the signs of a line; 0 where there is none."""
    share = torch.where(wrong, doubt.wrong, doubt.right)
    marked = (line >= FIRST_GLOSS) & (torch.rand(line.shape, device=line.device) < share)
    return marked * doubt.piece


def _any(pool: Pool, shape: torch.Size) -> Tensor:
    return pool.common[torch.randint(len(pool.common), shape, device=pool.common.device)]


def _taken_for(pool: Pool, glosses: Tensor, noise: Noise) -> Tensor:
    near = pool.mistakes[glosses, torch.randint(LIKE, glosses.shape, device=glosses.device)]
    alike = torch.rand(glosses.shape, device=glosses.device) < noise.alike
    return torch.where(alike, near, _any(pool, glosses.shape))


def _renamed(english: Tensor, body: Tensor, extra: Tensor, number: Tensor) -> Tensor:
    """English (rows, 2 x longest) with every slot under its new number, its second half behind it; missed words are gone."""
    first = FIRST_SLOT_PIECE
    second = torch.zeros_like(english)
    renamed = english
    for slot in range(FIRST_SLOT, LAST_SLOT + 1):
        here = body == slot
        place = here.int().argmax(1, keepdim=True)
        found = here.any(1, keepdim=True)
        new = number.gather(1, place) + (first - FIRST_SLOT)
        cut = found & (extra.gather(1, place) == CUT)
        asked = english == slot + (first - FIRST_SLOT)
        renamed = torch.where(asked, torch.where(found, new, 0), renamed)
        second = torch.where(asked & cut, (new + 1).clamp(max=first + LAST_SLOT - 1), second)
    return torch.stack([renamed, second], 2).flatten(1)


def assembled(pool: Pool, context: Tensor, glosses: Tensor, english: Tensor, marks: Tensor) -> Batch:
    """`context` (rows,) rows of the pool's contexts or -1; the others as `noisy` and `doubted` give them; holes are
    closed."""
    rows = len(glosses)
    told = pool.contexts[context.clamp(min=0)] * (context >= 0)[:, None]
    mark, gloss, answer, end = (pool.marks[place].expand(rows, 1) for place in range(4))
    told_glosses = torch.cat([pool.pieces[glosses], marks[:, :, None]], 2).flatten(1)
    before = [mark * (context >= 0)[:, None], told, gloss, told_glosses, answer]
    after = torch.cat([english, end], 1)
    ids = torch.cat([*before, after], 1)
    labels = torch.full_like(ids, IGNORED)
    labels[:, -after.shape[1] :] = after
    holes = ids == 0
    order = holes.int().argsort(dim=1, stable=True)
    longest = int((~holes).sum(1).max())
    order = order[:, :longest]
    ids, labels, holes = ids.gather(1, order), labels.gather(1, order), holes.gather(1, order)
    return Batch(ids, labels.masked_fill(holes, IGNORED))


def batches(
    pool: Pool, rows: int, noise: Noise, told: tuple[float, float] = (0.3, 0.08), drawn: int = 16,
    doubt: Doubt | None = None,
) -> Iterator[Batch]:  # fmt: skip
    """Endless batches of rows of like length: `drawn` of them are drawn together and sorted.

    `told`: how often a pair is told its own context, and any other pair a foreign one; without `doubt` no sign is marked.
    """
    unmarked = Doubt(0)
    device = pool.glosses.device
    while True:
        chosen = torch.multinomial(pool.weights, rows * drawn, replacement=True)
        long = (pool.glosses[chosen] > 0).sum(1) + (pool.english[chosen] > 0).sum(1)
        groups = chosen[long.argsort()].reshape(drawn, rows)
        for place in torch.randperm(drawn).tolist():
            group = groups[place]
            glosses, english = pool.glosses[group], pool.english[group]
            glosses = glosses[:, : max(1, int((glosses > 0).sum(1).max()))]  # prompts may be empty
            english = english[:, : int((english > 0).sum(1).max())]
            line, said, wrong = noisy(pool, glosses, english, noise)
            marks = doubted(line, wrong, doubt or unmarked)
            yield assembled(pool, _contexts(pool, group, told, device), line, said, marks)


def mixed(usual: Iterator[Batch], other: Iterator[Batch], share: float) -> Iterator[Batch]:
    """Batches of two streams; by chance `share` of them are of the other."""
    while True:
        yield next(other if float(torch.rand(())) < share else usual)


def _contexts(pool: Pool, group: Tensor, told: tuple[float, float], device: torch.device) -> Tensor:
    own, chance = pool.context[group], torch.rand(len(group), device=device)
    foreign = torch.randint(len(pool.contexts), (len(group),), device=device)
    foreign = torch.where(chance < told[1], foreign, -1)
    return torch.where(own >= 0, torch.where(chance < told[0], own, -1), foreign)
