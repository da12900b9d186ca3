"""The expert networks. One class; sign, fingerspelling and lips differ in config and training data."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.config import ExpertConfig
from models.layers.attention import Sight
from models.layers.encoder import EncoderState, Fresh, Kept
from models.layers.reader import Reader
from models.streaming import Window


class ExpertOutput(NamedTuple):
    """Of every step: hidden state (batch, steps, dim) and log posteriors (batch, steps, vocabulary)."""

    hidden: Tensor
    log_probs: Tensor


class Expert(Reader):
    """Features of steps -> hidden states and CTC log posteriors."""

    def __init__(self, config: ExpertConfig) -> None:
        super().__init__(config, config.in_features, config.vocabulary)
        self.config = config

    def new_state(self, slots: int, device: torch.device | None = None) -> EncoderState:
        """Nothing seen yet."""
        return self.encoder.new_state(slots, device)

    def reset(self, state: EncoderState, mask: Tensor) -> None:
        """Empty the slots where `mask` (slots,) is true."""
        state.reset(mask)

    def forward(self, features: Tensor, mask: Tensor | None = None, window: Window | None = None) -> ExpertOutput:
        """Whole sequences (batch, steps, in_features); `mask` (batch, steps) is true where there is no padding."""
        return self._output(self.encoder(self._enter(features), mask, window))

    @torch.no_grad()
    def step(self, features: Tensor, state: EncoderState, active: Tensor) -> ExpertOutput:
        """Whole chunks (slots, n * chunk, in_features); advances the slots where `active` (slots,) is true."""
        return self._output(self.encoder.step(self._enter(features), state, active))

    def advance(self, features: Tensor, sight: Sight, kept: Sequence[Kept]) -> tuple[ExpertOutput, Fresh]:
        """One chunk (slots, chunk, in_features) after what the slots remember; changes nothing in place."""
        hidden, fresh = self.encoder.advance(self._enter(features), sight, kept)
        return self._output(hidden), fresh

    def _output(self, hidden: Tensor) -> ExpertOutput:
        return ExpertOutput(hidden, self.head(hidden).float().log_softmax(dim=-1))
