"""What noise in the glosses costs the language model: BLEU-4 on held-out sentences, by kind of error and how many there are.

`signbind evaluate noise`: no video is read, the errors are put into clean tokens (`token_noise`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from models import names
from models.evaluation import nearest
from models.evaluation.gloss2text import held_out_grammar, noise_score
from models.evaluation.token_noise import Rates
from models.refine import Refiner

SHARES = (0.1, 0.2, 0.3, 0.5)
KINDS = {
    "deletions": Rates(deleted=1.0, substituted=0.0),
    "substitutions": Rates(deleted=0.0, substituted=1.0),
    "insertions": Rates(deleted=0.0, substituted=0.0),
    "mixed": Rates(),
}
"""Errors of signs; "letters" are letter confusions alone, "all" are mixed errors with half as many of letters."""
SENTENCES = 100
GOAL = "all 20%"


def rates_of() -> dict[str, Rates]:
    """Every noise that is tried, by name; "clean" has none, but posteriors as recognition gives them."""
    found = {"clean": Rates()}
    for kind, rates in KINDS.items():
        found |= {f"{kind} {share:.0%}": replace(rates, tokens=share) for share in SHARES}
    found |= {f"letters {share:.0%}": Rates(letters=share) for share in SHARES}
    return found | {f"all {share:.0%}": Rates(share, share / 2) for share in SHARES}


def studied(folder: Path, sentences: int = SENTENCES) -> dict[str, float]:
    """BLEU-4 (0..100) of the language model in `folder` with every noise."""
    refiner = Refiner.load(folder, show=names.show)
    rows = held_out_grammar(sentences)
    return {name: noise_score(refiner, rows, rates) for name, rates in rates_of().items()}


def table(studies: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: a row a kind and share, a column a model."""
    lines = [f"| BLEU-4 | {' | '.join(studies)} |", f"|{'---|' * (len(studies) + 1)}"]
    for name in next(iter(studies.values())):
        lines.append(f"| {name} | {' | '.join(f'{scores[name]:.1f}' for scores in studies.values())} |")
    return "\n".join(lines)


def evaluate(path: Path | None, checkpoint: Path, *, sentences: int = SENTENCES) -> dict[str, float]:
    """BLEU-4 of a checkpoint's language model by noise, beside that of one who knows every sentence ("known", see `nearest`), and
    what is lost at 20 % of all kinds; prints the table too."""
    del path
    scores, rows = studied(checkpoint / "llm", sentences), held_out_grammar(sentences)
    reader = nearest.Reader.of(rows)
    known = {name: nearest.score(reader, rows, rates) for name, rates in rates_of().items()}
    print(table({"language model": scores, "known": known}), flush=True)
    lost = {"lost at 20%": scores["clean"] - scores[GOAL], "lost at 20%, known": known["clean"] - known[GOAL]}
    return {**scores, **{f"{name}, known": score for name, score in known.items()}, **lost}
