"""Cross-validated answers without a network: tissue against a cut, and a linear model on statistics."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from models.data.attributes import LAYOUT, ThresholdRule
from models.metrics.shortcuts.patches import CheckedPatches

_NEVER = 1e-6
"""Shares of 0 and 1 have no log-odds: they are taken for this, and for all but this."""


@dataclass(frozen=True)
class Answers:
    """Of every patch, by a rule or model that was fitted on other patients.

    Attributes:
        score_N: above 0 where the answer is tumor.
        attribute_N: 1 where the tissue fraction exceeds the threshold of the fold's training patients.
    """

    score_N: NDArray[np.float64]
    attribute_N: NDArray[np.int64]

    @property
    def prediction_N(self) -> NDArray[np.int64]:
        return (self.score_N > 0).astype(np.int64)


def tissue_answers(
    patches: CheckedPatches,
    measure_N: NDArray[np.float64],
    fold_N: NDArray[np.int64],
    rules: Mapping[str, ThresholdRule],
) -> dict[str, Answers]:
    """Answers from one share alone, by the threshold's name: cut where class-balanced accuracy is best.

    Args:
        measure_N: the share, as every patch's tissue fraction, or its patient's mean. It is cut on the scale
            of its log-odds: between 1 % and 4 % lies 2 %, and between 99 % and 96 % lies 98 %.
    """
    score_N, odds_N = np.empty(len(measure_N)), logit(np.clip(measure_N, _NEVER, 1 - _NEVER))
    for train_N, test_N in _folds(fold_N):
        cut, sign = balanced_cut(odds_N[train_N], patches.label_N[train_N])
        score_N[test_N] = sign * (odds_N[test_N] - cut)
    every_N = np.arange(len(fold_N))
    return {
        name: Answers(score_N, attribute_FN[fold_N, every_N])
        for name, attribute_FN in _attributes(patches, fold_N, rules).items()
    }


def linear_answers(
    patches: CheckedPatches,
    label_N: NDArray[np.int64],
    fold_N: NDArray[np.int64],
    rules: Mapping[str, ThresholdRule],
    ridge: float,
) -> dict[str, Answers]:
    """Answers of a logistic regression on the patches' statistics, by the threshold's name.

    Statistics are standardized by the fold's training patients after log(1 + |s|) with the sign of s, for
    moments and energies span orders of magnitude. The four (label, attribute) groups have equal total
    weight, patches of one group equal weights.

    Args:
        label_N: the patches' labels, or permuted ones.
        ridge: the penalty is half of it times the sum of squared coefficients; the intercept has none.
    """
    compressed_NS = np.sign(patches.statistics_NS) * np.log1p(np.abs(patches.statistics_NS))
    attributes = _attributes(patches, fold_N, rules)
    score = {name: np.empty(len(label_N)) for name in rules}
    for fold, (train_N, test_N) in enumerate(_folds(fold_N)):
        train_MS, test_MS = _standardized(compressed_NS, train_N, test_N)
        for name, attribute_FN in attributes.items():
            weight_M = balanced_weights(LAYOUT.group(label_N[train_N], attribute_FN[fold, train_N]))
            score[name][test_N] = _fitted_scores(train_MS, label_N[train_N], weight_M, test_MS, ridge)
    every_N = np.arange(len(fold_N))
    return {
        name: Answers(score[name], attribute_FN[fold_N, every_N]) for name, attribute_FN in attributes.items()
    }


def balanced_cut(score_N: NDArray[np.float64], label_N: NDArray[np.int64]) -> tuple[float, int]:
    """The cut with the best class-balanced accuracy, and on which of its sides tumor is: 1 above, -1 below.

    Cuts lie midway between neighboring values; of cuts that are equally good, the lowest. A class that occurs
    alone is the answer to all that was seen.
    """
    value_V, place_N = np.unique(score_N, return_inverse=True)
    below_2V = np.stack([np.bincount(place_N[label_N == y], minlength=len(value_V)) for y in (0, 1)])
    share_2V = np.cumsum(below_2V, axis=1) / np.maximum(below_2V.sum(axis=1, keepdims=True), 1)
    # Share of label 0 under the cut, minus that of label 1: twice the balanced accuracy, less 1.
    gain_V = share_2V[0] - share_2V[1]
    best = int(np.argmax(np.abs(gain_V)))
    upper = value_V[min(best + 1, len(value_V) - 1)]
    return float((value_V[best] + upper) / 2), 1 if gain_V[best] >= 0 else -1


def balanced_weights(group_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of mean 1 under which every group that occurs weighs the same."""
    count_G = np.bincount(group_N)
    weight_N: NDArray[np.float64] = len(group_N) / ((count_G > 0).sum() * count_G[group_N])
    return weight_N


def _fitted_scores(
    train_MS: NDArray[np.float64],
    label_M: NDArray[np.int64],
    weight_M: NDArray[np.float64],
    test_MS: NDArray[np.float64],
    ridge: float,
) -> NDArray[np.float64]:
    if label_M.min() == label_M.max():
        # Of permuted labels all of one kind may be in the tested fold; what is left knows one answer.
        return np.full(len(test_MS), 2.0 * label_M[0] - 1)
    from sklearn.linear_model import LogisticRegression  # 60 MiB, which nobody else in this room needs

    # Newton's method takes a handful of steps where L-BFGS takes hundreds: statistics are nearly collinear.
    model = LogisticRegression(C=1 / ridge, solver="newton-cholesky")
    model.fit(train_MS, label_M, sample_weight=weight_M)
    scores: NDArray[np.float64] = model.decision_function(test_MS)
    return scores


def _standardized(
    values_NS: NDArray[np.float64], train_N: NDArray[np.bool_], test_N: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    train_MS = values_NS[train_N]
    mean_S = train_MS.mean(axis=0)
    varies_S = train_MS.max(axis=0) > train_MS.min(axis=0)
    spread_S = np.where(varies_S, train_MS.std(axis=0), 1)
    return (train_MS - mean_S) / spread_S, (values_NS[test_N] - mean_S) / spread_S


def _attributes(
    patches: CheckedPatches, fold_N: NDArray[np.int64], rules: Mapping[str, ThresholdRule]
) -> dict[str, NDArray[np.int64]]:
    """Attribute of every patch in every fold, [F, N], by the threshold's name."""
    tissue_N = patches.tissue_fraction_N
    return {
        name: np.stack(
            [tissue_N > rule.threshold(tissue_N[train_N]) for train_N, _ in _folds(fold_N)]
        ).astype(np.int64)
        for name, rule in rules.items()
    }


def _folds(fold_N: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Training and test patches of every fold."""
    for fold in range(int(fold_N.max()) + 1):
        yield fold_N != fold, fold_N == fold
