"""How few patients, or slides, carry the errors."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.metrics.accuracy import ratio


class Concentration(NamedTuple):
    """Where half of the errors lie.

    Attributes:
        errors, units: all errors; units with patches.
        fewest: units that hold half of the errors, those with the most errors first.
        share: of all patches, that these units hold.
        even: units that it would take if all had the same error rate.
    """

    errors: int
    units: int
    fewest: int
    share: float
    even: int

    @property
    def concentrated(self) -> bool:
        """Whether it takes at least a quarter fewer units than with one error rate for all."""
        return 4 * self.fewest <= 3 * self.even


def concentration(wrong_N: NDArray[np.bool_], unit_N: NDArray[np.int64]) -> Concentration:
    """Of N patches, whether each is wrong, and the number of its patient or slide.

    >>> concentration(np.array([1, 1, 0, 0, 1, 0], bool), np.array([0, 0, 1, 1, 2, 2]))
    Concentration(errors=3, units=3, fewest=1, share=0.3333333333333333, even=2)
    """
    count_U = np.bincount(unit_N)
    wrong_U = np.bincount(unit_N[wrong_N], minlength=len(count_U))
    order_U = np.lexsort((count_U, -wrong_U))
    fewest = _needed(wrong_U[order_U])
    return Concentration(
        errors=int(wrong_U.sum()),
        units=int((count_U > 0).sum()),
        fewest=fewest,
        share=float(ratio(count_U[order_U[:fewest]].sum(), count_U.sum())),
        even=_needed(np.sort(count_U)[::-1]) if fewest else 0,
    )


def _needed(amount_U: NDArray[np.int64]) -> int:
    """How many of these, in order, hold half of all."""
    total = amount_U.sum()
    return int(np.searchsorted(np.cumsum(amount_U), total / 2) + 1) if total else 0
