"""Glosses as annotators write them, in the notation of the lexicon: NCSLGR (ASLLRP) and ASLG-PC12."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence

PRONOUNS = {
    "IX-1P": "ME", "IX-1P-PL": "WE", "IX-2P": "YOU", "IX-3P": "HE", "IX-3P-PL": "THEY", "IX-LOC": "THERE", "POSS-1P": "MY",
    "POSS-2P": "YOUR", "POSS-3P": "HIS", "POSS-1P-PL": "OUR", "POSS-3P-PL": "THEIR", "X-I": "ME", "X-YOU": "YOU", "X-HE": "HE",
    "X-SHE": "SHE", "X-IT": "IT", "X-WE": "WE", "X-THEY": "THEY", "X-HIM": "HE", "X-HER": "HER", "X-THEM": "THEY",
    "X-MY": "MY", "X-YOUR": "YOUR", "X-OUR": "OUR", "X-THEIR": "THEIR", "X-HIS": "HIS", "X-ITS": "IT", "X-US": "WE",
    "X-Y": "THEY", "RE": "THERE",
}  # fmt: skip
"""Index and possessive signs as the lexicon names them; the third person's gender is not signed."""

_QUOTED = re.compile(r'\S*"[^"]*"\S*')
_AROUND = re.compile(r"^(?:\((?:1h|2h|\d+|F|S|X)\))+|^(?:alt|neu|[a-z]):|^(?:ns|loc)-(?=[A-Z])")
_AFTER = re.compile(r"(?::[a-z/-]+)|(?:\+NEG)|(?:\++$)|(?:_\d+)|(?:-arc\b)|(?:-\d+$)")
_MARK = re.compile(r"QM\w*|part\w*")


def ncslgr_tokens(gloss: str) -> list[str]:
    """Tokens of one utterance: `fs-MARY:i` -> #MARY; classifiers, gestures and particles have no English and go."""
    tokens: list[str] = []
    for raw in _QUOTED.sub(" ", gloss).split():
        sign = raw.removeprefix("ns-")
        spelled = sign.startswith(("fs-", "#"))
        sign = _AFTER.sub("", _AROUND.sub("", sign.removeprefix("fs-").removeprefix("#"))).split("/")[0].strip("()+:")
        negated = ["NOT"] if "+NEG" in raw else []
        if not sign or _MARK.fullmatch(sign) or "CL" in sign.split(":")[0]:
            continue
        plain = re.sub(r"[^A-Z0-9-]", "", sign.upper()).strip("-")
        if plain:
            tokens += [f"#{plain.replace('-', '')}" if spelled else PRONOUNS.get(plain, plain), *negated]
    return tokens


def ncslgr_rows(lines: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    """(tokens, English) of the TSV with a header `file utterance signer gloss gloss_ms english`."""
    for row in csv.DictReader(lines, delimiter="\t"):
        english = clean_english(row["english"] or "")
        tokens = ncslgr_tokens(row["gloss"] or "")
        if english and len(tokens) >= 2:
            yield tokens, english


def aslg_tokens(gloss: str) -> list[str]:
    """`X-I DESC-FAR` -> ME FAR; possessive marks and punctuation go."""
    tokens = (PRONOUNS.get(raw, raw.removeprefix("DESC-")) for raw in gloss.split())
    return [token for token in tokens if re.fullmatch(r"[A-Z0-9][A-Z0-9-]*", token) and token != "X-POSS"]


def clean_english(english: str) -> str:
    """English without brackets, doubled quotes and leading dots; a corpus in lower case gets its "I" back."""
    text = re.sub(r"\([^)]*\)|[\"()\[\]*_]|\.{2,}|--+", " ", english.replace("’", "'"))
    text = re.sub(r"\s+([.,?!;:'])", r"\1", text)
    text = re.sub(r"\bi(?=\b(?!\.))", "I", text)
    return " ".join(text.split()).strip(" ,;:-")
