"""One frozen dataclass a stage: checked when made, saved as JSON beside the stage's weights."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from models.clock import CHUNK_FRAMES
from models.layout import MANUAL
from models.vocabulary import LETTERS, PHONEMES

T = TypeVar("T")

FUSION_MODES = ("gated", "cross", "concat")


def from_dict(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make a config dataclass of what JSON holds; an unknown key fails with the nearest known one."""
    assert is_dataclass(kind), kind
    known = {field.name for field in fields(kind)}
    for key in values:
        if key not in known:
            near = get_close_matches(key, sorted(known), n=1, cutoff=0.0)[0]
            raise ValueError(f"{kind.__name__} has no option {key!r}: did you mean {near!r}?")
    hints = get_type_hints(kind)
    checked = {key: _checked(f"{kind.__name__}.{key}", hints[key], value) for key, value in values.items()}
    try:
        return kind(**checked)
    except TypeError as error:
        raise ValueError(f"{kind.__name__} lacks an option that has no default: {error}") from error


def _checked(name: str, hint: Any, value: Any) -> Any:
    """`value` as the type `hint`: nested configs made, lists turned to tuples, whole numbers taken as floats."""
    if isinstance(hint, type) and is_dataclass(hint):
        return value if isinstance(value, hint) else from_dict(hint, value)
    if get_origin(hint) in (Union, UnionType):
        choices = get_args(hint)
        if value is None and type(None) in choices:
            return None
        return _checked(name, next(choice for choice in choices if choice is not type(None)), value)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_tuple_of_tuples(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ValueError(f"{name} is of type {hint.__name__}, but got {value!r}: correct the file it came from")
    return value


def _tuple_of_tuples(value: Any) -> Any:
    return tuple(_tuple_of_tuples(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, kw_only=True)
class Config:
    """What all stage configs share."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make it of a JSON object; an unknown key fails with the nearest known one."""
        return from_dict(cls, values)

    def _at_least(self, least: float, *names: str) -> None:
        for name in names:
            if getattr(self, name) < least:
                raise ValueError(f"{type(self).__name__}.{name} is at least {least}, but got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(Config):
    """The temporal network that experts, router and fusion share."""

    dim: int = 160
    layers: int = 4
    heads: int = 4
    conv_kernel: int = 15  # steps that the causal convolution sees, its own included
    expansion: int = 2  # width of each half feed-forward, in dims
    dropout: float = 0.1
    chunk: int = CHUNK_FRAMES  # steps decided together; the only look-ahead
    lookback: int = 8  # earlier chunks that attention sees

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        self._at_least(1, "dim", "layers", "heads", "conv_kernel", "expansion", "chunk", "lookback")
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim is a multiple of 2 * heads, but got dim {self.dim}, heads {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is in [0, 1), but got {self.dropout}")


@dataclass(frozen=True, kw_only=True)
class ExpertConfig(EncoderConfig):
    """Sign, fingerspelling and lips are three of these."""

    in_features: int
    vocabulary: int  # symbols of the output, blank included (Vocabulary.size)

    def __post_init__(self) -> None:
        """Refuse an expert without input or output."""
        super().__post_init__()
        self._at_least(1, "in_features")
        self._at_least(2, "vocabulary")


@dataclass(frozen=True, kw_only=True)
class RouterConfig(EncoderConfig):
    """Sign, fingerspelling or rest, for every step."""

    dim: int = 96
    layers: int = 2
    in_features: int = MANUAL
    margin: float = 0.2  # lead in probability that another route needs to take over live

    def __post_init__(self) -> None:
        """Refuse a margin under which no route could ever change."""
        super().__post_init__()
        self._at_least(1, "in_features")
        if not 0 <= self.margin < 1:
            raise ValueError(f"RouterConfig.margin is in [0, 1), but got {self.margin}")


@dataclass(frozen=True, kw_only=True)
class GateConfig(Config):
    """Alpha, the weight of the manual stream against the lips."""

    dim: int = 160
    hidden: int = 64
    bias: float = 1.0  # of the untrained gate: sigmoid(1) = 0.73 for the hands

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        self._at_least(1, "dim", "hidden")


@dataclass(frozen=True, kw_only=True)
class FusionConfig(EncoderConfig):
    """Joins the three experts; 3 layers in the compact preset, 6 in the paper's."""

    layers: int = 3
    mode: str = "gated"  # or "cross", "concat", for the ablation
    sign_dim: int = 160
    fingerspelling_dim: int = 160
    lips_dim: int = 160
    sign_vocabulary: int  # glosses + 1
    fingerspelling_vocabulary: int = len(LETTERS) + 1
    lips_vocabulary: int = len(PHONEMES) + 1
    gate_hidden: int = 64
    gate_bias: float = 1.0
    floor: float = -12.0  # log posterior of what the routed expert rules out

    def __post_init__(self) -> None:
        """Refuse an unknown mode and a floor that is no logarithm of a probability."""
        super().__post_init__()
        self._at_least(1, "sign_dim", "fingerspelling_dim", "lips_dim", "gate_hidden")
        self._at_least(2, "sign_vocabulary", "fingerspelling_vocabulary", "lips_vocabulary")
        if self.mode not in FUSION_MODES:
            raise ValueError(f"FusionConfig.mode is one of {', '.join(FUSION_MODES)}, but got {self.mode!r}")
        if self.floor >= 0:
            raise ValueError(f"FusionConfig.floor is the log of a probability, below 0, but got {self.floor}")

    @property
    def vocabulary(self) -> int:
        """Symbols of the joint output: blank, glosses, spelled letters."""
        return self.sign_vocabulary + self.fingerspelling_vocabulary - 1

    @property
    def gate(self) -> GateConfig:
        """The gate inside."""
        return GateConfig(dim=self.dim, hidden=self.gate_hidden, bias=self.gate_bias)


@dataclass(frozen=True, kw_only=True)
class BeamConfig(Config):
    """How wide the CTC prefix beam search looks."""

    width: int = 8  # prefixes that survive a step
    symbols: int = 12  # likeliest symbols tried a step
    floor: float = 1e-5  # symbols less probable than this are not tried
    sign_cost: float = 4.0  # nats that a sign costs when it begins; letters have a cost of their own
    letter_weight: float = 1.0  # how much it counts what letters cost (`letter_model.costs`); 0: not at all
    word_cost: float = 6.0  # nats that a spelled word costs when it begins, if letters cost anything

    def __post_init__(self) -> None:
        """Refuse a beam that holds nothing."""
        self._at_least(1, "width", "symbols")
        if not self.sign_cost >= 0:
            raise ValueError(f"BeamConfig.sign_cost is in nats and at least 0, but got {self.sign_cost}")
        if not self.letter_weight >= 0:
            raise ValueError(f"BeamConfig.letter_weight is a factor of at least 0, but got {self.letter_weight}")
        if not self.word_cost >= 0:
            raise ValueError(f"BeamConfig.word_cost is in nats and at least 0, but got {self.word_cost}")
        if not 0 <= self.floor < 1:
            raise ValueError(f"BeamConfig.floor is a probability in [0, 1), but got {self.floor}")
