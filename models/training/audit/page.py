"""The page on which a person marks tokens right or wrong: one file without network, for any browser, from any folder.

Its parts lie beside this file (audit.html, .css, .js). The page may load nothing: its policy names the digests of its own
style and script alone.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.training.labels import Label

FORMAT = "signbind-audit-1"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Audit:
    """`labels` is the name of the file that the samples were drawn from, `of` how many labels it held."""

    labels: str
    of: int
    seed: int
    samples: tuple[Label, ...]

    @cached_property
    def id(self) -> str:
        """Digest of what is shown: a result belongs to exactly these tokens."""
        shown = [[label.name, label.english, *label.tokens] for label in self.samples]
        return hashlib.sha256(json.dumps([self.seed, shown]).encode()).hexdigest()[:16]


def drawn(labels: Sequence[Label], name: str, count: int, seed: int) -> Audit:
    """`count` labels drawn evenly without repeats, in an order that says nothing, so that the first of them are a fair
    sample as well. The order of the file does not matter. Raises ValueError for fewer than two."""
    if min(count, len(labels)) < 2:
        raise ValueError(f"expected at least 2 samples to audit, got {min(count, len(labels))}: ask for more")
    in_order = sorted(labels, key=lambda label: label.name)
    return Audit(name, len(labels), seed, tuple(random.Random(seed).sample(in_order, min(count, len(labels)))))


def page(audit: Audit) -> str:
    """The whole page."""
    style, script = _part("audit.css"), _part("audit.js")
    own = f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    policy = f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"
    held = {
        "format": FORMAT, "audit": audit.id, "labels": audit.labels, "of": audit.of, "seed": audit.seed,
        "samples": [{"name": one.name, "english": one.english, "tokens": one.tokens} for one in audit.samples],
    }  # fmt: skip
    # "<" inside a script element could end it
    data = json.dumps(held, ensure_ascii=False).replace("<", "\\u003c")
    parts = {"POLICY": policy, "STYLE": style, "SCRIPT": script, "DATA": data, "LABELS": html.escape(audit.labels)}
    text = _part("audit.html")
    for name, part in parts.items():
        text = text.replace(f"%{name}%", part, 1)
    return text


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
