"""A lexicon that grew: what networks and features knew of the old glosses is what they know still."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoint import save
from models.config import ExpertConfig, FusionConfig
from models.experts import Expert
from models.fusion import Fusion, FusionInput
from models.layout import MANUAL
from models.training import growth
from models.vocabulary import LETTERS, Vocabulary

OLD, NEW = Vocabulary(("BOOK", "NAME")), Vocabulary(("APPLE", "BOOK", "MILK", "NAME"))
PLACES = [0, 2, 4]
STEPS = 16


@pytest.fixture
def start(tmp_path: Path) -> Path:
    OLD.write(tmp_path / "glosses.txt")
    return tmp_path


def test_an_expert_says_of_old_glosses_what_it_said(start: Path) -> None:
    torch.manual_seed(0)
    config = ExpertConfig(in_features=MANUAL, vocabulary=OLD.size, dim=16, layers=1, heads=2)
    old = Expert(config).eval()
    save(old, config, start, "sign")
    new = growth.begin(Expert(replace(config, vocabulary=NEW.size)).eval(), start, "sign", NEW)
    features = torch.randn(1, STEPS, MANUAL)
    before, after = old(features).log_probs, new(features).log_probs
    torch.testing.assert_close(before.softmax(-1), after[..., PLACES].softmax(-1), atol=2e-3, rtol=0)
    average = new.head(torch.randn(3, 16))
    torch.testing.assert_close(average[:, 1], average[:, 3])


def test_fusion_begins_again_as_what_the_experts_say_with_the_encoder_it_had(start: Path) -> None:
    torch.manual_seed(1)
    config = FusionConfig(sign_vocabulary=OLD.size, dim=16, layers=1, heads=2)
    old = Fusion(config).eval()
    torch.nn.init.normal_(old.head.weight)
    save(old, config, start, "fusion")
    new = growth.begin(Fusion(replace(config, sign_vocabulary=NEW.size)).eval(), start, "fusion", NEW)
    heard = _heard(config)
    sign = torch.full((1, STEPS, NEW.size), -50.0)
    sign[..., PLACES] = heard.sign_log_probs
    grown = heard._replace(sign_log_probs=sign)
    torch.testing.assert_close(old(heard).hidden, new(grown).hidden, atol=2e-2, rtol=1e-2)
    says = new(grown).log_probs
    torch.testing.assert_close(says, new._prior(grown).log_softmax(-1))
    both = [*PLACES, *range(NEW.size, NEW.size + len(LETTERS))]
    torch.testing.assert_close(old._prior(heard).softmax(-1), says[..., both].softmax(-1))


def test_fusion_of_the_same_lexicon_goes_on_as_it_was(start: Path) -> None:
    config = FusionConfig(sign_vocabulary=OLD.size, dim=16, layers=1, heads=2)
    old = Fusion(config).eval()
    torch.nn.init.normal_(old.head.weight)
    save(old, config, start, "fusion")
    same = growth.begin(Fusion(config).eval(), start, "fusion", OLD)
    torch.testing.assert_close(old.head.weight, same.head.weight, atol=2e-3, rtol=1e-3)


def _heard(config: FusionConfig) -> FusionInput:
    def said(width: int) -> torch.Tensor:
        return torch.randn(1, STEPS, width).log_softmax(-1)

    return FusionInput(
        torch.randn(1, STEPS, config.sign_dim), said(config.sign_vocabulary),
        torch.randn(1, STEPS, config.fingerspelling_dim), said(config.fingerspelling_vocabulary),
        torch.randn(1, STEPS, config.lips_dim), said(config.lips_vocabulary),
        torch.randn(1, STEPS, 3).softmax(-1),
    )  # fmt: skip


def test_a_lexicon_does_not_shrink(start: Path) -> None:
    config = ExpertConfig(in_features=MANUAL, vocabulary=OLD.size, dim=16, layers=1, heads=2)
    save(Expert(config), config, start, "sign")
    with pytest.raises(ValueError, match="still holds 'NAME'"):
        growth.begin(Expert(config), start, "sign", Vocabulary(("APPLE", "BOOK")))
