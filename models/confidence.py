"""The probability that a word, a caption, is right: two small logistic models over what the translator knows of itself.

    P(right) = sigmoid(bias + sum_i weight_i (x_i - mean_i) / scale_i),   |weights| held by an L2 penalty

Probabilities among the features count as their log odds: between 0.9 and 0.99 lies as much as between 0.99 and 0.999.
A caption's chance is bent once more, by a beta calibration (Kull, Silva Filho and Flach 2017) of the chances of captions
that were not learned from.
Features are plain numbers by name (`WordFeatures`, `CaptionFeatures`); the models are fitted on held-out captions by
Newton's method and kept as JSON. Also the figures that say how good a confidence is: ECE, AUROC, risk against coverage.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.hypothesis import Hypothesis, Token
from models.prompts import Refined, RefinedWord

Floats = NDArray[np.float64]
PROBABILITIES = ("posterior", "caption_posterior", "margin", "agreement", "locator", "spelled", "token_mean", "token_least",
                 "spelled_least")  # fmt: skip
"""The features that are shares or probabilities."""
LEAST_CHANCE = 0.002
"""Probabilities nearer to 0 or 1 are this far away from it, so that log odds have an end."""
LEAST_BENT = 1e-4
"""The same, for the beta calibration."""


@dataclass(frozen=True)
class WordFeatures:
    """What is known of one word; shares and probabilities in 0..1, entropies and log-probabilities in nats.

    `posterior` is the token's (the mean of all tokens for a word of the language alone), `spelled` the probability of
    the verified spelling (1 where nothing was spelled).
    """

    posterior: float
    caption_posterior: float
    margin: float
    route_entropy: float
    gate: float
    log_prob: float
    agreement: float
    locator: float
    spelled: float
    from_sign: float
    from_spelling: float


@dataclass(frozen=True)
class CaptionFeatures:
    """What is known of one caption; units as in `WordFeatures`.

    `unsigned` is 1 where the language model's sentence was given up because it said what nobody signed, `alone` where a
    single sign or spelled word was all: such an answer says what it has to, a sentence of which one sign was read does not.
    `unread_s` is the longest stretch of signing without a token, in seconds: a sign was missed there, or nobody signs at all.
    """

    posterior: float
    margin: float
    route_entropy: float
    gate: float
    log_prob_mean: float
    log_prob_least: float
    agreement: float
    locator: float
    token_mean: float
    token_least: float
    spelled_least: float
    tokens_log: float
    unsigned: float
    alone: float
    unread_s: float


def word_features(
    hypothesis: Hypothesis, refined: Refined | None, word: RefinedWord, spelled: Mapping[int, float]
) -> WordFeatures:
    """Features of one word; `spelled` is token index -> confidence of its verified spelling."""
    posterior = hypothesis.tokens[word.token].posterior if word.token is not None else _mean(hypothesis.tokens)
    return WordFeatures(
        posterior=posterior,
        caption_posterior=hypothesis.posterior,
        margin=hypothesis.margin,
        route_entropy=_entropy(hypothesis.route),
        gate=hypothesis.alpha_mean,
        log_prob=max(-10.0, word.log_prob),
        agreement=refined.agreement if refined else 1.0,
        locator=hypothesis.locator,
        spelled=spelled.get(word.token, 1.0) if word.token is not None else 1.0,
        from_sign=float(word.source == "sign"),
        from_spelling=float(word.source == "fingerspelling"),
    )


def caption_features(
    hypothesis: Hypothesis, refined: Refined | None, spelled: Mapping[int, float], *, unsigned: bool = False
) -> CaptionFeatures:
    """Features of a whole caption; a draft has no `refined`. `unsigned`: the draft stands in a given up sentence's place."""
    logs = [max(-10.0, word.log_prob) for word in refined.words] if refined and refined.words else [0.0]
    return CaptionFeatures(
        posterior=hypothesis.posterior,
        margin=hypothesis.margin,
        route_entropy=_entropy(hypothesis.route),
        gate=hypothesis.alpha_mean,
        log_prob_mean=sum(logs) / len(logs),
        log_prob_least=min(logs),
        agreement=refined.agreement if refined else 1.0,
        locator=hypothesis.locator,
        token_mean=_mean(hypothesis.tokens),
        token_least=min((token.posterior for token in hypothesis.tokens), default=0.0),
        spelled_least=min(spelled.values(), default=1.0),
        tokens_log=math.log1p(len(hypothesis.tokens)),
        unsigned=float(unsigned),
        alone=float(len(hypothesis.tokens) == 1),
        unread_s=hypothesis.unread_ms / 1000,
    )


def _mean(tokens: Sequence[Token]) -> float:
    return sum(token.posterior for token in tokens) / len(tokens) if tokens else 0.0


def _entropy(shares: Sequence[float]) -> float:
    return -sum(share * math.log(share) for share in shares if share > 0)


