"""How late captions come and how much they flicker, in ms of media time since the signer began.

AL: Ma et al. 2019 (arXiv 1810.08398), for speech Ma et al. 2020 (2008.02214); LAAL: Papi et al. 2022 (2206.05807); ATD: Kano
et al. 2023 (2211.13173), a source token being 300 ms. All as SimulEval defines them. Flicker is the normalised erasure of
Arivazhagan et al. 2020 (1912.03393). A caption that is rewritten has no single delay a word; so there are two readings,
`settled` and `first_shown`. This file is pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from models.evaluation.scores import plain_word

SOURCE_TOKEN_MS = 300.0


@dataclass(frozen=True)
class Version:
    """All words of a caption as a viewer saw them from `media_ms` of video on, said `elapsed_ms` after the beginning."""

    words: tuple[str, ...]
    media_ms: float
    elapsed_ms: float


@dataclass(frozen=True)
class Delays:
    """Of each word of the final caption: the media seen when it was shown, and the same with computation."""

    media_ms: tuple[float, ...]
    elapsed_ms: tuple[float, ...]


def settled(versions: Sequence[Version]) -> Delays:
    """A word counts from when it, and all before it, changed no more (what a reader can rely on)."""
    final = versions[-1].words if versions else ()
    moments = [versions[-1]] * len(final) if versions else []
    kept = len(final)
    for version in reversed(versions):
        kept = min(kept, shared_prefix(version.words, final))
        moments[:kept] = [version] * kept
    return _delays(moments)


def first_shown(versions: Sequence[Version]) -> Delays:
    """A word counts from when it first stood in the caption, at whatever place, as often as the final one has it; read
    in order, so none before the word before it. Case and punctuation do not count."""
    seen: Counter[str] = Counter()
    moments: list[Version] = []
    for word in map(plain_word, versions[-1].words if versions else ()):
        seen[word] += 1
        first = next(v for v in versions if list(map(plain_word, v.words)).count(word) >= seen[word])
        moments.append(max(moments[-1], first, key=lambda version: version.media_ms) if moments else first)
    return _delays(moments)


def finals_alone(versions: Sequence[Version]) -> Delays:
    """All words count from the last version: for a viewer who is shown finished captions alone."""
    return _delays([versions[-1]] * len(versions[-1].words) if versions else [])


def _delays(moments: Sequence[Version]) -> Delays:
    return Delays(tuple(one.media_ms for one in moments), tuple(one.elapsed_ms for one in moments))


def shared_prefix(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words from the start are the same."""
    return next((at for at, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))


def average_lagging(delays_ms: Sequence[float], source_ms: float, reference_words: int) -> float:
    """AL = 1/tau sum_{i<=tau} d_i - (i - 1) |X| / |Y*|, tau the first word with d >= |X|; d_1 where that is past |X|."""
    return _lagging(delays_ms, source_ms, reference_words)


def length_adaptive_average_lagging(delays_ms: Sequence[float], source_ms: float, reference_words: int) -> float:
    """LAAL: as AL with the longer of caption and reference for |Y*|, so that saying too much is no gain."""
    return _lagging(delays_ms, source_ms, max(len(delays_ms), reference_words))


def _lagging(delays_ms: Sequence[float], source_ms: float, words: int) -> float:
    if delays_ms[0] > source_ms:
        return delays_ms[0]
    counted = next((at for at, delay in enumerate(delays_ms, 1) if delay >= source_ms), len(delays_ms))
    return sum(delay - at * source_ms / words for at, delay in enumerate(delays_ms[:counted])) / counted


def average_token_delay(delays: Delays) -> float:
    """ATD: how long after the end of its source token each word was out, computation counted.

    Words shown at one time are a chunk; between two such times the source is cut into tokens of 300 ms (and a rest). The
    t-th word answers the t-th token, less by what earlier chunks said more than they had heard, at most its chunk's last.

    A word is out at its `elapsed_ms`, or with the word before it if that is later: `elapsed_ms` is media and the chunk's own
    computation. SimulEval's elapsed time adds up the computation of all chunks; with those sums it gives the same figure.
    """
    sizes = [len(list(group)) for _, group in groupby(delays.media_ms)]
    ends = list(dict.fromkeys(delays.media_ms))
    heard, tokens = [0], [0.0]
    for begin, end in pairwise((0.0, *ends)):
        tokens += _cut(begin, end)
        heard.append(len(tokens) - 1)
    out_ms, said, total = 0.0, 0, 0.0
    for chunk, size in enumerate(sizes):
        ahead = max(0, said - heard[chunk])
        for at in range(said, said + size):
            out_ms = max(out_ms, delays.elapsed_ms[at])
            total += out_ms - tokens[min(at + 1 - ahead, heard[chunk + 1])]
        said += size
    return total / said


def _cut(begin_ms: float, end_ms: float) -> list[float]:
    """Ends of the source tokens between two moments."""
    whole = int((end_ms - begin_ms) // SOURCE_TOKEN_MS)
    ends = [begin_ms + SOURCE_TOKEN_MS * number for number in range(1, whole + 1)]
    return ends if (end_ms - begin_ms) % SOURCE_TOKEN_MS == 0 else [*ends, end_ms]


def erased(versions: Sequence[Version]) -> int:
    """Words taken back in all rewritings: those behind the longest common beginning of a version and the one after it."""
    return sum(len(one.words) - shared_prefix(one.words, other.words) for one, other in pairwise(versions))
