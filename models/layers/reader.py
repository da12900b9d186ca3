"""What the experts and the router are alike in: features of steps, standardised, through the temporal encoder to one head."""

from __future__ import annotations

from torch import Tensor, nn

from models.config import EncoderConfig
from models.layers.encoder import Encoder
from models.layers.standardise import Standardise


class Reader(nn.Module):
    """The parts, and the way in; what the head says, and how it is read, is each network's own."""

    def __init__(self, config: EncoderConfig, in_features: int, outputs: int) -> None:
        super().__init__()
        self.standardise = Standardise(in_features)
        self.enter = nn.Linear(in_features, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(config)
        self.head = nn.Linear(config.dim, outputs)

    def _enter(self, features: Tensor) -> Tensor:
        """(batch, steps, in_features) -> (batch, steps, dim), as the encoder takes it."""
        out: Tensor = self.dropout(self.enter(self.standardise(features)))
        return out
