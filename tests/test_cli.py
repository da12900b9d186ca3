"""The command line: help, and every failure one sentence with exit code 2."""

from pathlib import Path

import pytest

from app.cli import main


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("serve", "live", "translate", "train", "evaluate", "bench", "synth", "doctor"):
        assert command in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["translate", "nothing.mp4"], "nothing.mp4"),
        (["bench", "live", "nothing.mp4"], "signbind synth"),
        (["synth", "hello", "-o", "hello.gif"], ".mp4"),
        (["evaluate", "letters"], "SOURCE/LETTER"),
        (["evaluate", "letters", "nowhere"], "nowhere"),
        (["evaluate", "lips", ".", "--seed", "3"], "--seed"),
        (["train", "sign", "--data", "nowhere"], "nowhere"),
        (["sing"], "sing"),
    ],
)
def test_a_failure_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert said in shown.err and "Traceback" not in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_synth_writes_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "Hello.", "-o", str(tmp_path / "hello.mp4")]) == 0
    assert (tmp_path / "hello.mp4").stat().st_size > 10_000
    assert "hello.mp4" in capsys.readouterr().out
