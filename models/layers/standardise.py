"""Input features to mean 0 and deviation 1, by figures measured once on the training data."""

import torch
from torch import Tensor, nn

LEAST_DEVIATION = 1e-3
LARGEST = 8.0


class Standardise(nn.Module):
    """(x - mean) / std for each channel, cut at +-8 deviations so that one wild value cannot blind the network."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Measure (..., features); a channel that never moves keeps deviation 1."""
        flat = features.reshape(-1, features.shape[-1]).to(torch.float64)
        deviation = flat.std(dim=0, correction=0)
        self.mean.copy_(flat.mean(dim=0))
        self.std.copy_(torch.where(deviation < LEAST_DEVIATION, 1.0, deviation))

    def forward(self, features: Tensor) -> Tensor:
        """Standardise (..., features)."""
        return ((features - self.mean) / self.std).clamp(-LARGEST, LARGEST)
