"""The confidence of captions made from noisy tokens: features are whole, the fit is sane, what is doubtful is withheld."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from models.confidence import Calibrator
from models.evaluation.gloss2text import held_out_grammar
from models.evaluation.scores import caption_right, words_right
from models.evaluation.token_noise import Rates, noisy_tokens
from models.hypothesis import Hypothesis
from models.prompts import readable
from models.speech import Speaker
from models.training.confidence_stage import train


def hypotheses(count: int, seed: int) -> list[tuple[Hypothesis, str]]:
    """Noisy readings of grammar sentences, and what a draft of the true tokens would say."""
    rng = random.Random(seed)
    made = []
    for texts, _ in held_out_grammar(count, seed):
        tokens = noisy_tokens(texts, Rates(0.15, 0.05), rng)
        share = math.prod(token.posterior for token in tokens)
        route = (0.7, 0.2, 0.1)
        truth = readable(noisy_tokens(texts, Rates(), random.Random(0)))
        made.append((Hypothesis(tokens, 0, 0, tokens[-1].end_ms, 0.8, route, share, share / 2, 1.0), truth))
    return made


def record(path: Path, speaker: Speaker, rows: list[tuple[Hypothesis, str]]) -> None:
    lines = []
    for spoken, (_, truth) in zip(speaker.explain([row for row, _ in rows]), rows, strict=True):
        assert all(math.isfinite(value) for value in spoken.features.values())
        right = words_right([word.text for word in spoken.caption.words], truth)
        words = [{"features": f, "right": int(r)} for f, r in zip(spoken.word_features, right, strict=True)]
        whole = int(caption_right(spoken.caption.text, truth))
        lines.append(json.dumps({"caption": spoken.features, "right": whole, "words": words}) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def test_three_hundred_captions_make_a_calibrator_that_withholds_the_wrong_ones(tmp_path: Path) -> None:
    record(tmp_path / "confidence.jsonl", Speaker(None, None), hypotheses(300, 1))
    figures = train(tmp_path, tmp_path)
    assert figures["caption_count"] == 300
    assert figures["word_ece"] < 0.03
    assert figures["word_auroc"] > 0.8
    assert figures["caption_ece"] < 0.12
    speaker = Speaker(None, Calibrator.load(tmp_path / "confidence.json"))
    shown, right, withheld = 0, 0, 0
    for reading, truth in hypotheses(400, 2):
        caption = speaker.explain([reading])[0].caption
        assert 0 <= caption.confidence <= 1
        withheld += caption.confidence < 0.5
        shown += caption.confidence >= 0.5
        right += caption.confidence >= 0.5 and caption_right(caption.text, truth)
    assert withheld > 40
    assert right / shown > 0.6


def test_all_files_of_a_folder_count(tmp_path: Path) -> None:
    record(tmp_path / "confidence.jsonl", Speaker(None, None), hypotheses(40, 1))
    record(tmp_path / "confidence_answers.jsonl", Speaker(None, None), hypotheses(20, 2))
    assert train(tmp_path, tmp_path)["caption_count"] == 60
    assert train(tmp_path / "confidence_answers.jsonl", tmp_path)["caption_count"] == 20


def test_words_are_right_at_their_place() -> None:
    assert words_right(["My", "mother", "will", "go."], "My father will go.") == [True, False, True, True]
    assert words_right(["go", "will"], "Will go") in ([True, False], [False, True])
    assert caption_right("thank you Maria", "Thank you, Maria.")
    assert not caption_right("Thank you.", "Thank you, Maria.")


def test_captions_that_are_no_captions_are_named(tmp_path: Path) -> None:
    (tmp_path / "confidence.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="line 1 of"):
        train(tmp_path, tmp_path)
