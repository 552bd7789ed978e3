"""Predictive values: how often a verdict is right, at the patches' own prevalence and at a stated one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import ratio
from models.metrics.patients import PatientStatistics
from patching.errors import GroupError


def predictive_values(
    sensitivity: ArrayLike, specificity: ArrayLike, prevalence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positive and negative predictive value where a share `prevalence` of the patches holds tumor.

    Bayes' theorem (Altman and Bland, BMJ 309:102, 1994): ppv = se p / (se p + (1 - sp) (1 - p)) and
    npv = sp (1 - p) / (sp (1 - p) + (1 - se) p). NaN where no patch gets the verdict.

    >>> ppv, npv = predictive_values(0.8, 0.9, 0.1)
    >>> round(float(ppv), 4), round(float(npv), 4)
    (0.4706, 0.9759)

    Raises:
        GroupError: a prevalence that is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise GroupError(
            has=f"a prevalence of {prevalence:g}", needs="a share between 0 and 1", do="state one, as 0.1"
        )
    found, spared = np.asarray(sensitivity, np.float64), np.asarray(specificity, np.float64)
    true_positive, true_negative = found * prevalence, spared * (1 - prevalence)
    false_positive, false_negative = (1 - spared) * (1 - prevalence), (1 - found) * prevalence
    return (
        ratio(true_positive, true_positive + false_positive),
        ratio(true_negative, true_negative + false_negative),
    )


@dataclass(frozen=True)
class PredictiveStatistics:
    """Per-patient sums of both classes, for intervals of predictive values (PatientSums).

    Attributes:
        classes: sums whose groups are the labels 0 and 1.
        prevalence: share of tumor patches that `ppv_at` and `npv_at` are told for.
    """

    classes: PatientStatistics
    prevalence: float

    @property
    def patients(self) -> tuple[str, ...]:
        return self.classes.patients

    @property
    def count_PRG(self) -> NDArray[np.float64]:
        return self.classes.count_PRG

    @property
    def estimable_G(self) -> NDArray[np.bool_]:
        return self.classes.estimable_G

    @property
    def names(self) -> tuple[str, ...]:
        """Specificity and sensitivity; then predictive values, `ppv` and `npv` of the patches as they are."""
        return ("group_0", "group_1", "ppv", "npv", "ppv_at", "npv_at")

    def metrics(self, weights_DP: NDArray[np.float64], /) -> NDArray[np.float64]:
        """Every metric of every draw and repeat, [D, R, 6]; NaN where undefined, or where a class is not
        estimable.

        Args:
            weights_DP: how often every patient is in a draw.
        """
        right_DR2, count_DR2 = (
            np.tensordot(weights_DP, part_PRG, axes=1)
            for part_PRG in (self.classes.correct_PRG, self.classes.count_PRG)
        )
        wrong_DR2, share_DR2 = count_DR2 - right_DR2, ratio(right_DR2, count_DR2)
        values = (
            ratio(right_DR2[..., 1], right_DR2[..., 1] + wrong_DR2[..., 0]),
            ratio(right_DR2[..., 0], right_DR2[..., 0] + wrong_DR2[..., 1]),
            *predictive_values(share_DR2[..., 1], share_DR2[..., 0], self.prevalence),
        )
        both = self.estimable_G.all()
        found_DR6 = np.concatenate([share_DR2, np.stack(values, axis=-1)], axis=-1)
        return np.where([*self.estimable_G, *[both] * len(values)], found_DR6, np.nan)
