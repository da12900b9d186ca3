"""The convolutional head of edits: its dropout, and that it is on disk what it is in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.deep_head import DeepHead, DeepSize, inputs, told
from models.edit_space import EditSpace
from models.edits import END_GLOSS, Edit, EditVocabulary
from models.wide_head import FLOOR, STATE

SIZE = DeepSize(width=24, gloss=16, label=4, word=8, inner=20)


@pytest.fixture
def space() -> EditSpace:
    edits = EditVocabulary((END_GLOSS, "*", "REPORT", "SEE"), (Edit(), Edit(("the",)), Edit(form="s")), 0)
    may = np.array([[1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 1]], bool)
    return EditSpace(edits, may, np.full((2, 4), -1, np.int16))


def test_a_head_decides_alike_when_loaded(space: EditSpace, tmp_path: Path) -> None:
    torch.manual_seed(0)
    head = DeepHead(torch.from_numpy(space.may), SIZE).eval()
    head.save(tmp_path / "deep.npz.xz")
    loaded = DeepHead.load(tmp_path / "deep.npz.xz", space)
    glosses, endings, real = inputs(space, space.places([["SEE", "REPORT"], ["SEE"]]))
    state = np.arange(real.numel() * STATE, dtype=np.uint32).reshape(*real.shape, STATE) % 3

    def decided(one: DeepHead) -> torch.Tensor:
        return one.decide(one.encode(glosses, endings, real), glosses, *told(state))[real]

    with torch.inference_mode():
        torch.testing.assert_close(decided(loaded), decided(head), atol=0.25, rtol=0)  # five and six bits
        barred = ~torch.from_numpy(space.may)[glosses[real]]
        assert (decided(loaded)[barred] < FLOOR / 2).all()


def test_dropout_keeps_the_mean_and_draws_anew(space: EditSpace) -> None:
    torch.manual_seed(0)
    head = DeepHead(torch.from_numpy(space.may), SIZE)
    ones = torch.ones(400, 300)
    first, second = head._drop(ones), head._drop(ones)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.01)
    assert float((first == 0).float().mean()) == pytest.approx(head.dropped, abs=0.01)
    assert not torch.equal(first, second)
    assert torch.equal(head.eval()._drop(ones), ones)
