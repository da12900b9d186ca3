"""A LoRA adapter of the text model for one real corpus: low-rank updates of every linear layer, the model itself untouched.

Trained on the corpus's train file alone, measured on `text_data.held_out`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaForCausalLM

from models.dialects import EDITED, SPOKEN, Script
from models.evaluation.scores import bleu
from models.text_writer import FOLDER, TextWriter
from models.training.loop import RUNS, Run, learn
from models.training.text_data import Sentences, Variation, batches, examples, held_out, read
from models.training.text_stage import PIECES_A_BATCH, Ranges, Softness, loss_of, regularised, schedule_of
from models.training.wide_labels import train_wide
from models.wide_head import WIDE

RANK = 32
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ROWS = 500
"""Held-out rows for the figures of a training; `evaluate gloss2text` measures all."""


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
    """Writes `out`/text/adapters/`name`, with its wide head if it has edits; resumes from runs/text_`name`.ckpt.

    Gives BLEU-4 without and with the adapter.
    """
    rows = held_out(data, name)
    rows = rows[:: max(1, len(rows) // ROWS)]
    before = _bleu(TextWriter.load(out, name, bare=True), rows)
    script = Script.load(out / FOLDER / "llm")
    sentences = read(data, name)
    module = adapt(out, name, sentences, script, minutes=minutes, seed=seed)
    folder = out / FOLDER / "adapters" / name
    if name == EDITED:
        folder.mkdir(parents=True, exist_ok=True)
        train_wide(sentences.edited, script.edits, seed=seed).save(folder / WIDE)
    module.to(torch.bfloat16).save_pretrained(folder)  # type: ignore[operator]
    after = _bleu(TextWriter.load(out, name), rows)
    return {"bleu4_without": before, "bleu4_with": after, "held_out": float(len(rows))}


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
