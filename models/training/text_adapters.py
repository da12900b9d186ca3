"""A LoRA adapter of the text model for one real corpus: low-rank updates of every linear layer, the model itself untouched.

Trained on the corpus's train file alone, measured on `text_data.held_out`. The adapter that says edits has two heads beside it
(`models.edit_heads`); how much each counts is chosen on lines of the train file that none of them learns from.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaForCausalLM

from models.deep_head import DeepHead
from models.dialects import EDITED, SPOKEN, Script
from models.edit_heads import EditHeads, Weights
from models.edits import text_of, word_of
from models.evaluation.scores import bleu
from models.text_writer import FOLDER, TextWriter
from models.training.deep_labels import train_deep
from models.training.edit_rows import Placed, Rows, placed, space_of
from models.training.loop import RUNS, Run, Schedule, learn
from models.training.text_data import Sentences, Variation, batches, examples, held_out, read
from models.training.text_stage import PIECES_A_BATCH, Ranges, Softness, loss_of, regularised, schedule_of
from models.training.wide_labels import train_wide
from models.wide_head import turned

RANK = 32
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ROWS = 500
"""Held-out rows for the figures of a training; `evaluate gloss2text` measures all."""
SHARE = 0.3
"""Of the minutes of an adapter with heads, the LoRA's: the deep head has the rest."""
TUNED_ON = 2500
"""Lines of the train file that are kept for choosing weights."""
TRIED = (Weights(0.0, 1.0, 0.0, 0.0), Weights(0.0, 0.0, 1.0, 0.0), *(
    Weights(model, wide * (1 - model), (1 - wide) * (1 - model), 0.15)
    for model in (0.0, 0.15, 0.3) for wide in (0.25, 0.35, 0.45)
))  # fmt: skip
BACKS = (0.0, 0.2, 0.4, 0.7)
BONUSES = (0.05, 0.25, 0.35, 0.45, 0.6)
"""What the head counts that reads from the end, and what labels that put words before get, tried with the best so far."""


@dataclass(frozen=True)
class Recipe:
    """How one corpus is learned: shares of dialects in its batches, what is done against learning by heart."""

    shares: Mapping[str, float]
    variation: Variation
    softness: Softness


RECIPES = {
    EDITED: Recipe({EDITED: 1.0}, Variation(unknown=0.05), Softness(edits_dropout=0.05)),
    "phoenix": Recipe({"phoenix": 1.0}, Variation(dropped=0.1), Softness(plain_dropout=0.3)),
    "ncslgr": Recipe({"ncslgr": 0.7, SPOKEN: 0.3}, Variation(dropped=0.1), Softness(plain_dropout=0.3)),
}


