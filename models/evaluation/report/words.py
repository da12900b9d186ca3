"""Which words of the references the captions have: names, function words, content words; and names that nobody said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.evaluation.report.records import FoundWord, Sentence
from models.evaluation.scores import PUNCTUATION, plain_words
from models.synthetic.sentences import LONGEST_SPELLED, english_to_glosses

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "determiners": """a an the this that these those my your his her its our their some any no every each all both
            another""",
        "conjunctions": "and or but if because while although when nor so yet than",
        "prepositions": """in on at to from with of for about into onto over under between behind before after against
            without by near through during until up down""",
        "auxiliaries": """am is are was were be been being do does did have has had will would shall should can could may
            might must""",
    }.items()
}
"""Closed lists; a word of several classes is counted in the first."""
_ALWAYS_CAPITAL = frozenset({"i", "i'm", "i'll", "i've", "i'd"})
CONTENT_WORDS = "content words"
"""All words that are in none of the lists: nouns, verbs, names."""
SPELLED_SLACK_MS = 400
"""A spelled word of a caption answers a true spelling that is no further from it than this."""


@dataclass
class Found:
    """Of words asked for, how many were there; of words given, how many were asked for."""

    asked: int = 0
    given: int = 0
    right: int = 0

    def add(self, given: Iterable[str], asked: Iterable[str]) -> None:
        """Compared as bags, without case."""
        one, other = Counter(word.lower() for word in given), Counter(word.lower() for word in asked)
        self.given, self.asked = self.given + one.total(), self.asked + other.total()
        self.right += (one & other).total()

    @property
    def recall(self) -> float | None:
        """None where nothing was asked for."""
        return self.right / self.asked if self.asked else None

    @property
    def precision(self) -> float | None:
        """None where nothing was given."""
        return self.right / self.given if self.given else None


def function_class(word: str) -> str | None:
    """The class of a function word, or None."""
    return next((name for name, words in FUNCTION_WORDS.items() if word.lower() in words), None)


def spelled_names(tokens: Sequence[str]) -> frozenset[str]:
    """The spelled words of a reference's tokens, in capitals."""
    return frozenset(token[1:] for token in tokens if token.startswith("#"))


def proper_nouns(text: str, spelled: frozenset[str] = frozenset()) -> list[str]:
    """Words with a capital that the place in the sentence does not explain, without a possessive's ending.

    A first word is one when it is among `spelled` (capitals, cut at LONGEST_SPELLED), or when neither the signs' words nor
    the function words know it.
    """
    return [name for _, name in _placed_names(text, spelled)]


def _placed_names(text: str, spelled: frozenset[str]) -> list[tuple[int, str]]:
    """The same, each with its place among the words of the text."""
    found, first = [], True
    for place, raw in enumerate(text.split()):
        word = bare(raw)
        named = word[:1].isupper() and word.lower() not in _ALWAYS_CAPITAL
        if named and (not first or is_spelled(word, spelled) or _unknown(word)):
            found.append((place, word))
        first = raw.endswith((".", "?", "!"))
    return found


def bare(word: str) -> str:
    """A word without punctuation and a possessive's ending."""
    return word.strip(PUNCTUATION).removesuffix("'s")


def is_spelled(word: str, spelled: frozenset[str]) -> bool:
    """Whether a word was spelled; of a long one only the beginning may have been."""
    return word.upper()[:LONGEST_SPELLED] in spelled


def _unknown(word: str) -> bool:
    return function_class(word) is None and any(token.startswith("#") for token in english_to_glosses(word))


WRONG = ("misread spelling", "misread sign", "invented")


@dataclass(frozen=True)
class WrongName:
    """A name in a caption that the reference lacks.

    `kind`, one of WRONG: the signer spelled something there, but not this; a sign was read as this; or neither: the
    language model added it, or spelling was read where none was shown.
    """

    number: int
    name: str
    kind: str
    english: str
    caption: str


def wrong_names(sentence: Sentence) -> list[WrongName]:
    """Proper nouns of a sentence's captions that its reference does not have."""
    spelled = spelled_names(sentence.truth.tokens)
    asked = Counter(word.lower() for word in proper_nouns(sentence.truth.english, spelled))
    wrong, behind = [], _words_behind(sentence)
    for place, name in _captioned_names(sentence, spelled):
        if asked[name.lower()]:
            asked[name.lower()] -= 1
            continue
        kind = wrong_kind(behind[place], sentence)
        wrong.append(WrongName(sentence.number, name, kind, sentence.truth.english, sentence.caption))
    return wrong


