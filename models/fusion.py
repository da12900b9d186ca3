"""Fusion: routed hands and lips, weighed against each other, to one stream of glosses and spelled letters.

The routed expert's own log posteriors are added to the output as a prior, and the head starts at zero. So the untrained
fusion says what the routed expert says, and training learns a correction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from models.config import FusionConfig
from models.gate import Gate, entropy
from models.layers.attention import AttentionState, ChunkedAttention, Sight, sight_offline, write_ring
from models.layers.encoder import Encoder, EncoderState, Fresh, Kept
from models.streaming import StreamState, Window, chunks_of
from models.vocabulary import BLANK, FINGERSPELLING, REST, SIGN


class FusionInput(NamedTuple):
    """What the experts said of every step: (batch, steps, channels) each; routes (batch, steps, 3), one-hot or soft."""

    sign_hidden: Tensor
    sign_log_probs: Tensor
    fs_hidden: Tensor
    fs_log_probs: Tensor
    lips_hidden: Tensor
    lips_log_probs: Tensor
    routes: Tensor


class FusionOutput(NamedTuple):
    """Joint log posteriors (batch, steps, vocabulary), alpha (batch, steps), hidden (batch, steps, dim)."""

    log_probs: Tensor
    alpha: Tensor
    hidden: Tensor


class Streams(NamedTuple):
    """Both streams projected to one size, (batch, steps, dim), and their entropies (batch, steps)."""

    manual: Tensor
    lips: Tensor
    manual_entropy: Tensor
    lips_entropy: Tensor


@dataclass
class FusionState(StreamState):
    """Memory of the encoder, and of the two cross-attentions where there are any."""

    encoder: EncoderState
    crossed: list[AttentionState]


class GatedMix(nn.Module):
    """alpha * manual + (1 - alpha) * lips."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.gate = Gate(config.gate)

    def forward(self, streams: Streams) -> tuple[Tensor, Tensor]:
        """The mixture (batch, steps, dim) and alpha (batch, steps)."""
        alpha = self.gate(*streams)
        lips = streams.lips.to(streams.manual.dtype)
        return torch.lerp(lips, streams.manual, alpha[..., None].to(lips.dtype)), alpha


