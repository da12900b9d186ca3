"""Names in four ways from one recognition, and letters of words that training never spelled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli import main
from models.evaluation.names import WAYS, evaluate
from models.evaluation.report.records import FoundToken, Records, Segment, Sentence, Span, line_of, sentence_of
from models.evaluation.report.spelled import rare_words, spelled_words
from models.synthetic.sentences import names_held_out
from tests.models.evaluation.report.held import RUN, segment, sentence

BUNDLED = Path("models/checkpoints/compact")
SEEN, LETTER = "as seen, without vocabulary", (0.55, 0.97, 0.97, 0.97, 0.97)


def read_as(*spelled: FoundToken) -> Segment:
    """MY NAME and what was spelled, however it was read."""
    return segment(tokens=(*segment().tokens[:2], *spelled))


def file_of(path: Path, *sentences: Sentence) -> Path:
    path.write_text("".join(line_of(one) for one in (RUN, *sentences)), encoding="utf-8")
    return path


def test_each_way_writes_its_own_names(tmp_path: Path) -> None:
    naria = FoundToken("NARIA", "fingerspelling", 1040, 1600, 0.89, LETTER)
    nobody = FoundToken("K", "fingerspelling", 100, 140, 0.9, (0.9,))
    throw = (FoundToken("THROW", "sign", 640, 800, 0.9), FoundToken("BALL", "sign", 840, 1000, 0.9))
    alone = segment(tokens=(nobody, *throw, segment().tokens[-1]))
    read = (sentence(0, segments=(read_as(naria),)), sentence(1), sentence(2, segments=(alone,)))
    found = evaluate(None, BUNDLED, records=file_of(tmp_path / "held.jsonl", *read))
    assert set(found) == {"sentences", "letters", *(way.name for way in WAYS)}
    assert all(found[way.name]["asked"] == 3 for way in WAYS)
    assert found[SEEN]["recall"] == pytest.approx(2 / 3)
    assert found["verified, with vocabulary"]["recall"] == 1
    assert found[SEEN]["invented"] == 1 and found[SEEN]["named"][0].startswith("K: ")
    assert found["verified, without vocabulary"]["invented"] == 0
    assert found[SEEN]["another name"] == 0
    assert found[SEEN]["bleu4"] < found["verified, with vocabulary"]["bleu4"]
    assert found["verified, with vocabulary"]["right"] == pytest.approx(2 / 3)
    assert found[SEEN]["words"]["determiners"] == {"recall": pytest.approx(2 / 3), "precision": 1, "asked": 3}


def test_a_misread_name_that_is_a_name_is_counted_apart(tmp_path: Path) -> None:
    mario = FoundToken("MARIO", "fingerspelling", 1040, 1600, 0.97, (0.97,) * 5)
    found = evaluate(None, BUNDLED, records=file_of(tmp_path / "held.jsonl", sentence(0, segments=(read_as(mario),))))
    assert [found[SEEN][name] for name in ("misread spelling", "another name", "invented")] == [1, 1, 0]


def test_the_command_takes_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = file_of(tmp_path / "held.jsonl", sentence(0), sentence(1))
    assert main(["evaluate", "names", "--records", str(records), "--sentences", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["sentences"] == 1
    assert main(["evaluate", "names", "--records", str(file_of(tmp_path / "none.jsonl")), "--sentences", "1"]) == 2


def test_letters_of_a_token_are_kept_and_older_files_lack_them(tmp_path: Path) -> None:
    token = FoundToken("AN", "fingerspelling", 0, 400, 0.8, (0.7, 0.9))
    kept = Records.read(file_of(tmp_path / "new.jsonl", sentence(0, segments=(read_as(token),))))
    assert kept.sentences[0].segments[0].tokens[-1] == token
    row = json.loads(line_of(sentence()))
    row["segments"][0]["tokens"] = [token[:5] for token in row["segments"][0]["tokens"]]
    assert sentence_of(row) == sentence()


def test_found_letters_belong_to_the_word_spelled_at_their_time() -> None:
    rare = min(names_held_out(), key=len)
    letters = tuple(Span(letter, 4000 + 100 * at, 4100 + 100 * at) for at, letter in enumerate(rare))
    truth = sentence().truth
    two = replace(truth, tokens=(*truth.tokens, f"#{rare}"), letters=(*truth.letters, *letters))
    found = (FoundToken("MARIA", "fingerspelling", 1040, 1600, 0.9),
             FoundToken(rare[:-1], "fingerspelling", 4000, 4300, 0.9),
             FoundToken("Q", "fingerspelling", 9000, 9100, 0.9))  # fmt: skip
    read = sentence(0, truth=two, segments=(read_as(*found),))
    assert [(word.word, word.found) for word in spelled_words(read)] == [("MARIA", "MARIA"), (rare, rare[:-1])]
    seen, never = rare_words([read])
    assert (seen.words, seen.letters, seen.whole) == (1, 1, 1)
    assert (never.words, never.letters, never.whole) == (1, pytest.approx(1 - 1 / len(rare)), 0)
    assert rare_words([])[0].letters is None
