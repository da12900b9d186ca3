"""The bundled weights on signers that they were not trained on: what the README says of them stays true."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from models.clock import CHUNK_FRAMES
from models.evaluation.synthetic import found_glosses, found_letters, only_frames
from models.hypothesis import Hypothesis, Token
from models.lexemes import FUNCTION_WORDS
from models.pipeline import Translator
from models.reading import Reading, read_many
from models.synthetic import corpus

CHECKPOINT = Path("models/checkpoints/compact")
SENTENCES = {1_700_001: "My name is Anna.", 1_700_004: "I want to learn.", 1_700_005: "Where do you live?"}


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.load(CHECKPOINT, slots=len(SENTENCES))


@pytest.fixture(scope="module")
def readings(translator: Translator) -> dict[str, tuple[corpus.Clip, Reading]]:
    clips = [corpus.clip(seed, sentence, held_out=True) for seed, sentence in SENTENCES.items()]
    found = read_many(translator, [only_frames(clip) for clip in clips])
    return {clip.script.sentence.english: (clip, reading) for clip, reading in zip(clips, found, strict=True)}


def test_signs_and_spelled_letters_are_read(readings: dict[str, tuple[corpus.Clip, Reading]]) -> None:
    signs = letters = wrong = 0
    for clip, reading in readings.values():
        true = [span.text for span in clip.script.glosses]
        wrong += sum(a != b for a, b in zip(true, found_glosses(reading), strict=False))
        signs += len(true)
        letters += len(found_letters(reading))
    assert wrong <= signs // 3, f"{wrong} of {signs} signs"
    assert 3 <= letters <= 6


def test_a_spelled_name_reaches_the_caption_and_words_have_times(
    translator: Translator, readings: dict[str, tuple[corpus.Clip, Reading]]
) -> None:
    _, reading = readings["My name is Anna."]
    captions = translator.refine(list(reading.segments))
    assert "Anna" in " ".join(caption.text for caption in captions)
    word = next(word for caption in captions for word in caption.words if word.text.startswith("Anna"))
    assert word.source == "fingerspelling" and word.end_ms > word.start_ms and 0 < word.confidence <= 1


@pytest.mark.parametrize("gloss", ["MOTHER", "ME", "DOCTOR", "WANT"])
def test_a_sign_alone_does_not_become_a_story(translator: Translator, gloss: str) -> None:
    token = Token(gloss, "sign", 0, 500, 0.99)
    [caption] = translator.refine([Hypothesis((token,), 1, 0, 500, 0.7, (1.0, 0.0, 0.0), 0.99, 5.0, 1.0)])
    said = {word.text.strip(".,?!").lower() for word in caption.words}
    assert said - FUNCTION_WORDS <= {gloss.lower()}


def test_who_sits_still_is_seen_and_an_empty_picture_shows_nobody(translator: Translator) -> None:
    clip = corpus.clip(1_700_001, "My name is Anna.", held_out=True)
    resting = list(islice(only_frames(clip), CHUNK_FRAMES))
    empty = [np.full_like(picture, 90) for picture in resting]
    eyes = Translator.load(CHECKPOINT, slots=2).sight
    for row in range(2):
        eyes.reset(row)
    seen = eyes.encode({0: resting, 1: empty}, np.array([True, True]))
    assert seen.shows_someone(0) and not seen.shows_someone(1)


def test_all_bundled_weights_together_stay_small() -> None:
    sizes = {path: path.stat().st_size for path in CHECKPOINT.parent.rglob("*") if path.is_file()}
    assert {path.parent.name for path in sizes} >= {"compact", "llm", "phoenix", "aslg"}
    assert sum(sizes.values()) <= 40_000_000, sorted(sizes.items(), key=lambda item: -item[1])[:5]
