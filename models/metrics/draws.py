"""Metrics of patients drawn with replacement, and the ends of an interval that these draws give."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from models.metrics.accuracy import ratio
from models.metrics.patients import PatientSums
from models.metrics.spread import Spread, mean_of_defined, together

_CELLS = 2**22
"""Draws times patients that are held at once: 32 MiB."""
_ENOUGH_TO_DRAW = 4
"""Patients from which on draws reach far enough: simulated, percentiles of two patients cover 0.62, of three
0.86, of four 0.92 at a level of 0.95."""


def drawn(statistics: PatientSums, n_draws: int, seed: int) -> NDArray[np.float64]:
    """Every metric of every draw, averaged over the repeats, [D, M]; NaN where undefined.

    The draws are those of the seed and of the number of patients.
    """
    rng, n_patients = np.random.default_rng(seed), len(statistics.patients)
    if not n_patients:
        return np.full((n_draws, len(statistics.names)), np.nan)
    rows = max(1, _CELLS // n_patients)
    if n_draws <= rows:
        return mean_of_defined(statistics.metrics(_kept_draws(n_patients, n_draws, seed)).swapaxes(0, 1))
    found = []
    for first in range(0, n_draws, rows):
        draws_DP = _draws(rng, n_patients, min(rows, n_draws - first))
        found.append(mean_of_defined(statistics.metrics(draws_DP).swapaxes(0, 1)))
    return np.concatenate(found)


@lru_cache(maxsize=2)
def _kept_draws(n_patients: int, n_draws: int, seed: int) -> NDArray[np.float64]:
    """Of one seed; kept, since a report asks for the same draws hundreds of times."""
    draws_DP = _draws(np.random.default_rng(seed), n_patients, n_draws)
    draws_DP.flags.writeable = False
    return draws_DP


def _draws(rng: np.random.Generator, n_patients: int, n_draws: int) -> NDArray[np.float64]:
    """How often every patient is drawn, [D, P]."""
    drawn_DP = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=n_draws)
    return drawn_DP.astype(np.float64)


def drawn_ends(
    values_D: NDArray[np.float64],
    estimate: float,
    tail: float,
    patients: float,
    trainings: Sequence[Spread],
    fewest: int = _ENOUGH_TO_DRAW,
) -> tuple[float, float]:
    """Expanded percentiles (Hesterberg 2015), stretched for other trainings; NaN where there are none.

    Percentiles of draws of n patients are as narrow as a normal interval with the variance divided by n; the
    tail is moved outwards until they are those of Student's t with n - 1. Of two or three patients even the
    outermost draws are too near: an end then is Student's t around the estimate, or theirs if further out.

    Args:
        values_D: the metric of every draw.
        estimate: on all patients.
        tail: chance beyond each end.
        patients: effective number behind the metric.
        trainings: variances of the estimate that draws of patients do not hold.
        fewest: number of patients behind the metric.
    """
    defined_D = values_D[~np.isnan(values_D)]
    if not defined_D.size or np.isnan(patients):
        return np.nan, np.nan
    inflation = patients / (patients - 1)
    own = Spread(np.array(defined_D.var() * inflation), np.array(patients - 1))
    both = together([own, *trainings])
    moved = float(ndtr(-np.sqrt(inflation) * both.quantile(tail)))
    low, high = map(float, np.quantile(defined_D, [moved, 1 - moved]))
    reach = float(both.reach(tail))
    if trainings:
        stretch = float(np.sqrt(ratio(both.variance, own.variance)))
        low, high = estimate + stretch * (low - estimate), estimate + stretch * (high - estimate)
    if own.variance == 0:
        return estimate - reach, estimate + reach
    if fewest < _ENOUGH_TO_DRAW:
        return min(low, estimate - reach), max(high, estimate + reach)
    return low, high
