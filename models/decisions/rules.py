"""A rule's slope and offsets, by a ridge logistic regression on validation patients.

Minimized over slope a and offsets b_1..b_J, with weights w (`ValidationPatches.weight_by_group_N`, P in all):

    sum_n w_n log(1 + exp(-(2 y_n - 1) (a z_n + b(t_n)))) + ridge / 2 ((a - 1)² + sum_j b_j² / J)

A large ridge leaves `plain` (a = 1, b = 0). Many patients make it the maximum of the weighted likelihood.
scikit-learn's LogisticRegression draws all coefficients to 0 and knows no offset of which the coefficient is
given, so that it cannot draw the slope to 1; the same convex function goes to scipy's trust region instead.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.decisions.patches import ValidationPatches
from models.networks.card import Rule
from models.networks.decision import sigmoid
from patching.errors import AlgorithmError

_OUTER = 0.05
"""Share of the weight beyond the first and the last knot each."""


def fit_rule(
    rule: Rule, patches: ValidationPatches, *, ridge: float, knots: int
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Slope, offsets and knots of a rule other than `plain` (models.networks.card.DecisionCard).

    Raises:
        AlgorithmError: the slope is not positive.
        ConfigError: there are no groups.
    """
    places = _knots(rule, patches, knots)
    basis_NJ = _basis(rule, patches.tissue_N, places)
    slope, *offsets = _minimized(
        np.column_stack([patches.logit_N, basis_NJ]), patches.label_N, patches.weight_by_group_N, ridge
    )
    if slope <= 0:
        raise AlgorithmError(
            has=f"a slope of {slope:.3g}: on validation, patches of the same tissue are the less often tumor "
            "the more the network says so",
            needs="a network that knows something beside the tissue fraction",
            do="train longer or with other settings, or decide by the rule plain",
        )
    return slope, tuple(offsets), places


def _knots(rule: Rule, patches: ValidationPatches, count: int) -> tuple[float, ...]:
    """Of `by_tissue` at quantiles of the weighted patches, so that every one has patches around it."""
    if rule == "threshold":
        return ()
    if rule == "by_attribute":
        return () if patches.above is None else (patches.above,)
    levels = np.linspace(_OUTER, 1 - _OUTER, count)
    # Half of the weight lies on either side of the attribute's threshold: two knots at least are apart.
    found = np.quantile(patches.tissue_N, levels, weights=patches.weight_by_group_N, method="inverted_cdf")
    return tuple(np.unique(found).tolist())


def _basis(rule: Rule, tissue_N: NDArray[np.float64], knots: tuple[float, ...]) -> NDArray[np.float64]:
    """What every offset adds to a patch's log-odds, [N, J]; rows sum to 1."""
    if rule == "by_attribute":
        above_N = tissue_N > knots[0]
        return np.stack([~above_N, above_N], axis=1).astype(np.float64)
    if rule == "by_tissue":
        return np.stack([np.interp(tissue_N, knots, unit_J) for unit_J in np.eye(len(knots))], axis=1)
    return np.ones((len(tissue_N), 1))


def _minimized(
    design_NC: NDArray[np.float64],
    label_N: NDArray[np.int64],
    weight_N: NDArray[np.float64],
    ridge: float,
) -> list[float]:
    """Coefficients [C], the slope first."""
    sign_N = 2.0 * label_N - 1.0
    plain_C = np.eye(design_NC.shape[1])[0]
    penalty_C = ridge * np.where(plain_C > 0, 1.0, 1.0 / (len(plain_C) - 1))

    def loss(theta_C: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin_N, away_C = sign_N * (design_NC @ theta_C), theta_C - plain_C
        value = weight_N @ np.logaddexp(0.0, -margin_N) + 0.5 * penalty_C @ away_C**2
        slope_N = -weight_N * sign_N * sigmoid(-margin_N)
        return float(value), design_NC.T @ slope_N + penalty_C * away_C

    def curvature(theta_C: NDArray[np.float64]) -> NDArray[np.float64]:
        probability_N = sigmoid(design_NC @ theta_C)
        spread_N = weight_N * probability_N * (1 - probability_N)
        return (design_NC.T * spread_N) @ design_NC + np.diag(penalty_C)

    found: Any = minimize(
        loss, plain_C, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-9}
    )
    return [float(value) for value in found.x]
