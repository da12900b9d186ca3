"""Losses and scores of the temporal networks on cases that can be counted by hand."""

import torch

from models.error_rate import ErrorRate
from models.evaluation.scores import bleu
from models.training.expert_loss import ctc, framewise, greedy, padding_mask
from models.training.feature_clips import IGNORED


def test_ctc_of_a_sure_path_is_small_and_of_an_impossible_one_nothing() -> None:
    logits = torch.full((1, 4, 3), -20.0)
    logits[0, torch.arange(4), torch.tensor([1, 0, 1, 2])] = 0.0
    sure = logits.log_softmax(-1)
    assert ctc(sure, torch.tensor([4]), [[1, 1, 2]]) < 1e-3
    assert ctc(sure, torch.tensor([4]), [[2, 1, 1]]) > 5
    assert ctc(sure, torch.tensor([4]), [[1, 1, 1]]) == 0


def test_framewise_skips_what_is_not_trained() -> None:
    log_probs = torch.tensor([[[0.9, 0.1], [0.2, 0.8]]]).log()
    assert torch.isclose(framewise(log_probs, torch.tensor([[IGNORED, 1]])), -torch.tensor(0.8).log())


def test_greedy_drops_repeats_and_blanks() -> None:
    path = torch.nn.functional.one_hot(torch.tensor([1, 1, 0, 1, 2, 2]), 3).float()
    assert greedy(path, 6) == [1, 1, 2]
    assert greedy(path, 2) == [1]


def test_padding_mask() -> None:
    assert padding_mask(torch.tensor([1, 3]), 3).tolist() == [[True, False, False], [True, True, True]]


def test_error_rate_and_bleu() -> None:
    rate = ErrorRate()
    rate.add("kitten", "sitting")
    assert (rate.edits, rate.length) == (3, 7)
    assert bleu(["I like the red house ."], ["I like the red house ."])[0] > 99.9
