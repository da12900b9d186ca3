"""The heads of edits learn what an edit is from a gloss and its neighbours, and say nothing that a gloss may not be."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.deep_head import DeepHead, DeepSize
from models.edit_heads import EditHeads, Weights
from models.edit_space import EditSpace
from models.edits import Edit, EditVocabulary
from models.training.deep_labels import begin_near, train_deep
from models.training.edit_labels import vocabulary_of
from models.training.edit_rows import WIDTH, Placed, allowed, groups_of, placed, space_of, vectors_of
from models.training.loop import Schedule
from models.training.wide_labels import train_wide
from models.wide_head import FAINT, FLOOR, LEVELS, STATE, VERBS, WideHead, begin, say, turned

SAID, LEFT_OUT = Edit(), Edit(whole="")
THE, PLURAL = Edit(("the",)), Edit(form="s")
WORDS = ("VOTE", "REPORT", "TOWN", "RULE", "LAW")
ROWS = [
    *((["SEE", word], [SAID, THE, LEFT_OUT]) for word in WORDS),
    *((["MANY", word], [SAID, PLURAL, LEFT_OUT]) for word in WORDS),
] * 6
FIRST = 100
Voice = Callable[[list[str]], str]


@pytest.fixture(scope="module")
def vocabulary() -> EditVocabulary:
    return vocabulary_of(ROWS, FIRST, {})


@pytest.fixture(scope="module")
def space(vocabulary: EditVocabulary) -> EditSpace:
    return space_of(placed(ROWS, vocabulary), vocabulary)


@pytest.fixture(scope="module")
def wide(space: EditSpace) -> WideHead:
    return train_wide(placed(ROWS, space.edits), space, bits=16, epochs=12)


@pytest.fixture(scope="module")
def deep(space: EditSpace, tmp_path_factory: pytest.TempPathFactory) -> DeepHead:
    return learned(placed(ROWS, space.edits), space, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def back(space: EditSpace, tmp_path_factory: pytest.TempPathFactory) -> DeepHead:
    lines = [turned(*line) for line in placed(ROWS, space.edits)]
    return learned(lines, space, tmp_path_factory.mktemp("runs"))


def learned(lines: Placed, space: EditSpace, folder: Path) -> DeepHead:
    schedule = Schedule(0.06, 4e-3, warmup_minutes=0.001, average_decay=0.9, clock=time.process_time)
    size = DeepSize(width=16, gloss=16, label=8, word=8, inner=24)
    return train_deep(lines, space, schedule=schedule, name="deep", size=size, folder=folder)


def written(heads: EditHeads, glosses: list[str]) -> str:
    """Label by label, the best one each."""
    edits = heads.space.edits
    beside = heads.beside([glosses], 1)
    ids = torch.tensor([[1]])
    for step in range(len(glosses) + 1):
        ids = torch.cat([ids, beside(ids, step).argmax(1, keepdim=True) + edits.first_label], 1)
    return edits.text(glosses, ids[0, 1:].tolist())


def voices(space: EditSpace, wide: WideHead, deep: DeepHead) -> list[EditHeads]:
    parts = (Weights(wide=1.0, deep=0.0), Weights(wide=0.0, deep=1.0), Weights())
    return [EditHeads(space, wide, (deep,), weights=weights) for weights in parts]


def test_neighbours_tell_what_a_gloss_becomes(space: EditSpace, wide: WideHead, deep: DeepHead) -> None:
    for heads in voices(space, wide, deep):
        assert written(heads, ["SEE", "TOWN"]) == "see the town"
        assert written(heads, ["MANY", "TOWN"]) == "many towns"


def test_a_gloss_never_met_goes_by_its_neighbours(space: EditSpace, wide: WideHead, deep: DeepHead) -> None:
    for heads in voices(space, wide, deep):
        assert written(heads, ["SEE", "TREE"]) == "see the tree"
        assert written(heads, ["MANY", "TREE"]) == "many trees"


def test_words_said_before_are_heard(space: EditSpace) -> None:
    state = np.zeros(STATE, np.uint32)
    kinds = space.places([["SEE", "TOWN"]]).types
    begin(state)
    labels = [space.edits.labels.index(edit) for edit in (SAID, THE)]
    for kind, label in zip(kinds, labels, strict=False):
        assert say(state, kind, label, space.choices(), VERBS) >= 0
    names = space._words[kinds[1]]
    assert state[5] in names  # town
    assert state[:2].tolist() == [labels[1] + 1, labels[0] + 1]
    assert state[7] in space._words[kinds[0]]  # see, before "the"


def test_probabilities_are_of_the_edits_that_a_gloss_may_have(space: EditSpace, wide: WideHead) -> None:
    narrow = EditSpace(
        space.edits, np.eye(*space.may.shape).astype(bool) | (np.arange(space.may.shape[1]) == 3), space.groups
    )
    places = narrow.places([["SEE", "TOWN"]])
    found = wide.log_probs(places, np.arange(3), np.zeros((3, STATE), np.uint32), narrow.choices(), space.may.shape[1])
    may = narrow.may[narrow.gloss_ids(places.types)]
    assert np.exp(np.where(may, found, -np.inf)).sum(1) == pytest.approx(1.0, abs=1e-4)
    assert (found[~may] == FLOOR).all()


def test_seldom_glosses_may_have_the_common_labels_and_others_what_they_had(vocabulary: EditVocabulary) -> None:
    rows = [*placed(ROWS, vocabulary), *([(["AND"], placed([(["SEE"], [SAID, LEFT_OUT])], vocabulary)[0][1])] * 200)]
    known = EditVocabulary((*vocabulary.glosses, "AND"), vocabulary.labels, FIRST)
    may = allowed(rows, known)
    assert may[len(vocabulary.glosses)].sum() == 1
    assert may[known.gloss_ids(["TOWN"])[0] - FIRST].all()
    assert may[0].sum() == 1  # the end is never anything but left out here


def test_glosses_of_a_kind_are_one_group() -> None:
    verbs, nouns = [f"V{n}A" for n in range(60)], [f"N{n}A" for n in range(60)]
    lines = [([verb, noun], [SAID, THE, LEFT_OUT]) for n, verb in enumerate(verbs) for noun in nouns[n % 7 :: 7]]
    known = vocabulary_of(lines, FIRST, {})
    coarse = groups_of(vectors_of(placed(lines, known), known))[0]
    of = {gloss: coarse[place] for place, gloss in enumerate(known.glosses)}
    assert len(lines) > WIDTH
    assert not {of[one] for one in verbs} & {of[one] for one in nouns}


def test_a_head_twice_says_what_it_says_alone(space: EditSpace, wide: WideHead, deep: DeepHead) -> None:
    once, twice = (EditHeads(space, wide, (deep,) * count).beside([["SEE", "TOWN"]], 1) for count in (1, 2))
    ids = torch.tensor([[1]])
    torch.testing.assert_close(once(ids, 0), twice(ids, 0))


def test_two_heads_count_alike(space: EditSpace, wide: WideHead, deep: DeepHead, back: DeepHead) -> None:
    ids, line = torch.tensor([[1]]), [["MANY", "TREE"]]
    only = Weights(0.0, 0.0, 1.0, 0.0)
    first, second, both = (
        EditHeads(space, wide, deeps, weights=only).beside(line, 1)(ids, 0)
        for deeps in ((deep,), (back,), (deep, back))
    )
    assert not torch.allclose(first, second, atol=0.1)
    torch.testing.assert_close(both, (first + second) / 2)


def test_a_line_is_turned_but_for_its_end() -> None:
    assert turned(["A", "B", "C"], [1, 2, 3, 9]) == (["C", "B", "A"], [3, 2, 1, 9])
    assert turned([], [9]) == ([], [9])


def test_what_reads_from_the_end_knows_the_right_answer(space: EditSpace, wide: WideHead, back: DeepHead) -> None:
    the, said, out = (space.edits.labels.index(edit) for edit in (THE, SAID, LEFT_OUT))
    rows = [["SEE", "TOWN"], ["MANY", "LAW", "SEE", "TOWN"]]
    answers = [[[said, the, out], [said, said, out]], [[said, said, said, the, out]]]
    heads = EditHeads(space, wide, back=back, weights=Weights(back=0.5))
    (right, wrong), [long] = heads.backwards(rows, answers)
    assert right > wrong
    heard = EditHeads(space, wide, (back,), weights=Weights(0.0, 0.0, 1.0, 0.0))
    for row, answer, found in ((rows[0], answers[0][0], right), (rows[1], answers[1][0], long)):
        glosses, labels = turned(row, answer)  # label by label, as a head that reads forward hears it
        beside, ids = (
            heard.beside([glosses], 1),
            torch.tensor([[1, *(one + space.edits.first_label for one in labels)]]),
        )
        steps = [float(beside(ids[:, : step + 1], step)[0, label]) for step, label in enumerate(labels)]
        assert found == pytest.approx(0.5 * sum(steps) / len(steps), abs=1e-4)
    assert EditHeads(space, wide).backwards(rows, answers) == [[0.0, 0.0], [0.0]]


def test_seldom_glosses_begin_near_their_like(space: EditSpace) -> None:
    torch.manual_seed(0)
    head = DeepHead(torch.from_numpy(space.may), DeepSize(width=16, gloss=24, label=8, word=8, inner=24))
    vectors = np.zeros((len(space.may), 16), np.float32)
    vectors[3], vectors[4] = 0.25, -0.25
    begin_near(head, vectors)
    table = head.gloss.weight.detach()
    assert float(table[3, :16].mean()) == pytest.approx(0.5, abs=0.15)
    assert float(table[4, :16].mean()) == pytest.approx(-0.5, abs=0.15)
    assert float(table[5:].std()) == pytest.approx(0.1, abs=0.03)


def test_a_sparse_head_lacks_what_is_faint_alone(wide: WideHead, tmp_path: Path) -> None:
    sparse = wide.sparse()
    gone, most = sparse.table == 0, np.quantile(np.abs(wide.table), 0.9999)
    assert (sparse.table[~gone] == wide.table[~gone]).all() and not gone.all()
    assert np.abs(wide.table[gone]).max() <= (FAINT + 0.5) * most / LEVELS < np.abs(wide.table[~gone]).min()
    wide.save(tmp_path / "whole")
    sparse.save(tmp_path / "sparse")
    assert (tmp_path / "sparse").stat().st_size < (tmp_path / "whole").stat().st_size


def test_the_heads_come_back_from_their_folder(
    space: EditSpace, wide: WideHead, deep: DeepHead, back: DeepHead, tmp_path: Path
) -> None:
    heads = EditHeads(space, wide, (deep, deep), back, Weights(0.1, 0.5, 0.5, 0.0, 0.3))
    heads.save(tmp_path)
    found = EditHeads.load(tmp_path, space.edits)
    assert found is not None
    assert found.weights == heads.weights
    most = np.abs(found.wide.table).max()  # the few weights beyond it are cut, the others off by half a level
    np.testing.assert_allclose(found.wide.table, wide.table.clip(-most, most), atol=0.501 * most / LEVELS)
    ids = torch.tensor([[1]])
    for line in (["SEE", "TOWN"], ["MANY", "TREE"]):
        torch.testing.assert_close(
            found.beside([line], 1)(ids, 0), heads.beside([line], 1)(ids, 0), atol=0.1, rtol=0.05
        )
    line, answers = [["SEE", "TOWN"]], [[[0, 1, 2], [1, 1, 1]]]
    np.testing.assert_allclose(found.backwards(line, answers), heads.backwards(line, answers), atol=0.1)
    assert EditHeads.load(tmp_path / "none", space.edits) is None
