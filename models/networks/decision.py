"""From probabilities to a verdict: the one place that evaluation, serving and slide prediction share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.networks.card import DecisionCard


def decide(decision: DecisionCard, probability_N: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Class of every patch of a model with two classes, [N]: 1 where its probability exceeds the threshold.

    At the plain threshold of 0.5 this is the class of the larger probability, class 0 where both are equal.

    Args:
        decision: of the model's card.
        probability_N: of class 1 (tumor).
    """
    return (probability_N > decision.threshold).astype(np.int64)


def verdicts(
    decision: DecisionCard, probability_NK: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probability and class of every patch, both [N].

    The probability is that of class 1 (tumor), and the class is made of it. With more than two classes, the
    class is the one of the largest probability, the first of equals, and the probability is its own.
    """
    if probability_NK.shape[1] == 2:
        probability_N = probability_NK[:, 1].astype(np.float64)
        return probability_N, decide(decision, probability_N)
    return probability_NK.max(axis=1).astype(np.float64), probability_NK.argmax(axis=1).astype(np.int64)
