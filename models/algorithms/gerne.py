"""GERNE with known attributes: extrapolate from a biased to a less biased batch.

Asaad, Shadaydeh, Denzler, "Gradient Extrapolation for Debiased Representation Learning",
ICCV 2025 (arXiv 2503.13236), section 4.1 and Algorithm 1.
"""

import logging
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, FiniteFloat

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.quota import QuotaSettings
from models.algorithms.parts.sampling import GroupStreams, Quota, expected_samples
from models.groups import TrainGroups, require_every_group
from patching.errors import AlgorithmError, BetaBoundsError

logger = logging.getLogger(__name__)

_ROUNDING = 1e-9
"""A beta this close to a bound is that bound, written in decimals; of bounds above 1, relative to them."""
_RARE = 0.03
"""A share that extrapolation brought below this leaves a loss that training can make grow without end."""


class GerneSettings(QuotaSettings):
    """Settings of GERNE."""

    c: FiniteFloat = Field(default=0.5, gt=0, le=1)
    """How far the less biased batch goes from alpha (0) to uniform attributes (1)."""
    beta: FiniteFloat = 1.0
    """Extrapolation factor; -1 is class-balanced ERM, 0 trains on the less biased batch alone."""
    draws: Literal["nested", "independent"] = "nested"
    """`nested` makes B_lb from B_b by replacing samples: less variance, fewer forward passes.
    `independent` draws both, as the paper's Algorithm 1."""
    outside_bounds: Literal["error", "clamp"] = "error"
    """What happens to a beta outside the bounds."""


class Gerne(AbstractAlgorithm[TrainGroups, GerneSettings]):
    """L_ext = L_lb + beta (L_lb - L_b) = (1 + beta) L_lb - beta L_b.

    B_b has p(a|y) = alpha_ya, B_lb has p(a|y) = alpha_ya + c (1/A - alpha_ya), both uniform classes.
    A role whose coefficient is 0 (B_lb at beta = -1, B_b at beta = 0) is not forwarded at all, so
    that BatchNorm does not see it.

    Attributes:
        bounds: smallest and largest beta on these groups: `beta_bounds`, after the batches' rounding.
        beta: the one that is used.

    Raises:
        EmptyGroupError: a group without training samples.
        BetaBoundsError: beta outside the bounds, unless `outside_bounds` is `clamp`.
    """

    settings_type = GerneSettings
    view = TrainGroups

    def __init__(self, train: TrainGroups, settings: GerneSettings) -> None:
        super().__init__(train, settings)
        require_every_group(train.counts_KA)
        less_biased_KA = less_biased_distribution(train.alpha_KA, settings.c)
        self.biased = Quota(train.alpha_KA, settings.batch_size, settings.rounding)
        self.less_biased = Quota(less_biased_KA, settings.batch_size, settings.rounding)
        # Rounding always to the same integers moves the distributions, and so the bounds.
        self.bounds = -1.0, _largest_beta(self.biased.effective(), self.less_biased.effective())
        self.beta = self._bounded(self.bounds[1])
        self._warn_of_rare_groups()
        both = {"biased": -self.beta, "less_biased": 1 + self.beta}
        self._active = [coefficient != 0 for coefficient in both.values()]
        self.roles = tuple(role for role, coefficient in both.items() if coefficient != 0)
        self.coefficients = tuple(coefficient for coefficient in both.values() if coefficient != 0)

    @property
    def samples_per_step(self) -> float:
        return float(self._samples_KA().sum())

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield plans with one row of weights per role; see `draws` for how the two are coupled."""
        rng_b, rng_lb = rng.spawn(2)
        streams_b, streams_lb = GroupStreams(self.train, rng_b), GroupStreams(self.train, rng_lb)
        n_classes, nested = self.train.layout.n_classes, self.settings.draws == "nested"
        while True:
            offset_K = rng_b.random(n_classes)
            quota_b_KA = self.biased.round(offset_K)
            quota_lb_KA = self.less_biased.round(offset_K if nested else rng_lb.random(n_classes))
            kept_KA = np.minimum(quota_b_KA, quota_lb_KA) if nested else np.zeros_like(quota_b_KA)
            drawn_b = streams_b.draw(quota_b_KA)
            drawn_lb = streams_lb.draw(quota_lb_KA - kept_KA, avoid=drawn_b if nested else None)
            weights_RN = self._weights(quota_b_KA, quota_lb_KA, kept_KA)
            used_N = weights_RN.any(axis=0)
            yield BatchPlan(np.concatenate([*drawn_b, *drawn_lb])[used_N], weights_RN[:, used_N])

    def expectation(self) -> Expectation:
        p_ext_KA = self._p_ext_KA()
        by_role = {
            "biased": self.biased.p_KA,
            "less_biased": self.less_biased.p_KA,
            "ext": extrapolated_distribution(self.train.alpha_KA, self.settings.c, self.beta),
        }
        share_N = self.train.per_sample(p_ext_KA / len(p_ext_KA))
        return Expectation(share_N, self.train.per_sample(self._samples_KA()), by_role)

    def _p_ext_KA(self) -> NDArray[np.float64]:
        """p_ext of the batches as they are rounded."""
        p_KA: NDArray[np.float64] = (
            1 + self.beta
        ) * self.less_biased.effective() - self.beta * self.biased.effective()
        return p_KA

    def _weights(
        self, quota_b_KA: NDArray[np.int64], quota_lb_KA: NDArray[np.int64], kept_KA: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Rows of the active roles over B_b, then the samples of B_lb that are not kept from B_b."""
        quota_b_G, kept_G, new_G = quota_b_KA.ravel(), kept_KA.ravel(), (quota_lb_KA - kept_KA).ravel()
        weight_b_G = self.biased.sample_weight(quota_b_KA).ravel()
        weight_lb_G = self.less_biased.sample_weight(quota_lb_KA).ravel()
        is_kept = np.concatenate([np.arange(n) < kept for n, kept in zip(quota_b_G, kept_G, strict=True)])
        biased_N = [np.repeat(weight_b_G, quota_b_G), np.zeros(new_G.sum())]
        less_biased_N = [np.repeat(weight_lb_G, quota_b_G) * is_kept, np.repeat(weight_lb_G, new_G)]
        rows = zip((biased_N, less_biased_N), self._active, strict=True)
        return np.stack([np.concatenate(row_N) for row_N, active in rows if active])

    def _samples_KA(self) -> NDArray[np.float64]:
        quotas = [
            q for q, active in zip((self.biased, self.less_biased), self._active, strict=True) if active
        ]
        if self.settings.draws == "nested":
            return expected_samples(*quotas)
        return sum((expected_samples(quota) for quota in quotas), start=np.zeros_like(self.biased.p_KA))

    def _bounded(self, largest: float) -> float:
        beta = self.settings.beta
        legal = min(max(beta, -1.0), largest)
        if abs(beta - legal) <= _ROUNDING * max(1.0, abs(legal)):
            return legal
        # Ten digits: fewer may tell a bound that is refused, or two numbers as the same.
        if self.settings.outside_bounds == "error":
            raise BetaBoundsError(
                has=f"beta = {beta:.10g} at c = {self.settings.c:.10g}",
                needs=f"beta from -1 to {largest:.10g} on these groups: above, p_ext leaves [0, 1]; "
                "below -1, GERNE adds to the bias",
                do="change beta or c, or set outside_bounds: clamp",
            )
        logger.warning("beta = %.10g is outside [-1, %.10g]: clamped to %.10g", beta, largest, legal)
        return legal

    def _warn_of_rare_groups(self) -> None:
        """Tell which frequent groups the extrapolation nearly takes out of the loss."""
        p_ext_KA, uniform = self._p_ext_KA(), 1 / self.train.layout.n_attributes
        # Groups that are rare in the training split, too, are no matter of beta.
        rare_KA = (p_ext_KA < min(_RARE, uniform - _ROUNDING)) & (self.train.alpha_KA > uniform)
        if rare_KA.any():
            names = zip(self.train.layout.names, p_ext_KA.ravel(), rare_KA.ravel(), strict=True)
            logger.warning(
                "beta = %.10g is close to its bound of %.10g; training may diverge: p_ext below %g in %s",
                self.beta,
                self.bounds[1],
                _RARE,
                "; ".join(f"{name} ({max(share, 0):.3f})" for name, share, rare in names if rare),
            )


