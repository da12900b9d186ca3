"""Answers of one sign: what is drawn, and what is kept of their captions."""

import json
from pathlib import Path

import numpy as np

from models.evaluation import answers
from models.prompts import gloss_word
from models.synthetic import lexicon
from models.synthetic.sentences import names_held_out
from models.synthetic.signer import Signer

BUNDLED = Path(__file__).parents[3] / "models" / "checkpoints" / "compact"


def test_an_answer_is_one_sign_or_one_name_that_nobody_trained_on() -> None:
    drawn = [answers.answer(number) for number in range(answers.FIRST_SEED, answers.FIRST_SEED + 300)]
    spelled = [sentence for sentence in drawn if sentence.tokens[0].startswith("#")]
    assert all(len(sentence.tokens) == 1 for sentence in drawn)
    assert 0.1 < len(spelled) / len(drawn) < 0.3
    assert {sentence.tokens[0][1:] for sentence in spelled} <= names_held_out()
    tones: dict[bool, list[float]] = {True: [], False: []}
    for number, sentence in enumerate(drawn, answers.FIRST_SEED):
        tones[sentence in spelled].append(float(Signer.draw(np.random.default_rng(number)).skin.mean()))
    assert abs(np.mean(tones[True]) - np.mean(tones[False])) < 0.5 * np.std(tones[False]), "names are spelled by all"
    glosses = lexicon.load().glosses
    for sentence in drawn:
        if sentence not in spelled:
            assert sentence.tokens[0] in glosses
            assert sentence.english == gloss_word(sentence.tokens[0])


def test_a_line_is_kept_for_every_caption(tmp_path: Path) -> None:
    file = tmp_path / "confidence_answers.jsonl"
    figures = answers.evaluate(None, BUNDLED, sentences=4, record=file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == figures["captions"]
    assert sum(line["right"] for line in lines) == 4 * figures["right"]
    assert figures["captioned"] == 1.0, "four signs were signed"
    assert any(line["caption"]["alone"] for line in lines)
