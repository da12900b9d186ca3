"""The paper's tables: a silenced part has no influence, only what a variant trains learns, and a table is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import FusionConfig
from models.hearing import Experts
from models.layout import MANUAL, MOUTH
from models.training import feature_sets, tables_stage
from models.training.ablations import VARIANTS, Ablated
from models.training.feature_clips import Batch, FeatureClip, FeatureStore, Targets
from models.training.feature_sets import Source
from models.vocabulary import BLANK, FINGERSPELLING

BUNDLED = Path(__file__).parents[3] / "models" / "checkpoints" / "compact"
STEPS = 40


@pytest.fixture(scope="module")
def targets() -> Targets:
    return Targets.of(feature_sets.glosses_of(BUNDLED / "glosses.txt"))


def clips(targets: Targets, count: int) -> FeatureStore:
    """Clips of noise that sign one gloss and spell one letter."""
    rng = np.random.default_rng(count)
    gloss = targets.glosses.tokens[0]
    symbols = ("",) * 5 + (gloss,) * 10 + ("",) * 5 + ("#A",) * 10 + ("",) * 10
    made = [
        FeatureClip(
            rng.standard_normal((STEPS, MANUAL)).astype(np.float32),
            rng.standard_normal((STEPS, MOUTH)).astype(np.float32),
            np.repeat(np.array([2, 0, 1, 2], np.int8), [5, 10, 15, 10]), symbols, (gloss, "#A"), ("AH",), "A word.",
        )
        for _ in range(count)
    ]  # fmt: skip
    return FeatureStore.of(made, targets)


def ablated(name: str, targets: Targets) -> Ablated:
    (variant,) = (one for one in VARIANTS if one.name == name)
    config = FusionConfig(sign_vocabulary=targets.glosses.size, mode=variant.mode)
    torch.manual_seed(0)
    made = Ablated(variant, Experts.load(BUNDLED), config)
    torch.nn.init.normal_(made.fusion.head.weight, std=0.05)
    return made


def batch_of(targets: Targets) -> Batch:
    return next(feature_sets.validation(Source.of(clips(targets, 3), "fusion", targets)))


@pytest.mark.parametrize("name", ["all", "no_lips", "no_transformer", "cross"])
def test_only_silenced_lips_make_no_difference(name: str, targets: Targets) -> None:
    module, batch = ablated(name, targets).eval(), batch_of(targets)
    with torch.inference_mode():
        shown = module(batch).log_probs
        batch.mouth.neg_()
        changed = not torch.equal(shown, module(batch).log_probs)
    assert changed == (name != "no_lips")


def test_without_fingerspelling_no_letter_is_likely(targets: Targets) -> None:
    batch, letters = batch_of(targets), slice(targets.glosses.size, None)
    shares = {}
    for name in ("all", "no_fingerspelling"):
        module = ablated(name, targets).eval()
        torch.nn.init.zeros_(module.fusion.head.weight)
        with torch.no_grad():  # noise is rest to the bundled weights: here it is spelled, and letters are all there is
            module.router.head.bias[FINGERSPELLING] += 50
            module.fingerspelling.head.bias[BLANK] -= 50
        with torch.inference_mode():
            shares[name] = float(module(batch).log_probs[..., letters].exp().sum(-1).max())
    assert shares["no_fingerspelling"] < 0.01 < 0.99 < shares["all"]


def test_without_routing_the_router_is_not_heard(targets: Targets) -> None:
    module, batch = ablated("no_routing", targets).eval(), batch_of(targets)
    with torch.inference_mode():
        before = module(batch).log_probs
        module.router.head.weight.neg_()
        assert torch.equal(before, module(batch).log_probs)


@pytest.mark.parametrize(("name", "learns"), [("all", False), ("joint", True)])
def test_experts_learn_only_where_they_are_tuned(name: str, learns: bool, targets: Targets) -> None:
    module = ablated(name, targets).train()
    module(batch_of(targets)).log_probs.sum().backward()
    assert module.fusion.head.weight.grad is not None
    assert (module.sign.head.weight.grad is not None) == learns
    assert module.router.head.weight.grad is None and not module.router.training
    assert module.sign.training == learns


def test_a_table_is_made(tmp_path: Path, targets: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clips(targets, 8).save(tmp_path / "features" / "synthetic.pt")
    clips(targets, 3).save(tmp_path / "features" / "held_out.pt")
    figures: dict[str, float | str] = {}
    for name in ("all", "no_lips", "backbones"):
        figures |= tables_stage.train(
            tmp_path, BUNDLED, minutes=0.01, features=tmp_path / "features", only=name, device="cpu"
        )
    lines = (tmp_path / "runs" / "tables" / "tables.md").read_text(encoding="utf-8").splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "everything", "without lips", "without the language model: the draft",
    ]  # fmt: skip
    assert {"all_bleu4", "no_lips_gloss_wer", "no_llm_bleu4", "shared_sign_error", "separate_parameters"} <= set(
        figures
    )
    assert float(figures["separate_parameters"]) > float(figures["shared_parameters"])
