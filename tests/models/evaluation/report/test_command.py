"""The whole of it with the bundled weights: measured once, then made again from the records without any weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli import main
from models.evaluation.report.command import check_same, gather
from models.evaluation.report.drawn import SIGNERS, clip_of, look_of, names_spelled, truth_of, vocabulary_of
from models.evaluation.report.records import Records, line_of, route_letters
from models.synthetic import corpus
from models.synthetic.corpus import FIRST_HELD_OUT_SEED
from models.synthetic.sentences import is_held_out
from tests.models.evaluation.report.held import RUN, sentence

BUNDLED = Path("models/checkpoints/compact")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "held.jsonl"
    path.write_text("".join(line_of(one) for one in (RUN, sentence(0), sentence(1), sentence(2))), encoding="utf-8")
    return path


@pytest.mark.timeout(300)
def test_sentences_are_measured_and_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records, out = tmp_path / "held.jsonl", tmp_path / "report.html"
    words = ["evaluate", "report", "--records", str(records), "--out", str(out), "--json"]
    assert main([*words, "--sentences", "1"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["sentences"] == 1 and out.read_text(encoding="utf-8").startswith("<!doctype html>")
    held = Records.read(records)
    for one in held.sentences:
        assert one.segments and one.shown and len(one.routes) == len(one.truth.routes)
        assert one.segments[0].phonemes and one.shown[-1].is_final
        assert all(0 <= value <= 1 for value in one.alpha) and len(one.alpha) % 8 == 0
        assert one.segments[0].start_ms // 40 + len(one.alpha) <= len(one.ticks) * 8
        assert [shown.media_ms for shown in one.shown] == sorted(shown.media_ms for shown in one.shown)
        assert len(one.refine) == len(one.segments)
    assert main([*words, "--checkpoint", str(tmp_path)]) == 0, "records need no weights"
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures


def test_a_part_of_the_records_is_taken(kept: Path) -> None:
    assert len(gather(kept, Path("nowhere"), None, 2).sentences) == 2
    assert len(gather(kept, Path("nowhere"), None, None).sentences) == 3


def test_records_of_other_weights_or_seeds_are_not_added_to(kept: Path) -> None:
    with pytest.raises(ValueError, match="measured with weights 0123456789ab"):
        gather(kept, BUNDLED, None, 4)
    with pytest.raises(ValueError, match="measured with seed 0, not 5"):
        gather(kept, BUNDLED, 5, None)


@pytest.mark.parametrize("name", ["weights", "seed", "backend", "threads", "torch", "machine"])
def test_what_ran_otherwise_is_not_added_to(name: str) -> None:
    with pytest.raises(ValueError, match=f"measured with {name} .*, now it is other"):
        check_same(RUN, replace(RUN, **{name: "other"}), Path("held.jsonl"))
    check_same(RUN, replace(RUN, began="later"), Path("held.jsonl"))


def test_records_of_the_first_signers_are_read_and_not_added_to(tmp_path: Path) -> None:
    old = json.loads(line_of(RUN))
    del old["run"]["signers"]
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps(old) + "\n" + line_of(sentence(0)), encoding="utf-8")
    assert len(gather(path, Path("nowhere"), None, None).sentences) == 1
    with pytest.raises(ValueError, match="signers that `evaluate synthetic` draws too"):
        gather(path, BUNDLED, None, 2)


def test_signers_are_not_those_of_synthetic() -> None:
    report = [clip_of(number, seed=0)[1].signer.skin for number in range(SIGNERS)]
    synthetic = [corpus.clip(FIRST_HELD_OUT_SEED + number, held_out=True).signer.skin for number in range(SIGNERS)]
    assert not any((one == other).all() for one in report for other in synthetic)


def test_sentences_go_round_unseen_signers() -> None:
    signer, clip = clip_of(3, seed=0)
    again, other = clip_of(23, seed=0)
    assert signer == again == 3 and is_held_out(clip.script.sentence.english)
    assert (clip.signer.skin == other.signer.skin).all()
    assert truth_of(clip).routes == route_letters(clip.script.routes.tolist())
    usual = replace(clip.signer, face_side=0.2, left_handed=False, turn=(0.0, 0.0))
    assert look_of(usual) == () and look_of(replace(usual, left_handed=True)) == ("left-handed",)
    assert look_of(replace(usual, face_side=0.3, turn=(-0.3, 0.0))) == ("close framing", "turned")
    assert clip_of(3, seed=0)[1].script.sentence == clip.script.sentence
    elsewhere = clip_of(3, seed=1)[1]
    assert elsewhere.script.sentence != clip.script.sentence and (elsewhere.signer.skin != clip.signer.skin).any()


def test_a_vocabulary_has_the_names_of_the_sentence_and_others() -> None:
    spelled = next(clip for number in range(20) if names_spelled(clip := clip_of(number, 0)[1]))
    vocabulary = vocabulary_of(spelled, 0, 0)
    assert set(names_spelled(spelled)) <= set(vocabulary)
    assert len(vocabulary) == len(set(vocabulary)) >= 9 + len(names_spelled(spelled))
    assert vocabulary == vocabulary_of(spelled, 0, 0)
