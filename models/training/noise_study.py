"""What training with noisy glosses is worth: two models that differ in nothing else, measured on noisier and noisier glosses.

Both go on from a checkpoint's language model, with the same pairs in the same order for the same processor time; one is told
glosses as recognition makes them (`language_pool.Noise`), the other only true ones. Measured noise (`evaluation.token_noise`)
follows other rules than the one trained with.

    python -m models.training.noise_study CHECKPOINT MINUTES
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import cast

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from models.evaluation.gloss2text import held_out_grammar, noise_figures
from models.evaluation.token_noise import Rates
from models.names import show
from models.refine import Refiner
from models.training.language_pool import Noise, Pool
from models.training.language_pool import batches as draw
from models.training.language_stage import PAIRS, ROWS, loss_of
from models.training.loop import RUNS, Run, Schedule, learn

RATES = tuple(Rates(share / 10, share / 20) for share in range(6))
"""0 to 50 % of tokens, half as many letters."""
ARMS = {"with_noise": Noise(), "without": Noise(clean=1.0, most=0.0)}
ROWS_HELD_OUT = 300


def study(checkpoint: Path, *, minutes: float, seed: int = 0, rows: int = ROWS_HELD_OUT) -> dict[str, dict[str, float]]:
    """BLEU-4 of each arm by noise, and its drop at 20 %: {arm: {figure: value}}; resumes from runs/noise_ARM.ckpt."""
    pool = Pool.load(PAIRS / "pairs.npz")
    found: dict[str, dict[str, float]] = {}
    for arm, noise in ARMS.items():
        refiner = Refiner.load(checkpoint / "llm", show=show)
        torch.manual_seed(seed)
        run = Run(f"noise_{arm}", cast(LlamaForCausalLM, refiner.model), seed, RUNS)
        schedule = Schedule(minutes, learning_rate=5e-4, weight_decay=0.0, warmup_minutes=minutes / 10,
                            average_decay=0.99, half_on_cpu=True, clock=time.process_time)  # fmt: skip
        module = learn(run, schedule, draw(pool, ROWS, noise), loss_of)
        tokenizer = cast(PreTrainedTokenizerFast, refiner.tokenizer)
        trained = Refiner(cast(LlamaForCausalLM, module), tokenizer, refiner.lexemes, show)
        figures = noise_figures(trained, held_out_grammar(rows), RATES)
        clean, *_ = figures.values()
        found[arm] = {**figures, "drop_at_20": clean - list(figures.values())[2]}
        print(json.dumps({arm: found[arm]}), flush=True)
    return found


if __name__ == "__main__":
    study(Path(sys.argv[1]), minutes=float(sys.argv[2]))
