"""Records side by side: the same sentences only, what changed and what may be chance, on the page and in JSON."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli import main
from models.evaluation.report.before import Change, compared
from models.evaluation.report.figures import figures_of
from models.evaluation.report.page import page
from models.evaluation.report.records import FoundToken, Records, Run, Sentence, line_of
from tests.models.evaluation.report.held import ENGLISH, RUN, segment, sentence, told

BEFORE = replace(RUN, weights="before000000")


def records(sentences: Sequence[Sentence]) -> Records:
    return Records(RUN, tuple(sentences))


def found(before: Sequence[Sentence], after: Sequence[Sentence]) -> dict[str, Change]:
    return {one.name: one for one in compared(Records(BEFORE, tuple(before)), records(after)).changes}


def test_what_is_the_same_has_not_changed() -> None:
    sentences = [told("My name Paul.", number) for number in range(5)]
    for one in found(sentences, sentences).values():
        assert one.before == one.after and one.verdict == "may be chance"
        assert (one.change.value, one.change.low, one.change.high) == (0, 0, 0)


def test_function_words_are_found_and_no_others_lost() -> None:
    changed = found([told("Name Maria.", n) for n in range(8)], [told(ENGLISH, n) for n in range(8)])
    for name in ("function words", "determiners", "auxiliaries"):
        one = changed[name]
        assert (one.before, one.after, one.change.value, one.verdict) == (0, 1, 1, "better")
    assert changed["function words"].count == 16, "my and is, eight times"
    assert changed["content words"].before == changed["content words"].after == 1
    assert changed["conjunctions"].before is None, "nothing was asked for"
    assert changed["function words, precision"].before is None, "nothing was given"
    assert changed["BLEU-4"].after == pytest.approx(100) and changed["BLEU-4"].verdict == "better"


def test_more_errors_are_worse_and_one_sentence_in_ten_may_be_chance() -> None:
    right, wrong = sentence().segments[0].tokens, (FoundToken("YOU", "sign", 640, 800, 0.9),)
    before = [sentence(n) for n in range(10)]
    some = [sentence(n, segments=(segment(tokens=wrong if n == 0 else right),)) for n in range(10)]
    mistaken = found(before, some)["gloss WER"]
    assert mistaken.change.value == pytest.approx(0.1) and mistaken.verdict == "may be chance"
    most = [sentence(n, segments=(segment(tokens=wrong if n else right),)) for n in range(10)]
    assert found(before, most)["gloss WER"].verdict == "worse"
    assert found(most, before)["gloss WER"].verdict == "better"


def test_only_sentences_of_both_are_compared() -> None:
    other = sentence(1, truth=replace(sentence().truth, english="Another clip."))
    comparison = compared(records([sentence(0), other, sentence(2)]), records([sentence(0), sentence(1), sentence(3)]))
    assert comparison.sentences == 1 and comparison.plain()["BLEU-4"]["count"] == 1
    with pytest.raises(ValueError, match="same --seed"):
        compared(records([sentence(5)]), records([sentence(0)]))


def test_the_page_has_them_only_if_asked() -> None:
    after = records([told(ENGLISH, n) for n in range(4)])
    comparison = compared(Records(BEFORE, tuple(told("Name Maria.", n) for n in range(4))), after)
    html = page(after, figures_of(after), comparison)
    assert "before000000" in html and "+100.0 (+100.0 to +100.0)" in html and 'href="#before"' in html
    assert html.count("<table") == html.count("<caption>")
    assert "Before and after" not in page(after, figures_of(after))


def test_the_command_puts_them_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files: dict[str, list[Run | Sentence]] = {
        "before": [RUN, told("Name Maria."), told("Name.", 1)],
        "after": [RUN, sentence(0), sentence(1)],
    }
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(line_of(one) for one in lines), encoding="utf-8")
    words = [
        "evaluate",
        "report",
        "--records",
        str(tmp_path / "after"),
        "--out",
        str(tmp_path / "report.html"),
        "--json",
    ]
    assert main([*words, "--before", str(tmp_path / "before")]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])["before"]
    assert said["sentences"] == 2 and said["content words"]["before"] == 0.75 and said["content words"]["after"] == 1
    assert main(words) == 0
    assert "before" not in json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "--before", __file__], "another file with --before"),
        (["report", "--before", "nowhere.jsonl"], "--before"),
        (["names", "--before", __file__], "--before is an option of `evaluate report`"),
    ],
)
def test_what_cannot_be_compared_is_said_first(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *words]) == 2
    shown = capsys.readouterr().err
    assert said in shown and len(shown.strip().splitlines()) == 1