def train_adapter(data: Path, out: Path, name: str, *, minutes: float, seed: int = 0) -> dict[str, float]:
    """Writes `out`/text/adapters/`name`, with its heads if it has edits; resumes from runs/text_`name`*.ckpt.

    Where `out` holds the text model's vocabulary without its weights, the heads of edits are all there is to train. Gives
    BLEU-4 with the adapter, and without it where there is a model.
    """
    rows = held_out(data, name)
    rows = rows[:: max(1, len(rows) // ROWS)]
    bare = name == EDITED and not (out / FOLDER / "llm" / "config.json").is_file()
    figures = {} if bare else {"bleu4_without": _bleu(TextWriter.load(out, name, bare=True), rows)}
    script = Script.load(out / FOLDER / "llm")
    sentences, kept = _split(read(data, name), seed)
    folder = out / FOLDER / "adapters" / name
    share = SHARE if name == EDITED else 1.0
    if not bare:
        module = adapt(out, name, sentences, script, minutes=share * minutes, seed=seed)
        module.to(torch.bfloat16).save_pretrained(folder)  # type: ignore[operator]
    if name == EDITED:
        heads = train_heads(sentences.edited, script, minutes=minutes if bare else (1 - share) * minutes, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        replace(heads, weights=Weights(0.0)).save(folder) if bare else heads.save(folder)
        replace(heads, weights=chosen_weights(TextWriter.load(out, name), kept)).save(folder)
    return {**figures, "bleu4_with": _bleu(TextWriter.load(out, name), rows), "held_out": float(len(rows))}


def _split(sentences: Sentences, seed: int) -> tuple[Sentences, list[tuple[Sequence[str], str]]]:
    """What is learned from, and lines with their sentences to choose weights on: TUNED_ON of the edited ones, at most a tenth."""
    rows = random.Random(seed).sample(sentences.edited, len(sentences.edited))
    count = min(TUNED_ON, len(rows) // 10)
    own = sentences.words
    kept: list[tuple[Sequence[str], str]] = [
        (line, text_of([own.get(one, word_of(one)) for one in line], edits)) for line, edits in rows[:count]
    ]
    return replace(sentences, edited=rows[count:]), kept


def train_heads(rows: Rows, script: Script, *, minutes: float, seed: int = 0) -> EditHeads:
    """The wide head and three convolutional ones, which share the minutes (of processor time) and resume: two that read lines
    from their beginning, one that reads them from their end."""
    lines = placed(rows, script.edits)
    space = space_of(lines, script.edits, seed=seed)
    share = minutes / 3
    schedule = Schedule(
        share, 2e-3, weight_decay=0.03, warmup_minutes=min(0.6, share / 20), half_on_cpu=True, save_every_s=150,
        clock=time.process_time,
    )  # fmt: skip

    def deep(name: str, seed: int, lines: Placed = lines) -> DeepHead:
        return train_deep(lines, space, schedule=schedule, name=f"text_{EDITED}_{name}", seed=seed)

    deeps = deep("deep", seed), deep("deep_1", seed + 1)
    back = deep("back", seed + 2, [turned(*line) for line in lines])
    return EditHeads(space, train_wide(lines, space, seed=seed).sparse(), deeps, back)


def chosen_weights(writer: TextWriter, rows: Sequence[tuple[Sequence[str], str]]) -> Weights:
    """Those of TRIED with the best BLEU-4, then the best of BACKS with them, then of BONUSES."""
    heads, scores = writer.heads, dict[Weights, float]()
    assert heads is not None

    def best(tried: Iterable[Weights]) -> Weights:
        for weights in tried:
            writer.heads = replace(heads, weights=weights)
            texts = writer.write([list(glosses) for glosses, _ in rows])
            scores[weights] = bleu(texts, [text for _, text in rows], tokenize="none")[0]
            print(f"{weights}: BLEU-4 {scores[weights]:.2f} on {len(rows)} lines of the train file")
        return max(scores, key=lambda weights: scores[weights])

    counts = best(one for one in TRIED if writer.has_model or not one.model)
    counts = best(replace(counts, back=back) for back in BACKS)
    return best(replace(counts, before=bonus) for bonus in BONUSES)


def adapt(
    out: Path,
    name: str,
    sentences: Sentences,
    script: Script,
    *,
    minutes: float,
    seed: int,
    recipe: Recipe | None = None,
) -> nn.Module:
    """The text model of `out` with a trained adapter, in eval mode."""
    recipe = recipe or RECIPES[name]
    torch.manual_seed(seed)
    llama = LlamaForCausalLM.from_pretrained(out / FOLDER / "llm", dtype=torch.float32, attn_implementation="eager")
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.05, target_modules=list(LINEAR))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property that was renamed
        adapted = regularised(cast(nn.Module, get_peft_model(llama, config)), recipe.softness)
    run = Run(f"text_{name}", adapted, seed, RUNS)
    held = examples(sentences, script)
    stream = batches(held, recipe.shares, script, PIECES_A_BATCH, seed + run.steps, recipe.variation)
    return learn(run, schedule_of(minutes, 1.5e-3), stream, partial(loss_of, Ranges.of(script), recipe.softness))


def _bleu(writer: TextWriter, rows: Sequence[tuple[Sequence[str], str]]) -> float:
    texts = writer.write([list(glosses) for glosses, _ in rows])
    return bleu(texts, [text for _, text in rows])[0]
