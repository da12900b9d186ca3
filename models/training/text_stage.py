"""The text model: one small Llama for real corpora, on which `signbind train lora --adapter NAME` puts an adapter each.

It is trained from nothing on all dialects together (`models.dialects`), reading prompts in both directions
(`models.prefix_lm`). The loss is label-smoothed cross-entropy over what the dialect can say. It is apart from the live
language model, whose sentences and guards it knows nothing of.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from models.dialects import EDITED, SPOKEN, Script
from models.prefix_lm import IGNORED, Batch, answers
from models.text_writer import FOLDER
from models.training.language_stage import Size
from models.training.loop import RUNS, Run, Schedule, device_of, learn, moved
from models.training.text_data import Variation, batches, examples, read, script_of

SIZE = Size(width=192, inner=576, layers=4, heads=6, positions=512)
SHARES = {EDITED: 0.10, "phoenix": 0.78, "ncslgr": 0.06, SPOKEN: 0.06}
PIECES_A_BATCH = 1200


@dataclass
class Softness:
    """Against learning by heart, more for plain text, of which there is little, than for edits: `dropout` in the residual
    stream, `smoothing` of labels. `now` is the dropout of the batch at hand."""

    plain_dropout: float = 0.2
    edits_dropout: float = 0.05
    plain_smoothing: float = 0.1
    edits_smoothing: float = 0.02
    now: float = 0.0


@dataclass(frozen=True)
class Ranges:
    """Ids that plain answers may hold, and those of edits: (first, one beyond the last)."""

    plain: tuple[int, int]
    edits: tuple[int, int]

    @staticmethod
    def of(script: Script) -> Ranges:
        return Ranges((0, script.edits.first), (script.edits.first_label, script.edits.size))


def regularised(module: nn.Module, softness: Softness) -> nn.Module:
    """Adds dropout to what embeddings and every block put into the residual stream: Llama has none of its own."""
    for name, part in module.named_modules():
        if name.endswith(("o_proj", "down_proj", "embed_tokens")):
            part.register_forward_hook(partial(_dropped, softness))
    return module


def _dropped(softness: Softness, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return nn.functional.dropout(output, softness.now, module.training)


def loss_of(ranges: Ranges, softness: Softness, module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy (nats a piece) over the ids that the batch's dialect may say."""
    llama = cast(Any, module)
    base = cast(LlamaForCausalLM, llama.get_base_model() if hasattr(llama, "get_base_model") else llama)
    batch = moved(batch, device_of(module))
    first, end = ranges.edits if batch.aligned else ranges.plain
    softness.now = softness.edits_dropout if batch.aligned else softness.plain_dropout
    smoothing = softness.edits_smoothing if batch.aligned else softness.plain_smoothing
    asked = batch.labels != IGNORED
    logits = nn.functional.linear(answers(base, batch)[asked], base.lm_head.weight[first:end])
    wanted = batch.labels[asked] - first
    value = nn.functional.cross_entropy(logits.float(), wanted, label_smoothing=smoothing)
    right = (logits.detach().argmax(-1) == wanted).float().mean()
    return value, {f"right_{'edits' if batch.aligned else 'plain'}": right}


def fresh(script: Script, size: Size = SIZE) -> LlamaForCausalLM:
    """A model with random weights whose vocabulary is the script's."""
    config: LlamaConfig = size.config(script.tokenizer)
    config.vocab_size = script.edits.size
    config.rope_parameters = {"rope_type": "default", "rope_theta": 500.0}  # lines are short
    config._attn_implementation = "eager"  # on a CPU the fused one's backward takes a third of a step with a mask
    return LlamaForCausalLM(config)


def train(
    data: Path,
    out: Path,
    *,
    minutes: float = 45.0,
    seed: int = 0,
    shares: Mapping[str, float] = SHARES,
    size: Size = SIZE,
) -> dict[str, float]:
    """Trains into `out`/text/llm, resumes from runs/text.ckpt; minutes are processor time, so that a pause costs nothing.

    Gives the number of examples and of parameters; adapters are measured by `train lora` and `evaluate gloss2text`.
    """
    sentences = read(data)
    script = script_of(sentences)
    held = examples(sentences, script)
    torch.manual_seed(seed)
    softness = Softness()
    run = Run("text", regularised(fresh(script, size), softness), seed, RUNS)
    stream = batches(held, shares, script, PIECES_A_BATCH, seed + run.steps, Variation(0.05, 0.05))
    schedule = schedule_of(minutes, 2e-3)
    ranges = Ranges.of(script)

    def keep(run: Run) -> None:
        save(cast(LlamaForCausalLM, run.average), script, out / FOLDER / "llm")

    module = learn(run, schedule, stream, partial(loss_of, ranges, softness), watch=keep)
    save(cast(LlamaForCausalLM, module), script, out / FOLDER / "llm")
    parameters = sum(one.numel() for one in module.parameters())
    return {"parameters": float(parameters), **{name: float(len(rows)) for name, rows in held.items()}}


def schedule_of(minutes: float, learning_rate: float) -> Schedule:
    """Minutes of processor time."""
    return Schedule(
        minutes, learning_rate, weight_decay=0.05, warmup_minutes=min(1.0, minutes / 20), average_decay=0.998,
        half_on_cpu=True, save_every_s=150, clock=time.process_time,
    )  # fmt: skip


def save(module: LlamaForCausalLM, script: Script, folder: Path) -> None:
    """Replaces the folder; weights in bf16, on a copy."""
    disable_progress_bar()
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    half = LlamaForCausalLM(module.config)
    half.load_state_dict(module.state_dict())
    half.to(torch.bfloat16).save_pretrained(new)
    script.save(new)
    for path in new.iterdir():
        path.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