class ConcatMix(nn.Module):
    """Both side by side, projected: for the ablation. Alpha is one half throughout."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.join = nn.Linear(2 * config.dim, config.dim)

    def forward(self, streams: Streams) -> tuple[Tensor, Tensor]:
        """The mixture (batch, steps, dim) and alpha (batch, steps)."""
        return self.join(torch.cat((streams.manual, streams.lips), dim=-1)), _no_gate(streams)


class CrossMix(nn.Module):
    """Each stream attends to the other, and both are added: for the ablation. Alpha is one half throughout."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.manual_norm = nn.LayerNorm(config.dim)
        self.lips_norm = nn.LayerNorm(config.dim)
        self.manual_to_lips = ChunkedAttention(config)
        self.lips_to_manual = ChunkedAttention(config)

    def new_state(self, slots: int, device: torch.device | None = None) -> list[AttentionState]:
        """Two empty rings."""
        return [self.manual_to_lips.new_state(slots, device), self.lips_to_manual.new_state(slots, device)]

    def forward(self, streams: Streams, sight: Sight) -> tuple[Tensor, Tensor]:
        """Whole sequences: the mixture (batch, steps, dim) and alpha (batch, steps)."""
        manual, lips = self.manual_norm(streams.manual), self.lips_norm(streams.lips)
        added = self.manual_to_lips(manual, lips, sight) + self.lips_to_manual(lips, manual, sight)
        return streams.manual + streams.lips + added, _no_gate(streams)

    def step(
        self, streams: Streams, sight: Sight, state: list[AttentionState], seen: Tensor, active: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same for the chunk after `seen` (slots,) chunks; advances the active slots."""
        manual, lips = self.manual_norm(streams.manual), self.lips_norm(streams.lips)
        added, from_lips = self.manual_to_lips.advance(manual, lips, sight, state[0].ring)
        more, from_manual = self.lips_to_manual.advance(lips, manual, sight, state[1].ring)
        for own, fresh in zip(state, (from_lips, from_manual), strict=True):
            write_ring(own.ring, fresh, seen, active)
        return streams.manual + streams.lips + added + more, _no_gate(streams)


def _no_gate(streams: Streams) -> Tensor:
    return torch.full_like(streams.manual_entropy, 0.5)


class Fusion(nn.Module):
    """Three experts and a route -> log posteriors over blank, glosses, "#A" .. "#9"."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.from_sign = nn.Linear(config.sign_dim + config.sign_vocabulary, config.dim)
        self.from_fs = nn.Linear(config.fingerspelling_dim + config.fingerspelling_vocabulary, config.dim)
        self.from_lips = nn.Linear(config.lips_dim + config.lips_vocabulary, config.dim)
        self.mix = {"gated": GatedMix, "concat": ConcatMix, "cross": CrossMix}[config.mode](config)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(config)
        self.head = nn.Linear(config.dim, config.vocabulary)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def new_state(self, slots: int, device: torch.device | None = None) -> FusionState:
        """Nothing seen yet."""
        crossed = self.mix.new_state(slots, device) if isinstance(self.mix, CrossMix) else []
        return FusionState(self.encoder.new_state(slots, device), crossed)

    def reset(self, state: FusionState, mask: Tensor) -> None:
        """Empty the slots where `mask` (slots,) is true."""
        state.reset(mask)

    def forward(self, experts: FusionInput, mask: Tensor | None = None, window: Window | None = None) -> FusionOutput:
        """Whole sequences; `mask` (batch, steps) is true where there is no padding."""
        streams = self._streams(experts)
        if isinstance(self.mix, CrossMix):
            encoder = self.encoder
            steps = streams.manual.shape[1]
            sight = sight_offline(steps, encoder.channels, window or encoder.window, mask, streams.manual)
            mixed, alpha = self.mix(streams, sight)
        else:
            mixed, alpha = self.mix(streams)
        return self._output(experts, self.encoder(self.dropout(mixed), mask, window), alpha)

    @torch.no_grad()
    def step(self, experts: FusionInput, state: FusionState, active: Tensor) -> FusionOutput:
        """Whole chunks (slots, n * chunk, channels); advances the slots where `active` (slots,) is true."""
        chunk = self.encoder.window.chunk
        chunks = zip(*(chunks_of(tensor, chunk) for tensor in experts), strict=True)
        done = [self._chunk(FusionInput(*parts), state, active) for parts in chunks]
        return (
            done[0] if len(done) == 1 else FusionOutput(*(torch.cat(parts, dim=1) for parts in zip(*done, strict=True)))
        )

    def advance(self, experts: FusionInput, sight: Sight, kept: Sequence[Kept]) -> tuple[FusionOutput, Fresh]:
        """One chunk after what the slots remember; changes nothing in place. Not for the mode "cross"."""
        assert not isinstance(self.mix, CrossMix), "cross-attention remembers more than an encoder: use step"
        mixed, alpha = self.mix(self._streams(experts))
        hidden, fresh = self.encoder.advance(mixed, sight, kept)
        return self._output(experts, hidden, alpha), fresh

    def _chunk(self, experts: FusionInput, state: FusionState, active: Tensor) -> FusionOutput:
        streams = self._streams(experts)
        if isinstance(self.mix, CrossMix):
            encoder = self.encoder
            seen = state.encoder.seen
            mixed, alpha = self.mix.step(streams, encoder.sight(seen, streams.manual), state.crossed, seen, active)
        else:
            mixed, alpha = self.mix(streams)
        return self._output(experts, self.encoder.step(mixed, state.encoder, active), alpha)

    def _streams(self, experts: FusionInput) -> Streams:
        sign, spelled = experts.routes[..., SIGN], experts.routes[..., FINGERSPELLING]
        from_sign = self.from_sign(torch.cat((experts.sign_hidden, experts.sign_log_probs.exp()), dim=-1))
        from_fs = self.from_fs(torch.cat((experts.fs_hidden, experts.fs_log_probs.exp()), dim=-1))
        return Streams(
            manual=sign[..., None] * from_sign + spelled[..., None] * from_fs,
            lips=self.from_lips(torch.cat((experts.lips_hidden, experts.lips_log_probs.exp()), dim=-1)),
            manual_entropy=sign * entropy(experts.sign_log_probs) + spelled * entropy(experts.fs_log_probs),
            lips_entropy=entropy(experts.lips_log_probs),
        )

    def _output(self, experts: FusionInput, hidden: Tensor, alpha: Tensor) -> FusionOutput:
        logits = self.head(hidden).float() + self._prior(experts)
        return FusionOutput(logits.log_softmax(dim=-1), alpha, hidden)

    def _prior(self, experts: FusionInput) -> Tensor:
        """Log posteriors of the routed expert, set at their places in the joint vocabulary (batch, steps, vocabulary).

        Soft routes mix logarithms, so that the gradient towards a route stays bounded by the floor.
        """
        floor, glosses = self.config.floor, self.config.sign_vocabulary - 1
        letters = self.config.fingerspelling_vocabulary - 1
        sign = pad(experts.sign_log_probs.clamp(min=floor), (0, letters), value=floor)
        fs = experts.fs_log_probs.clamp(min=floor)
        spelled = torch.cat((pad(fs[..., :1], (0, glosses), value=floor), fs[..., 1:]), dim=-1)
        rest = pad(sign.new_zeros(1), (BLANK, self.config.vocabulary - BLANK - 1), value=floor)
        routes = experts.routes[..., None]
        return routes[..., SIGN, :] * sign + routes[..., FINGERSPELLING, :] * spelled + routes[..., REST, :] * rest
