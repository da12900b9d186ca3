"""A Llama that reads its prompt in both directions and writes its answer from left to right (prefix language model, Raffel
et al. 2020), as a mask and positions given to transformers' own model.

An answer is either plain, its positions going on from the prompt's, or aligned: its n-th piece is about the n-th piece of the
prompt and stands at the same rotary position, so that "here" and "the next one" are fixed distances for attention.

Every piece is fed together with its neighbours: their embeddings, rolled by a distance of their own (a fixed permutation binds
a vector to its role, Kanerva 2009), are added to its own. Attention needs thousands of steps to find them by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import DynamicCache, LlamaForCausalLM

IGNORED = -100
ROLES = 4
"""What is near a piece: the one before it, behind it (in a prompt), and of what is aligned the prompt's here and its next."""
ROLL = 37


Beside = Callable[[Tensor, int], Tensor]
"""Answers so far (rows x beams, pieces), the step -> log-probabilities (rows x beams, says)."""


@dataclass(frozen=True)
class Example:
    """`prompt` ids, read whole; `answer` ids as the model is fed them, the first one the mark that starts it; `wanted` the
    ids that it shall say, as many."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    wanted: tuple[int, ...]
    aligned: bool = False


@dataclass(frozen=True)
class Batch:
    """Prompts padded to one width, then answers padded to one width: ids and positions (rows, columns), near (rows, columns,
    ROLES) ids or 0, seen (rows, 1, columns, columns) bool, labels (rows, answer's columns)."""

    ids: Tensor
    near: Tensor
    positions: Tensor
    seen: Tensor
    labels: Tensor
    aligned: bool = False

    @property
    def asked(self) -> int:
        """Columns of the answers."""
        return self.labels.shape[1]


def collate(examples: Sequence[Example]) -> Batch:
    """All examples in one batch, all plain or all aligned; padding is id 0."""
    before = max(len(one.prompt) for one in examples)
    after = max(len(one.answer) for one in examples)
    ids = torch.zeros(len(examples), before + after, dtype=torch.long)
    positions = torch.zeros_like(ids)
    labels = torch.full((len(examples), after), IGNORED)
    lengths = torch.tensor([len(one.prompt) for one in examples])
    near = torch.zeros(len(examples), before + after, ROLES, dtype=torch.long)
    for row, one in enumerate(examples):
        prompt, answer = torch.tensor(one.prompt), torch.tensor(one.answer)
        ids[row, : len(prompt)] = prompt
        ids[row, before : before + len(answer)] = answer
        near[row, 1 : len(prompt), 0] = prompt[:-1]
        near[row, : len(prompt) - 1, 1] = prompt[1:]
        near[row, before + 1 : before + len(answer), 0] = answer[:-1]
        if one.aligned:
            near[row, before : before + len(prompt) - 1, 2] = prompt[1 : after + 1]
            near[row, before : before + len(prompt) - 2, 3] = prompt[2 : after + 2]
        positions[row, : len(prompt)] = torch.arange(len(prompt))
        positions[row, before:] = first_position(one) + torch.arange(after)
        labels[row, : len(one.wanted)] = torch.tensor(one.wanted)
    return Batch(ids, near, positions, seen_by(lengths, before, after), labels, examples[0].aligned)


def embedded(model: LlamaForCausalLM, ids: Tensor, near: Tensor) -> Tensor:
    """Embeddings (rows, columns, width) of pieces and of what is near them; id 0 embeds to nothing."""
    embed = model.model.embed_tokens
    fed = cast(Tensor, embed(ids))
    for role in range(ROLES):
        fed = fed + embed(near[..., role]).roll(ROLL * (role + 1), -1)
    return fed


def first_position(one: Example) -> int:
    """Position of the answer's first piece; a prompt's first piece is its mark, so what is aligned starts at 1."""
    return 1 if one.aligned else len(one.prompt)


def seen_by(lengths: Tensor, before: int, after: int) -> Tensor:
    """(rows, 1, columns, columns) bool: prompts are seen by all, answers by what comes later in them; padding by none."""
    columns = before + after
    real = torch.arange(columns) < lengths[:, None]
    earlier = torch.ones(columns, columns, dtype=torch.bool).tril()
    earlier[:, :before] = False
    return real[:, None, None, :] | earlier


def answers(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Hidden states (rows, answer's columns, width) from which the labels are predicted."""
    output = model.model(
        inputs_embeds=embedded(model, batch.ids, batch.near),
        position_ids=batch.positions,
        attention_mask=mask_of(model, batch.seen),
        use_cache=False,
    )
    return cast(Tensor, output.last_hidden_state)[:, -batch.asked :]


def mask_of(model: LlamaForCausalLM, seen: Tensor) -> Tensor:
    """`seen` as transformers takes it: numbers to be added to the attention's scores."""
    kind = model.lm_head.weight.dtype
    if torch.is_autocast_enabled(seen.device.type):
        kind = torch.get_autocast_dtype(seen.device.type)
    return torch.zeros(seen.shape, dtype=kind, device=seen.device).masked_fill_(~seen, torch.finfo(kind).min)


@torch.inference_mode()
def search(
    model: LlamaForCausalLM | None, asked: Sequence[Example], says: Tensor, end_id: int, *, beams: int = 5, alpha: float = 1.0,
    weight: float = 1.0, beside: Beside | None = None,
) -> list[list[tuple[tuple[int, ...], float]]]:  # fmt: skip
    """The `beams` best answers of each example (its `answer` holds the starting mark alone) with their scores, best first.

    `says` (ids,) are the ids that an answer may hold. A score is the log-probability over length to the power `alpha` (Wu et
    al. 2016), times `weight` (if that is 0, no model is needed or run); `beside` adds other models'. Plain answers end with
    `end_id`, which is left out; aligned ones with their prompt.
    """
    aligned = asked[0].aligned
    batch = collate(asked)
    before = batch.ids.shape[1] - 1
    lengths = torch.tensor([len(one.prompt) for one in asked])
    longest = lengths - 1 if aligned else 12 + 3 * lengths
    cache = DynamicCache()
    if model is not None and weight:
        _hidden(model, batch.ids[:, :before], batch.near[:, :before], batch.positions[:, :before],
                batch.seen[:, :, :before, :before], cache)  # fmt: skip
        cache.batch_repeat_interleave(beams)
    real = (torch.arange(before) < lengths[:, None]).repeat_interleave(beams, 0)
    prompts = torch.nn.functional.pad(batch.ids[:, :before], (0, int(longest.max()) + 2)).repeat_interleave(beams, 0)
    start = batch.positions[:, before].repeat_interleave(beams)[:, None]
    found = Beams.of(batch.ids[:, before:], beams, alpha, says, None if aligned else end_id)
    for step in range(int(longest.max())):
        scores = torch.zeros(len(real), len(says)) if beside is None else beside(found.ids, step)
        if model is not None and weight:
            seen = torch.cat([real, torch.ones(len(real), step + 1, dtype=torch.bool)], 1)[:, None, None, :]
            near = _near(found.ids, prompts, step, aligned)
            hidden = _hidden(model, found.ids[:, -1:], near, start + step, seen, cache)[:, 0]
            scores = scores + weight * torch.log_softmax((hidden @ model.lm_head.weight[says].T).float(), -1)
        order = found.grow(scores, step + 1 >= longest)
        if bool(found.done.all()):
            break
        if model is not None and weight:
            cache.reorder_cache(order)
    return found.answers(end_id)


def _hidden(
    model: LlamaForCausalLM, ids: Tensor, near: Tensor, positions: Tensor, seen: Tensor, cache: DynamicCache
) -> Tensor:
    output = model.model(
        inputs_embeds=embedded(model, ids, near), position_ids=positions, attention_mask=mask_of(model, seen),
        past_key_values=cache, use_cache=True,
    )  # fmt: skip
    return cast(Tensor, output.last_hidden_state)


@dataclass
class Beams:
    """The best answers so far of each row: `ids` (rows x beams, pieces with the starting mark), `sums` of log-probabilities,
    `counts` of pieces and `done` (rows, beams). Those that are done stay and compete on."""

    ids: Tensor
    sums: Tensor
    counts: Tensor
    done: Tensor
    alpha: float
    says: Tensor
    end: int | None

    @staticmethod
    def of(start: Tensor, beams: int, alpha: float, says: Tensor, end_id: int | None) -> Beams:
        """One live beam a row, at `start` (rows, 1)."""
        sums = torch.full((len(start), beams), -torch.inf)
        sums[:, 0] = 0.0
        return Beams(
            start.repeat_interleave(beams, 0), sums, torch.zeros_like(sums), torch.zeros_like(sums, dtype=torch.bool),
            alpha, says, end_id,
        )  # fmt: skip

    def grow(self, scores: Tensor, ends: Tensor) -> Tensor:
        """One piece more by log-probabilities (rows x beams, says); rows in `ends` are done then. Gives the order (rows x
        beams,) in which the beams before go on."""
        rows, beams = self.sums.shape
        scores = scores.view(rows, beams, -1).masked_fill(self.done[..., None], -torch.inf)
        scores[..., 0] = scores[..., 0].masked_fill(self.done, 0.0)  # what is done has one way to go on: as it is
        total = self.sums[..., None] + scores
        counts = self.counts + (~self.done).float()
        _, best = (total / counts[..., None].clamp(min=1.0) ** self.alpha).flatten(1).topk(beams)
        parent, chosen = best // len(self.says), self.says[best % len(self.says)]
        was_done = self.done.gather(1, parent)
        self.sums, self.counts = total.flatten(1).gather(1, best), counts.gather(1, parent)
        self.done = was_done | ends[:, None]
        if self.end is not None:
            self.done |= chosen == self.end
        order = (parent + beams * torch.arange(rows)[:, None]).flatten()
        self.ids = torch.cat([self.ids[order], chosen.masked_fill(was_done, 0).flatten()[:, None]], 1)
        return order

    def answers(self, end_id: int) -> list[list[tuple[tuple[int, ...], float]]]:
        """Ids without start and end, and scores, best first."""
        scores = (self.sums / self.counts.clamp(min=1.0) ** self.alpha).tolist()
        lines, counts = self.ids[:, 1:].view(*self.sums.shape, -1).tolist(), self.counts.int().tolist()
        found = []
        for row in zip(lines, scores, counts, strict=True):
            kept = [
                (tuple(one for one in ids[:count] if one != end_id), score)
                for ids, score, count in zip(*row, strict=True)
                if score > -torch.inf
            ]
            found.append(sorted(kept, key=lambda pair: -pair[1]))
        return found


def _near(ids: Tensor, prompts: Tensor, step: int, aligned: bool) -> Tensor:
    """What is near the newest piece of every row, as `collate` has it: (rows, 1, ROLES)."""
    near = ids.new_zeros(len(ids), 1, ROLES)
    if step:
        near[:, 0, 0] = ids[:, -2]
    if aligned:
        near[:, 0, 2:] = prompts[:, step + 1 : step + 3]
    return near
