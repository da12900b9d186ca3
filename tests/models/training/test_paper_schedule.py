"""The paper's schedule from end to end: a dry run, a run that is killed and goes on, two processes together."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from app.cli import main
from models.checkpoint import CheckpointError, load
from models.experts import Expert
from models.training.language_stage import Size
from models.training.paper_plan import SHARES, Origins, Sizes
from models.training.paper_ranks import Ranks
from models.training.paper_stage import Record, Wanted, check_experts, check_origins, planned, train
from models.training.paper_translate import PaperTranslator
from models.training.paper_vision import Vision
from tests.models.training import corpus_files as files

SENTENCES = [("train", "My name is Maria."), ("train", "I want water."), ("val", "My name is water.")]
TINY = replace(Sizes.tiny(), tuned=0)  # both manual experts see with the same eyes
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("corpora")
    how2sign = files.how2sign(folder / "how2sign", SENTENCES)
    chicago = files.chicago(folder / "chicago", [("train", "maria"), ("dev", "bob")])
    return [f"how2sign={how2sign}", f"chicagofswild={chicago}"]


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Origins:
    """Weights to start from, as they lie in folders of transformers; tiny and random."""
    folder = tmp_path_factory.mktemp("origins")
    for name, expert in (("dinov2", "sign"), ("vit", "lips")):
        Vision(TINY.seeing(expert)).model.save_pretrained(folder / name)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=["</s>", "<pad>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["my name is maria", "i want water"], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")
    LlamaForCausalLM(Size(width=32, inner=64, layers=1, heads=2).config(fast)).save_pretrained(folder / "llm")
    fast.save_pretrained(folder / "llm")
    return Origins(str(folder / "dinov2"), str(folder / "vit"), str(folder / "llm"))


@pytest.mark.timeout(300)
def test_a_dry_run_takes_the_whole_path(corpora: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = train(corpora, tmp_path, minutes=0.05, device="cpu", dry_run=True)
    out, said = tmp_path / "dry-run", capsys.readouterr().out
    assert set(figures) == {*SHARES, "caption"}
    assert figures["features"] == {"clips": 5.0, "of": 5.0}
    assert figures["sign"]["unseen_clips"] == 1.0 and -20 < figures["sign"]["token_accuracy"] <= 1.0
    assert {"loss_without", "loss_with"} <= set(figures["language"])
    assert figures["caption"]["clip"] == "how2sign--abtrain_0-5-rgb_front" and figures["caption"]["written"]
    for number, stage in enumerate(SHARES, start=1):
        assert re.search(rf"^{stage} \({number} of 7\) begins; left: .* min of {stage}, .* min of all$", said, re.M)
    assert set(json.loads((out / "paper.json").read_text())["done"]) == set(SHARES)
    translator = PaperTranslator.load(out, torch.device("cpu"))
    assert translator.fusion.config.sign_vocabulary == len((out / "glosses.txt").read_text().split()) + 1
    assert translator.speaker.refiner is not None and "paper" in str(translator.speaker.refiner.model.peft_config)
    (out / "fusion.json").unlink()
    with pytest.raises(CheckpointError, match="expected fusion at"):
        PaperTranslator.load(out, torch.device("cpu"))


KILLED = """
import sys
from pathlib import Path
from models.training.paper_plan import Origins
from models.training.paper_stage import Wanted, train
from tests.models.training.test_paper_schedule import TINY
data, out, origins = sys.argv[4:], Path(sys.argv[1]), Origins(*sys.argv[2].split("|"))
train(data, out, minutes=float(sys.argv[3]), device="cpu", wanted=Wanted(origins, sizes=TINY))
"""


@pytest.mark.timeout(300)
def test_a_killed_run_goes_on(
    corpora: list[str], origins: Origins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes, data = 0.06, [corpora[1], f"how2sign={_without_val(corpora[0], tmp_path)}"]
    sources = "|".join((origins.dinov2, origins.vit, origins.language))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "out"), sources, str(minutes), *data]
    seen = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as killed:
        assert killed.stdout is not None
        for line in killed.stdout:
            seen.append(line)
            if line.startswith("lips (3 of 7) begins"):
                killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL, seen
    before = _steps(tmp_path / "out", "paper_sign")
    figures = train(data, tmp_path / "out", minutes=minutes, device="cpu", wanted=Wanted(origins, sizes=TINY))
    said = capsys.readouterr().out
    assert "sign (1 of 7) is done" in said and "fingerspelling (2 of 7) is done" in said
    assert "lips (3 of 7) begins" in said and "fusion (6 of 7) begins" in said
    assert set(figures) == set(SHARES) and _steps(tmp_path / "out", "paper_sign") == before
    with (tmp_path / "out" / "runs" / "features").joinpath(_a_file(tmp_path / "out")).open("rb") as file:
        assert b"fingerspelling" not in file.read()  # the same eyes: kept once
    gone = Origins("nowhere", "nowhere", "nowhere")  # what is done needs no model any more
    assert train(data, tmp_path / "out", minutes=minutes, device="cpu", wanted=Wanted(gone, sizes=TINY)) == figures
    assert capsys.readouterr().out.count(" is done") == 7
    more = (_spent_s(tmp_path / "out", "paper_sign") + 1.0) / 60 / SHARES["sign"]  # a slow machine's step takes longer
    train(data, tmp_path / "out", minutes=more, device="cpu", wanted=Wanted(origins, sizes=TINY))
    assert _steps(tmp_path / "out", "paper_sign") > before


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["dinov2", "vit", "language"])
def test_a_missing_model_is_told_before_the_first_step(
    kind: str, corpora: list[str], origins: Origins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nowhere")
    wanted = Wanted(replace(origins, **{kind: nowhere}), sizes=TINY)
    with pytest.raises(ValueError, match=f"expected a .* at '{nowhere}', .* or name a folder that holds it") as caught:
        train(corpora, tmp_path / "out", minutes=60.0, device="cpu", wanted=wanted)
    assert "\n" not in str(caught.value) and " begins" not in capsys.readouterr().out
    assert not list((tmp_path / "out").rglob("*.ckpt"))


def test_a_language_model_without_its_weights_is_told(corpora: list[str], origins: Origins, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    for file in Path(origins.language).iterdir():
        if file.suffix != ".safetensors":
            (half / file.name).symlink_to(file)
    plan = planned(corpora, tmp_path / "out", 1.0, Ranks(), Wanted(replace(origins, language=str(half)), sizes=TINY))
    with pytest.raises(ValueError, match="expected a language model at .* cannot load it"):
        check_origins(plan, Record(tmp_path / "paper.json"))


def _without_val(named: str, folder: Path) -> Path:
    """How2Sign with its list of train alone."""
    source, target = Path(named.partition("=")[2]), folder / "train_only"
    target.mkdir()
    for name in ("how2sign_realigned_train.csv", "train_rgb_front_clips"):
        (target / name).symlink_to(source / name)
    return target


def _steps(out: Path, run: str) -> int:
    return int(torch.load(out / "runs" / f"{run}.ckpt", weights_only=True)["steps"])


def _spent_s(out: Path, run: str) -> float:
    return float(torch.load(out / "runs" / f"{run}.ckpt", weights_only=True)["spent_s"])


def _a_file(out: Path) -> str:
    return next((out / "runs" / "features").glob("how2sign*.npz")).name


@pytest.mark.timeout(120)
def test_fusion_waits_for_the_sign_expert(corpora: list[str], origins: Origins, tmp_path: Path) -> None:
    plan = planned(corpora, tmp_path, 1.0, Ranks(), Wanted(origins, sizes=TINY))
    record = Record(tmp_path / "paper.json", done={"sign": {"token_accuracy": 0.296}})
    with pytest.raises(ValueError, match=r"29\.6 % .* needs more than 30 %") as caught:
        check_experts(plan, record)
    assert "\n" not in str(caught.value)
    record.done["sign"]["token_accuracy"] = 0.31
    check_experts(plan, record)
    (tmp_path / "paper.json").write_text("{")
    with pytest.raises(ValueError, match="expected the record of a run"):
        Record.read(tmp_path / "paper.json")


def test_whole_signers_can_be_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [("train", f"word{number}") for number in range(60)]
    corpus = files.chicago(tmp_path / "chicago", words)
    how2sign = files.how2sign(tmp_path / "how2sign")
    data = [f"how2sign={how2sign}", f"chicagofswild={corpus}"]
    plan = planned(data, tmp_path / "out", 1.0, Ranks(), Wanted(split_by="signer"))
    signers = {split: {one.sample.signer for one in some} for split, some in plan.lessons.items()}
    assert signers["val"] and signers["test"] and not signers["train"] & (signers["val"] | signers["test"])
    assert "chicagofswild:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sign", "--data", "how2sign=x"], "train all"),
        (["all", "--data", "how2sign=/nowhere"], "/nowhere is no folder"),
        (["all", "--data", "how2sing=."], "NAME=DIR"),
        (["all", "--data", "how2sign=."], "how2sign_realigned_train.csv"),
        (["all", "--data", "how2sign=.", "--weights", "llama=x"], "--weights takes"),
        (["all", "--data", "how2sign=.", "--permissive-only"], "research only"),
        (["all", "--data", "how2sign=.", "--out", str(REPOSITORY / "models/checkpoints/compact")], "compact preset"),
        (["all", "--data", "how2sign=.", "--split-by", "hair"], "--split-by"),
    ],
)
def test_a_failure_is_one_sentence(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words, "--preset", "paper"]) == 2
    shown = capsys.readouterr().err
    assert said in shown and "Traceback" not in shown and len(shown.strip().splitlines()) == 1


def test_options_of_the_paper_preset_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "sign", "--data", ".", "--dry-run"]) == 2
    assert "--preset paper" in capsys.readouterr().err
    assert main(["train", "sign", "--data", ".", "--data", "."]) == 2
    assert "give the training data's" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_train_one_network(corpora: list[str], tmp_path: Path) -> None:
    data = [word for one in corpora for word in ("--data", one)]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "app.cli_run",
        "train", "all", "--preset", "paper", *data, "--dry-run", "--device", "cpu", "--out", str(tmp_path),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("sign (1 of 7) begins") == 1  # one of them speaks
    out = tmp_path / "dry-run"
    assert set(json.loads((out / "paper.json").read_text())["done"]) == set(SHARES)
    assert load(Expert, out, "sign").config.dim == Sizes.tiny().networks.dim
    assert _steps(out, "paper_fusion") > 0


TOGETHER = """
import torch
from pathlib import Path
from models.training.loop import Schedule, learn
from models.training.paper_ranks import Ranks, SharedRun, together
import sys
ranks = Ranks.begin(torch.device("cpu"))
run = SharedRun("line", torch.nn.Linear(2, 1), 0, Path(sys.argv[1]), ranks=ranks)
def batches():
    while True:
        yield torch.full((4, 2), float(1 + ranks.rank))
def loss(module, batch):
    return (module(batch) - batch.sum(1, keepdim=True)).square().mean(), {}
best = learn(run, Schedule(0.03, 1e-2, warmup_minutes=0.001, clock=ranks.clock), batches(), together(run, loss))
said = [run.steps, *(round(float(x), 5) for p in best.parameters() for x in p.flatten())]
print("said", ranks.rank, said, flush=True)
assert ranks.told(lambda: ranks.rank) == 0
assert list(ranks.share([1, 2, 3])) == [[1, 3], [2]][ranks.rank] and list(ranks.share([7])) == [7]
ranks.end()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_processes_step_and_end_together(tmp_path: Path) -> None:
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(tmp_path),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    said = dict(re.findall(r"said (\d) (\[.*?\])", done.stdout))
    assert set(said) == {"0", "1"} and said["0"] == said["1"]
    assert int(json.loads(said["0"])[0]) > 1 and (tmp_path / "line.ckpt").is_file()
