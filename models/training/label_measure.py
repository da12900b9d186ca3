"""A rule labeller against people: the glosses that annotators of NCSLGR wrote for the same sentences.

People gloss what was signed, a labeller what the English says; a signer says the same in other words, so no labeller comes
near 1. The figures rank labellers, they are not the audit's token accuracy. `label_rules.toml`'s function words were chosen
with a look at these annotations, so the rules' figure is no held-out one.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from models.training.audit.result import bootstrap
from models.training.gloss_corpora import ncslgr_rows
from models.training.label_filter import edit_similarity
from models.training.labels import Glosser


def measure(data: Path, glosser: Glosser) -> dict[str, float]:
    """Precision, recall, F1 of tokens regardless of order, and the mean edit similarity; data/text/ncslgr.train.tsv."""
    path = data / "text" / "ncslgr.train.tsv"
    if not path.is_file():
        raise ValueError(f"expected {path}, but there is no such file: put NCSLGR's utterances there")
    rows = list(ncslgr_rows(path.read_text(encoding="utf-8").splitlines()))
    counts, similar = [], []
    for truth, english in rows:
        found = tuple(glosser(english))
        counts.append((sum((Counter(found) & Counter(truth)).values()), len(found), len(truth)))
        similar.append(edit_similarity(found, truth))
    table = np.array(counts)
    right, found_tokens, true_tokens = (int(count) for count in table.sum(axis=0))
    low, high = bootstrap(np.stack([2 * table[:, 0], table[:, 1] + table[:, 2]], axis=1))
    return {
        "sentences": len(rows), "precision": right / found_tokens, "recall": right / true_tokens,
        "f1": 2 * right / (found_tokens + true_tokens), "f1_bootstrap_low": low, "f1_bootstrap_high": high,
        "edit_similarity": float(np.mean(similar)),
    }  # fmt: skip