@dataclass(frozen=True)
class Logistic:
    """One fitted model: names of the features in order, their mean and scale, weights, bias, and which are log odds."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    bias: float
    log_odds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = {len(self.names), len(self.mean), len(self.scale), len(self.weight)}
        if len(sizes) != 1:
            raise ValueError(f"a logistic model has one mean, scale and weight a feature, got {sizes}: fit it again")

    def probability(self, features: Mapping[str, float]) -> float:
        """P(right) in 0..1; raises ValueError when a feature is missing."""
        missing = [name for name in self.names if name not in features]
        if missing:
            raise ValueError(f"expected the feature {missing[0]!r}, got {sorted(features)}: fit the calibrator again")
        inputs = (_input(features[name], name in self.log_odds) for name in self.names)
        rows = zip(inputs, self.mean, self.scale, self.weight, strict=True)
        logit = self.bias + sum(weight * (value - mean) / scale for value, mean, scale, weight in rows)
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def _input(value: float, as_log_odds: bool) -> float:
    if not as_log_odds:
        return value
    chance = min(1 - LEAST_CHANCE, max(LEAST_CHANCE, value))
    return math.log(chance / (1 - chance))


def fit(rows: Sequence[Mapping[str, float]], right: Sequence[int], penalty: float = 1.0) -> Logistic:
    """Regularised logistic regression by Newton's method: minimises log-loss + penalty / 2 |weights|^2.

    Raises ValueError when there is nothing to learn from.
    """
    if len(rows) != len(right) or len(set(right)) < 2:
        raise ValueError(
            f"expected one label a row, right and wrong ones among them, got {len(rows)} rows and labels"
            f" {sorted(set(right))}: collect more captions"
        )
    names = tuple(sorted(rows[0]))
    log_odds = tuple(name for name in names if name in PROBABILITIES)
    raw = np.array([[_input(row[name], name in log_odds) for name in names] for row in rows], dtype=np.float64)
    mean, spread = raw.mean(0), raw.std(0)
    scale = np.where(spread > 1e-6, spread, 1.0)
    inputs = np.hstack([(raw - mean) / scale, np.ones((len(raw), 1))])
    weights = _newton(inputs, np.array(right, dtype=np.float64), penalty)
    return Logistic(
        names, tuple(mean.tolist()), tuple(scale.tolist()), tuple(weights[:-1].tolist()), float(weights[-1]), log_odds
    )


def _newton(inputs: Floats, right: Floats, penalty: float, steps: int = 50) -> Floats:
    """Weights (features + 1,) with the bias last, which is not penalised but for 1e-3 that keeps it finite."""
    ridge = np.full(inputs.shape[1], penalty)
    ridge[-1] = 1e-3
    weights = np.zeros(inputs.shape[1])
    for _ in range(steps):
        probability = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        gradient = inputs.T @ (probability - right) + ridge * weights
        curvature = (inputs * (probability * (1 - probability))[:, None]).T @ inputs + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step * min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-8:
            break
    return weights


@dataclass(frozen=True)
class Calibrator:
    """The two models of a checkpoint and the figures they were measured with."""

    word: Logistic
    caption: Logistic
    measured: Mapping[str, float] = field(default_factory=dict)
    bend: Logistic | None = None
    """Takes a caption's chance to the share that held, if the checkpoint has one."""

    def word_right(self, features: WordFeatures) -> float:
        return self.word.probability(vars(features))

    def caption_right(self, features: CaptionFeatures) -> float:
        return bent(self.bend, self.caption.probability(vars(features)))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Calibrator:
        """Raises ValueError with one sentence when the file is missing or holds something else."""
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            models = [_model(held[name]) for name in ("word", "caption")]
            bend = _model(held["bend"]) if held.get("bend") else None
        except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"expected a calibrator at {path}, got {type(error).__name__}; make it with `signbind train confidence`"
            ) from error
        return Calibrator(models[0], models[1], held.get("measured", {}), bend)


def _model(held: Mapping[str, Any]) -> Logistic:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in held.items()}
    return Logistic(**fields)


def fit_bend(chances: Sequence[float], right: Sequence[int]) -> Logistic:
    """The beta calibration of chances said of captions that were not learned from; it never turns their order around."""
    rows = [_sides(chance) for chance in chances]
    model = fit(rows, right)
    while falling := [name for name, weight in zip(model.names, model.weight, strict=True) if weight < 0]:
        rows = [{name: value for name, value in row.items() if name not in falling} for row in rows]
        model = fit(rows, right)
    return model


def bent(bend: Logistic | None, chance: float) -> float:
    """The chance as `bend` has it."""
    return chance if bend is None else bend.probability(_sides(chance))


def _sides(chance: float) -> dict[str, float]:
    """How far a chance is from 0 and from 1: -log(1 - p) and log p."""
    held = min(1 - LEAST_BENT, max(LEAST_BENT, chance))
    return {"from_nothing": -math.log(1 - held), "from_certainty": math.log(held)}


def expected_calibration_error(confidence: Sequence[float], right: Sequence[int], bins: int = 10) -> float:
    """ECE = sum over equally filled bins of share * |mean confidence - share right|, in 0..1."""
    order = np.argsort(np.asarray(confidence, dtype=np.float64), kind="stable")
    sure, labels = np.asarray(confidence, dtype=np.float64)[order], np.asarray(right, dtype=np.float64)[order]
    parts = [part for part in np.array_split(np.arange(len(order)), bins) if len(part)]
    return float(sum(len(part) * abs(sure[part].mean() - labels[part].mean()) for part in parts) / max(1, len(order)))


def auroc(confidence: Sequence[float], right: Sequence[int]) -> float:
    """Probability that a right one has more confidence than a wrong one (ties count half); 0.5 without both kinds."""
    sure, labels = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    good, bad = np.sort(sure[labels]), np.sort(sure[~labels])
    if not len(good) or not len(bad):
        return 0.5
    below = np.searchsorted(bad, good, "left") + np.searchsorted(bad, good, "right")
    return float(below.sum() / (2 * len(good) * len(bad)))


def risk_coverage(confidence: Sequence[float], right: Sequence[int], points: int = 10) -> list[tuple[float, float]]:
    """(share of captions shown, share of them wrong) when only the most confident are shown."""
    order = np.argsort(-np.asarray(confidence, dtype=np.float64), kind="stable")
    wrong = 1 - np.asarray(right, dtype=np.float64)[order]
    counts = (
        sorted({max(1, round(len(order) * point / points)) for point in range(1, points + 1)}) if len(order) else []
    )
    return [(count / len(order), float(wrong[:count].mean())) for count in counts]