def less_biased_distribution(alpha: ArrayLike, c: float) -> NDArray[np.float64]:
    """p_lb(a|y) = alpha_ya + c (1/A - alpha_ya), [K, A] (GERNE, sec. 4.1).

    Raises:
        AlgorithmError: alpha is no conditional distribution, or c is outside (0, 1].
    """
    alpha_KA = np.asarray(alpha, dtype=np.float64)
    rows = alpha_KA.sum(axis=1) if alpha_KA.ndim == 2 else np.zeros(1)
    if not (np.allclose(rows, 1) and (alpha_KA >= 0).all()):
        raise AlgorithmError(
            has=f"alpha {alpha_KA.tolist()}",
            needs="p(a|y), shape [classes, attributes]: every row non-negative with sum 1",
            do="make it with models.groups.conditional_distribution(counts)",
        )
    if not 0 < c <= 1:
        raise AlgorithmError(has=f"c = {c:g}", needs="0 < c <= 1", do="use 0.5 or 1, as the paper does")
    less_biased_KA: NDArray[np.float64] = alpha_KA + c * (1 / alpha_KA.shape[1] - alpha_KA)
    return less_biased_KA


def extrapolated_distribution(alpha: ArrayLike, c: float, beta: float) -> NDArray[np.float64]:
    """p_ext(a|y) = alpha_ya + c (beta + 1) (1/A - alpha_ya), [K, A], on which GERNE trains in expectation.

    Within `beta_bounds` it is a distribution; outside, it has entries below 0 or above 1.

    Raises:
        AlgorithmError: alpha is no conditional distribution, or c is outside (0, 1].
    """
    alpha_KA = np.asarray(alpha, dtype=np.float64)
    return alpha_KA + (beta + 1) * (less_biased_distribution(alpha_KA, c) - alpha_KA)


def beta_bounds(alpha: ArrayLike, c: float) -> tuple[float, float]:
    """Smallest and largest beta: (-1, alpha_max / (c (alpha_max - 1/A)) - 1) (GERNE, sec. 4.1).

    The upper bound is where p_ext of the largest group reaches 0; it is infinite where every
    alpha is 1/A. The lower bound is class-balanced ERM: somewhat below it p_ext still is a
    distribution, but one more biased than the training split.

    >>> beta_min, beta_max = beta_bounds([[0.75, 0.25], [0.5, 0.5]], c=0.5)
    >>> beta_min, beta_max
    (-1.0, 5.0)

    Raises:
        AlgorithmError: alpha is no conditional distribution, or c is outside (0, 1].
    """
    alpha_KA = np.asarray(alpha, dtype=np.float64)
    return -1.0, _largest_beta(alpha_KA, less_biased_distribution(alpha_KA, c))


def _largest_beta(biased_KA: NDArray[np.float64], less_biased_KA: NDArray[np.float64]) -> float:
    # p_lb + beta (p_lb - p_b) >= 0 binds where B_lb has less of a group than B_b.
    falls = biased_KA - less_biased_KA > 1e-12
    return float(np.min(less_biased_KA[falls] / (biased_KA - less_biased_KA)[falls], initial=np.inf))
