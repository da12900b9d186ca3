"""The command line: help, and every failure one sentence with exit code 2."""

import inspect
import json
import socket
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest

from app import cli_doctor, cli_recipes, cli_train
from app.bench.one_stream import GOALS
from app.cli import main
from app.cli_errors import CliError
from app.settings import usable_cores


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNBIND_CHECKPOINT", "SIGNBIND_PORT", "SIGNBIND_HOST", "SIGNBIND_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield int(holder.getsockname()[1])


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("serve", "live", "translate", "train", "evaluate", "bench", "synth", "doctor"):
        assert command in shown


def test_help_tells_every_stage_and_every_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(cli_train.STAGES) == list(cli_train.Stage) and list(cli_recipes.MEASURES) == list(cli_recipes.What)
    for command, told in (("train", cli_train.STAGES), ("evaluate", cli_recipes.MEASURES)):
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out.splitlines()
        for name, meaning in told.items():
            assert any(line.split()[:1] == [name] and meaning[:20] in line for line in shown), name


def test_help_flows_at_the_terminals_width(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["bench", "live", "--help"]) == 0
    said = capsys.readouterr().out
    lines = said[said.index(" The lag is") : said.index("╭")].strip().splitlines()
    assert len(lines) == 3 and all(len(line.strip()) > 80 for line in lines[:-1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["translate", "nothing.mp4"], "nothing.mp4"),
        (["bench", "live", "nothing.mp4"], "signbind synth"),
        (["bench", "streams", "nothing.mp4"], "signbind synth"),
        (["bench", "streams", __file__], "is not a video"),
        (["bench", "streams", "--plot", "curve.png"], ".svg"),
        (["bench", "streams", "--plot", "/nowhere/curve.svg"], "/nowhere"),
        (["bench", "streams", "--most", "0"], "--most"),
        (["bench", "streams", "--url", "http://127.0.0.1:1"], "signbind serve"),
        (["bench", "streams", "--url", "http://127.0.0.1:1", "--device", "cuda"], "--url"),
        (["bench", "streams", "--device", "tpu"], "cuda:1"),
        (["bench", "paper", "--device", "tpu"], "cuda:1"),
        (["bench", "memory", "nothing.mp4"], "signbind synth"),
        (["bench", "memory", "--checkpoint", "nowhere"], "nowhere"),
        (["synth", "hello", "-o", "hello.gif"], ".mp4"),
        (["evaluate", "letters"], "SOURCE/LETTER"),
        (["evaluate", "letters", "nowhere"], "nowhere"),
        (["evaluate", "synthetic", "."], "draws its own data"),
        (["bench", "backends", "--letters", "nowhere"], "nowhere"),
        (["evaluate", "lips", ".", "--seed", "3"], "--seed"),
        (["evaluate", "lips", ".", "--records", "held.jsonl"], "evaluate report"),
        (["evaluate", "lips", ".", "--record", "captions.jsonl"], "evaluate synthetic"),
        (["evaluate", "report", "--out", "/nowhere/report.html"], "--out"),
        (["evaluate", "report", "--records", __file__], "--records"),
        (["evaluate", "report", "--records", "/nowhere/held.jsonl"], "/nowhere is no folder"),
        (["evaluate", "across", "docs"], "none of them is there"),
        (["train", "sign", "--data", "nowhere"], "nowhere"),
        (["train", "sign", "--data", ".", "--marked"], "train language"),
        (["train", "sign", "--data", ".", "--text-only"], "train language"),
        (["sing"], "sing"),
        (["bench"], "--help"),
        (["synth", "%%"], "no word to sign"),
        (["synth", "Hello.", "-o", "/nowhere/hello.mp4"], "/nowhere"),
        (["live", "nothing.mp4"], "nothing.mp4"),
        (["live", "camera:x"], "camera:1"),
        (["live", __file__], "is not a video"),
        (["serve", "--checkpoint", "nowhere"], "--checkpoint"),
        (["serve", "--checkpoint", "random:abc"], "--checkpoint: expected a checkpoint's folder, or random:SEED"),
        (["serve", "--checkpoint", "random:"], "such as random:0, got 'random:'"),
        (["bench", "memory", "--checkpoint", "random:-1"], "such as random:0, got 'random:-1'"),
        (["serve", "--host", "host.invalid"], "host.invalid"),
        (["serve", "--port", "70000"], "65535"),
        (["train", "locate", "--data", ".", "--device", "tpu"], "cuda"),
    ],
)
def test_a_failure_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert said in shown.err and "Traceback" not in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_a_taken_port_is_said(taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["serve", "--port"], ["bench", "live", __file__, "--port"]):
        assert main([*words, str(taken_port)]) == 2
        assert f"127.0.0.1:{taken_port}: Address already in use" in capsys.readouterr().err