def _captioned_names(sentence: Sentence, spelled: frozenset[str]) -> list[tuple[int, str]]:
    """The names of all captions; each caption begins a sentence, whether the one before ended with a mark or not."""
    found: list[tuple[int, str]] = []
    before = 0
    for segment in sentence.segments:
        found += [(before + place, name) for place, name in _placed_names(segment.text, spelled)]
        before += len(segment.text.split())
    return found


def _words_behind(sentence: Sentence) -> list[FoundWord | None]:
    """What each word of the caption came from, in step with it; None where nothing is kept of a word."""
    kept = [word for segment in sentence.segments if segment.text for word in segment.words]
    behind: list[FoundWord | None] = []
    for raw in sentence.caption.split():
        at = next((at for at, word in enumerate(kept) if bare(word.text) == bare(raw)), None)
        behind.append(None if at is None else kept[at])
        kept = kept if at is None else kept[at + 1 :]
    return behind


def wrong_kind(word: FoundWord | None, sentence: Sentence) -> str:
    """Which of WRONG a name is, by the token behind its word and by what was shown at that time."""
    if word is not None and word.source == "fingerspelling" and _spelling_at(word, sentence):
        return WRONG[0]
    return WRONG[1] if word is not None and word.source == "sign" else WRONG[2]


def _spelling_at(word: FoundWord, sentence: Sentence) -> bool:
    """Whether the signer spelled something about the time of this word."""
    begin_ms, end_ms = word.start_ms - SPELLED_SLACK_MS, word.end_ms + SPELLED_SLACK_MS
    return any(letter.start_ms <= end_ms and letter.end_ms >= begin_ms for letter in sentence.truth.letters)


@dataclass(frozen=True)
class NameWay:
    """The names of all captions written in one way."""

    way: str
    recall: float | None
    precision: float | None
    wrong: int
    asked: int


WAYS = ("letters as seen", "verified", "verified, with session vocabulary")


def name_ways(sentences: Sequence[Sentence]) -> list[NameWay]:
    """Spelled names with verification off and on, and on with the session's vocabulary."""
    return [way_of(way, sentences, [written(sentence, way) for sentence in sentences]) for way in WAYS]


def written(sentence: Sentence, way: str) -> str:
    """The captions of a sentence in one of WAYS."""
    texts = {WAYS[0]: "as_seen", WAYS[1]: "text", WAYS[2]: "with_names"}
    return " ".join(getattr(segment, texts[way]) for segment in sentence.segments)


def way_of(way: str, sentences: Sequence[Sentence], texts: Sequence[str]) -> NameWay:
    """The spelled names of sentences in their captions as one way wrote them."""
    found = Found()
    for sentence, text in zip(sentences, texts, strict=True):
        spelled = spelled_names(sentence.truth.tokens)
        asked = [word for word in proper_nouns(sentence.truth.english, spelled) if is_spelled(word, spelled)]
        signed = {word.lower() for word in proper_nouns(sentence.truth.english, spelled)} - {w.lower() for w in asked}
        given = [word for word in proper_nouns(text, spelled) if word.lower() not in signed]
        found.add([*given, *_in_lower_case(text, asked)], asked)
    return NameWay(way, found.recall, found.precision, found.given - found.right, found.asked)


def _in_lower_case(text: str, asked: Sequence[str]) -> list[str]:
    """Names that a caption spells rightly without a capital; what is a word as well ("will", "rose") is taken for that."""
    names = {name.lower() for name in asked}
    words = (word for word in map(bare, text.split()) if not word[:1].isupper())
    return [word for word in words if word.lower() in names and _unknown(word)]


def word_classes(pairs: Sequence[tuple[str, str]]) -> dict[str, Found]:
    """(caption, reference) pairs -> how the words of every class were found."""
    classes = {name: Found() for name in (*FUNCTION_WORDS, CONTENT_WORDS)}
    for caption, english in pairs:
        given, asked = plain_words(caption), plain_words(english)
        for name, found in classes.items():
            own = None if name == CONTENT_WORDS else name
            found.add((w for w in given if function_class(w) == own), (w for w in asked if function_class(w) == own))
    return classes


def content_recall(sentence: Sentence) -> float:
    """The share of the reference's content words that the caption has; 1 where it has none."""
    recall = word_classes([(sentence.caption, sentence.truth.english)])[CONTENT_WORDS].recall
    return 1.0 if recall is None else recall
