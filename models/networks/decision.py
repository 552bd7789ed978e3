"""From a network's output to a verdict: the one place that evaluation, serving and slide prediction share.

docs/decision.md has the formula. Fitted is the decision in models.decisions.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.networks.card import DecisionCard
from patching.errors import ConfigError

_BY_TISSUE = ("by_attribute", "by_tissue")
_LEAST = float(np.finfo(np.float32).tiny)
"""Smaller probabilities count as this one, so that log-odds stay finite: within ±87.4."""


def needs_tissue(decision: DecisionCard) -> bool:
    """Whether a patch without tissue fraction gets no verdict."""
    return decision.rule in _BY_TISSUE


def network_logit(probability_N2: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The network's own log-odds of class 1, log(p1 / p0), [N].

    Positive exactly where the probability of class 1 exceeds 0.5: where both differ by less than their type's
    last digit, they count as equal.

    Args:
        probability_N2: of both classes, as the softmax gives them: the smaller one has digits that 1 minus
            the larger one lacks.
    """
    log_N2 = np.log(np.maximum(probability_N2.astype(np.float64), _LEAST))
    logit_N = log_N2[:, 1] - log_N2[:, 0]
    probable_N = probability_N2[:, 1] > 0.5
    above_N, below_N = np.maximum(logit_N, np.finfo(np.float32).eps), np.minimum(logit_N, 0.0)
    signed_N: NDArray[np.float64] = np.where(probable_N, above_N, below_N)
    return signed_N


def ruled(
    decision: DecisionCard, logit_N: ArrayLike, tissue_fraction_N: ArrayLike | None = None
) -> NDArray[np.float64]:
    """The rule's log-odds slope * z + offset(t), before calibration, [N]; tumor by the rule where positive.

    Raises:
        ConfigError: as `told`.
    """
    score_N = np.asarray(logit_N, dtype=np.float64)
    if decision.rule == "plain":
        return score_N
    return decision.slope * score_N + _offsets(decision, _required(decision, score_N, tissue_fraction_N))


def told(
    decision: DecisionCard, logit_N: ArrayLike, tissue_fraction_N: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probability of class 1 (tumor), by rule and calibration, and class of every patch of two classes, [N].

    The class is 1 where the probability exceeds the threshold. At the plain threshold of 0.5 a calibration
    changes no class.

    Args:
        decision: of the model's card.
        logit_N: `network_logit` of the network.
        tissue_fraction_N: of every patch, as the card's detector finds it; may be left out where the rule
            does not ask for it (`needs_tissue`).

    Raises:
        ConfigError: the rule needs a tissue fraction, and it is missing (None, or NaN of some patches).
    """
    score_N = ruled(decision, logit_N, tissue_fraction_N)
    if decision.calibration is not None:
        score_N = score_N / decision.calibration.temperature
    probability_N = sigmoid(score_N)
    return probability_N, (probability_N > decision.threshold).astype(np.int64)


def verdicts(
    decision: DecisionCard,
    probability_NK: NDArray[np.floating[Any]],
    tissue_fraction_N: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Told probability and class of every patch, both [N], of the network's own probabilities.

    With two classes, see `told`. With more, the class is the one of the largest probability, the first of
    equals, and the probability is its own: no other rule than `plain` is fitted then.

    Raises:
        ConfigError: as `told`.
    """
    if probability_NK.shape[1] == 2:
        return told(decision, network_logit(probability_NK), tissue_fraction_N)
    return probability_NK.max(axis=1).astype(np.float64), probability_NK.argmax(axis=1).astype(np.int64)


def sigmoid(logit_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-logit)), without overflow."""
    shrunk_N = np.exp(-np.abs(logit_N))
    return np.where(logit_N >= 0, 1.0, shrunk_N) / (1.0 + shrunk_N)


def _required(
    decision: DecisionCard, score_N: NDArray[np.float64], tissue_fraction_N: ArrayLike | None
) -> NDArray[np.float64]:
    """Tissue fractions that the rule may use; NaN where it uses none."""
    if not needs_tissue(decision):
        return np.full(score_N.shape, np.nan)
    tissue_N = np.full(score_N.shape, np.nan)
    if tissue_fraction_N is not None:
        tissue_N[:] = np.asarray(tissue_fraction_N, dtype=np.float64)
    if missing := int(np.isnan(tissue_N).sum()):
        raise ConfigError(
            has=f"{missing} of {len(tissue_N)} patches without a tissue fraction",
            needs=f"one of every patch, as the model's own tissue detector finds it on the slide: the model "
            f"decides by the rule {decision.rule}",
            do="give the column tissue_fraction, predict whole slides, or train with `rule: plain`",
        )
    return tissue_N


def _offsets(decision: DecisionCard, tissue_N: NDArray[np.float64]) -> NDArray[np.float64]:
    if decision.rule == "by_attribute":
        below, above = decision.offsets
        return np.where(tissue_N > decision.knots[0], above, below)
    if decision.rule == "by_tissue":
        return np.interp(tissue_N, decision.knots, decision.offsets)
    return np.full(tissue_N.shape, decision.offsets[0])
