"""A LoRA adapter for one domain: a megabyte that turns the same model to other glosses.

`aslg`, `phoenix` and `ncslgr` are adapters of the text model (`text_adapters`), for real corpora. `live-ncslgr` and `live-aslg`
are the live language model's: low-rank updates (r = 8) of query and value projections. The models stay as they are on disk.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from models.dialects import DIALECTS
from models.evaluation.gloss2text import held_out_corpus, read_pairs, write
from models.evaluation.scores import bleu
from models.names import show
from models.refine import Refiner
from models.synthetic.sentences import is_held_out
from models.training.language_stage import batches, loss_of
from models.training.loop import RUNS, Run, Schedule, learn
from models.training.text_adapters import train_adapter
from models.training.text_pairs import Corpora, Pair, pair_of

RANK = 8
HELD_OUT_ROWS = 200


LIVE = {"live-ncslgr": "ncslgr", "live-aslg": "aslg_pc12"}


def train(data: Path, out: Path, *, minutes: float = 5.0, seed: int = 0, adapter: str = "ncslgr") -> dict[str, float]:
    """Writes `out`/text/adapters/`adapter`, or `out`/adapters/`adapter` for one of the live language model.

    Gives BLEU-4 on held-out pairs without and with the adapter.
    """
    if adapter in DIALECTS:
        return train_adapter(data, out, adapter, minutes=minutes, seed=seed)
    if adapter in LIVE:
        return train_live(data, out, minutes=minutes, seed=seed, domain=LIVE[adapter], name=adapter)
    raise ValueError(f"expected the adapter {', '.join((*DIALECTS, *LIVE))}, got {adapter!r}: give one with --adapter")


def train_live(
    data: Path, out: Path, *, minutes: float = 5.0, seed: int = 0, domain: str = "ncslgr", name: str = "",
    base: Path | None = None,
) -> dict[str, float]:  # fmt: skip
    """Writes `out`/adapters/`name`; the language model is `base`, by default `out`/llm.

    `data` is the folder of corpora (`domain` ncslgr or aslg_pc12), or any file of `GLOSSES<TAB>English` lines, of which
    a twentieth by hash is held out. Gives BLEU-4 on held-out pairs without and with the adapter.
    """
    refiner = Refiner.load(base or out / "llm", show=show)
    pairs, held_out = domain_pairs(data, domain, refiner.lexemes.proper)
    if not pairs:
        raise ValueError(
            f"expected pairs of {domain} at {data}, got none that can be learned: look at their spelled words"
        )
    before = _bleu(refiner, held_out)
    torch.manual_seed(seed)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.05, target_modules=["q_proj", "v_proj"])
    adapted = get_peft_model(cast(LlamaForCausalLM, refiner.model), config)
    run = Run(f"lora_{domain}", cast(nn.Module, adapted), seed, RUNS)
    stream = batches(_endless(pairs, seed), cast(PreTrainedTokenizerFast, refiner.tokenizer), 24, seed)
    schedule = Schedule(minutes, learning_rate=3e-3, weight_decay=0.0, warmup_minutes=0.1, average_decay=0.99)
    module = learn(run, schedule, stream, loss_of)
    folder = out / "adapters" / (name or domain)
    module.save_pretrained(folder)  # type: ignore[operator]
    after = _bleu(Refiner.load(base or out / "llm", folder, show=show), held_out)
    return {"bleu4_without": before, "bleu4_with": after, "pairs": float(len(pairs)), "held_out": float(len(held_out))}


def domain_pairs(data: Path, domain: str, proper: frozenset[str]) -> tuple[list[Pair], list[tuple[Sequence[str], str]]]:
    """(training pairs, held-out rows) of a corpus by name, or of a file."""
    if data.is_file():
        rows = read_pairs(data)
        made = (pair_of(tokens, english, proper) for tokens, english in rows if not is_held_out(english))
        return [pair for pair in made if pair is not None], [row for row in rows if is_held_out(row[1])]
    if domain not in ("ncslgr", "aslg_pc12"):
        raise ValueError(
            f"expected the domain ncslgr or aslg_pc12, got {domain!r}: for another one give its file as data"
        )
    corpora = Corpora.read(data)
    return list(corpora.ncslgr if domain == "ncslgr" else corpora.aslg), held_out_corpus(data, domain)


def _endless(pairs: Sequence[Pair], seed: int) -> Iterator[Pair]:
    rng = random.Random(seed)
    while True:
        yield from rng.sample(pairs, len(pairs))


def _bleu(refiner: Refiner, rows: Sequence[tuple[Sequence[str], str]]) -> float:
    rows = rows[:HELD_OUT_ROWS]
    return bleu(write(refiner, rows), [english for _, english in rows])[0] if rows else 0.0
