"""All corpora by name, opened from `NAME=DIR`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from models.training.corpora import chicago
from models.training.corpora.bobsl import Bobsl
from models.training.corpora.chicago import ChicagoFSWild
from models.training.corpora.how2sign import How2Sign
from models.training.corpora.ncslgr import Ncslgr
from models.training.corpora.phoenix14t import Phoenix14T
from models.training.corpora.sample import Corpus, CorpusError
from models.training.corpora.youtube_asl import YoutubeAsl

CORPORA: dict[str, Callable[[Path], Corpus]] = {
    "how2sign": How2Sign,
    "chicagofswild": ChicagoFSWild,
    "chicagofswildplus": chicago.plus,
    "bobsl": Bobsl,
    "youtube-asl": YoutubeAsl,
    "phoenix14t": Phoenix14T,
    "ncslgr": Ncslgr,
}
SPELLING = frozenset({"chicagofswild", "chicagofswildplus"})
"""Corpora in which all is spelled."""


def opened(named: Iterable[str]) -> list[Corpus]:
    """Corpora of `NAME=DIR`; raises CorpusError with one sentence for what is no corpus, and for mixed sign languages."""
    corpora = [_opened(one) for one in named]
    languages = sorted({corpus.signed for corpus in corpora})
    if len(languages) > 1:
        raise CorpusError(
            f"one translator learns one sign language, but these are {', '.join(languages)}: train them apart"
        )
    return corpora


def _opened(named: str) -> Corpus:
    name, equals, folder = named.partition("=")
    if not equals or name not in CORPORA:
        raise CorpusError(f"expected NAME=DIR with a name of {', '.join(CORPORA)}, but got {named!r}: correct it")
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise CorpusError(f"{name}: {folder or 'an empty path'} is no folder; give the one that the corpus lies in")
    return CORPORA[name](path)
