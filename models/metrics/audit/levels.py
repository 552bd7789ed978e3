"""The level of a slide: what its patches share of a measure at equal tissue and label.

A tint, a focus or a stain belongs to a slide; the look of tumor belongs to its tumor patches. A slide's mean
holds both, for slides differ in how much tumor and tissue they hold. Here it is freed of that.
"""

import numpy as np
from numpy.typing import NDArray

from models.metrics.accuracy import ratio


def slide_levels(
    value_N: NDArray[np.float64],
    label_N: NDArray[np.int64],
    stratum_N: NDArray[np.int64],
    slide_N: NDArray[np.int64],
    known_N: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Level of every patch's slide, [N]; NaN where no patch of the slide has a value.

    The mean over the slide's patches, less what label and stratum give within slides (a linear model with a
    constant for every slide, the analysis of covariance). Where no slide has both labels, the label's part
    cannot be told from the slides', and stays in their levels.

    What label and stratum give is estimated on `known_N` alone. It is taken off by every slide's own shares
    of label 1 and of the strata, those of other slides too: a test slide's level uses its labels, to be freed
    of them. It uses no prediction, and errors are compared at equal label. Where label 1 gives something else
    on a test slide than on the known ones, the difference times the slide's share of it stays in the level.

    Args:
        value_N: the measure; NaN where there is none.
        label_N: 0 or 1.
        stratum_N: of tissue, from 0 on.
        slide_N: number of every patch's slide, from 0 on.
            known_N: patches on which the effects of label and stratum are estimated: those of training.
    """
    finite_N = np.isfinite(value_N)
    n_slides = int(slide_N.max(initial=-1)) + 1
    mean_J, share_JD = _slide_means(value_N, label_N, stratum_N, slide_N, finite_N, n_slides)
    effect_D = _within_slides(value_N, label_N, stratum_N, slide_N, finite_N & known_N, n_slides)
    level_J: NDArray[np.float64] = mean_J - share_JD @ effect_D
    return level_J[slide_N]


def _slide_means(
    value_N: NDArray[np.float64],
    label_N: NDArray[np.int64],
    stratum_N: NDArray[np.int64],
    slide_N: NDArray[np.int64],
    chosen_N: NDArray[np.bool_],
    n_slides: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every slide's mean value, [J], and its shares of each stratum and of label 1, [J, S + 1]."""
    n_strata = int(stratum_N.max(initial=0)) + 1
    slide_M, label_M = slide_N[chosen_N], label_N[chosen_N]
    count_J = np.bincount(slide_M, minlength=n_slides)
    sums_J = np.bincount(slide_M, weights=value_N[chosen_N], minlength=n_slides)
    cells = np.bincount(slide_M * n_strata + stratum_N[chosen_N], minlength=n_slides * n_strata)
    tumor_J = np.bincount(slide_M, weights=label_M, minlength=n_slides)
    counts_JD = np.column_stack([cells.reshape(n_slides, n_strata), tumor_J])
    return ratio(sums_J, count_J), np.nan_to_num(ratio(counts_JD, count_J[:, None]))


def _within_slides(
    value_N: NDArray[np.float64],
    label_N: NDArray[np.int64],
    stratum_N: NDArray[np.int64],
    slide_N: NDArray[np.int64],
    chosen_N: NDArray[np.bool_],
    n_slides: int,
) -> NDArray[np.float64]:
    """What each stratum and label 1 add to the value within a slide, [S + 1], by least squares."""
    mean_J, share_JD = _slide_means(value_N, label_N, stratum_N, slide_N, chosen_N, n_slides)
    n_strata = share_JD.shape[1] - 1
    stratum_M, label_M = stratum_N[chosen_N], label_N[chosen_N]
    count_J = np.bincount(slide_N[chosen_N], minlength=n_slides)
    tumor_S = np.bincount(stratum_M, weights=label_M, minlength=n_strata)
    counts_D = np.append(np.bincount(stratum_M, minlength=n_strata), label_M.sum()).astype(np.float64)
    squares_DD: NDArray[np.float64] = np.diag(counts_D)
    squares_DD[-1, :-1] = squares_DD[:-1, -1] = tumor_S
    between_DD: NDArray[np.float64] = share_JD.T @ (count_J[:, None] * share_JD)
    centered_M = value_N[chosen_N] - mean_J[slide_N[chosen_N]]
    own_S = np.bincount(stratum_M, weights=centered_M, minlength=n_strata)
    products_D = np.asarray(np.append(own_S, float(centered_M @ label_M)), dtype=np.float64)
    inverse_DD = np.asarray(np.linalg.pinv(squares_DD - between_DD, hermitian=True), dtype=np.float64)
    effect_D: NDArray[np.float64] = inverse_DD @ products_D
    return effect_D