def test_a_wrong_setting_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGNBIND_SLOT", "3")
    assert main(["serve"]) == 2
    assert "SIGNBIND_SLOTS" in capsys.readouterr().err
    monkeypatch.delenv("SIGNBIND_SLOT")
    monkeypatch.setenv("SIGNBIND_DEVICE", "tpu")
    assert main(["serve"]) == 2
    assert "SIGNBIND_DEVICE: expected cpu, cuda or, of several, cuda:1, got 'tpu'" in capsys.readouterr().err
    monkeypatch.delenv("SIGNBIND_DEVICE")
    monkeypatch.setenv("SIGNBIND_CHECKPOINT", "random:abc")
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == (
        "signbind: SIGNBIND_CHECKPOINT: expected a checkpoint's folder, or random:SEED with a whole number, "
        "such as random:0, got 'random:abc'.\n"
    )


def free_recipe(
    data: Path, out: Path, *, minutes: float, permissive_only: bool = False, device: str = "cpu"
) -> dict[str, Any]:
    raise AssertionError("only its options are looked at")


def plain_recipe(data: Path, out: Path, *, minutes: float) -> dict[str, Any]:
    raise AssertionError("only its options are looked at")


@pytest.mark.parametrize(
    ("stage", "recipe", "given"),
    [("language", free_recipe, {"permissive_only": True, "device": "cpu"}), ("sign", plain_recipe, {})],
)
def test_training_passes_on_what_a_recipe_takes(stage: str, recipe: Callable[..., Any], given: dict[str, Any]) -> None:
    assert cli_train.recipe_options(cli_train.Stage(stage), recipe, cli_train.Device.cpu, True) == given


def test_training_refuses_what_a_recipe_cannot_do() -> None:
    with pytest.raises(CliError, match="locate cannot do without its research-only sources"):
        cli_train.recipe_options(cli_train.Stage.locate, plain_recipe, None, True)
    with pytest.raises(CliError, match="on the CPU alone"):
        cli_train.recipe_options(cli_train.Stage.locate, plain_recipe, cli_train.Device.cuda, False)


@pytest.mark.parametrize("stage", cli_train.Stage)
def test_every_stage_has_its_recipe(stage: cli_train.Stage) -> None:
    recipe, fixed = cli_train.stage_recipe(stage)
    assert callable(recipe) and set(fixed) <= {"only"}


@pytest.mark.parametrize("what", cli_recipes.What)
def test_every_evaluation_takes_the_options_that_the_command_has_for_it(what: cli_recipes.What) -> None:
    evaluate = import_module(f"models.evaluation.{what.value}").evaluate
    takes = list(inspect.signature(evaluate).parameters.values())
    assert [one.name for one in takes[:2]] == ["path", "checkpoint"]
    assert all(one.kind is one.KEYWORD_ONLY for one in takes[2:]), "no others, which it would pass over"
    assert set(cli_recipes.EVALUATIONS[what].options) <= {one.name for one in takes}


def test_doctor_finds_this_machine_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for what in ("Python", "packages", "torch", "GPU", "codecs", "memory", "settings", "weights", "port"):
        assert what in shown


def test_doctor_finds_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str], taken_port: int) -> None:
    assert main(["doctor", "--checkpoint", str(tmp_path), "--port", str(taken_port)]) == 2
    assert "lacks locate" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert cli_doctor.free_port("127.0.0.1", taken_port).level == "note"


def test_doctor_knows_random_weights(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGNBIND_CHECKPOINT", "random:7")
    assert main(["doctor"]) == 0
    assert "random:7: random ones" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGNBIND_DEVICES", "cpu,cuda:99")
    assert main(["serve", "--port", "0"]) == 2
    assert "asks for cuda:99, but torch sees" in capsys.readouterr().err
    assert main(["doctor"]) == 2
    assert "asks for cuda:99" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"signbind {metadata.version('signbind')}\n"


def test_cores_follow_a_containers_share(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text("100000 100000")
    assert usable_cores(quota) == 1
    quota.write_text("max 100000")
    assert usable_cores(quota) == usable_cores(tmp_path / "none") >= 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_bench_measures_a_real_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "clip.mp4"
    assert main(["synth", "I want water.", "-o", str(clip)]) == 0
    assert main(["bench", "live", str(clip), "--seconds", "5", "--checkpoint", "random:0", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(GOALS) <= set(figures)
    assert 0 < figures["cpu_share"] < 1 and figures["cpu_s_per_media_s"] > 0
    assert figures["drafts"] > 0 and figures["compute_lag_ms_p50"] > 0
    assert figures["captions"] > 0 and figures["final_caption_ms_p95"] > 0


def test_synth_writes_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "Hello.", "-o", str(tmp_path / "hello.mp4")]) == 0
    assert (tmp_path / "hello.mp4").stat().st_size > 10_000
    assert "hello.mp4" in capsys.readouterr().out
