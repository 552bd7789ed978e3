"""Temperature scaling on validation patients (Guo et al., ICML 2017, arXiv 1706.04599).

P(label 1) = sigmoid(score / T) is a logistic regression with slope 1 / T and no intercept, and scikit-learn
fits it as such. Its CalibratedClassifierCV(method="temperature") finds the same T, as a test checks, but
gives it away in no public place.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from patching.errors import AlgorithmError


def fitted_temperature(
    score_N: NDArray[np.float64], label_N: NDArray[np.int64], weight_N: NDArray[np.float64]
) -> float:
    """The temperature T > 0 of the largest weighted likelihood.

    Args:
        score_N: log-odds before calibration.
        label_N: 0 or 1.
        weight_N: of every patch.

    Raises:
        AlgorithmError: no T is best: all verdicts are right, or scores do not go with the label.
    """
    margin_N = (2 * label_N - 1) * score_N
    if (margin_N >= 0).all():
        raise AlgorithmError(
            has="validation patches that are all on the right side",
            needs="errors, which say how sure the model may be",
            do="give validation more patients (split.validation)",
        )
    if weight_N @ margin_N <= 0:
        raise AlgorithmError(
            has="validation patches of which tumor has no larger log-odds than the rest",
            needs="a model whose output goes with the label",
            do="train longer or with other settings",
        )
    model = LogisticRegression(
        C=np.inf, fit_intercept=False, solver="newton-cholesky", tol=1e-10, max_iter=1000
    )
    model.fit(score_N[:, None], label_N, sample_weight=weight_N)
    return 1 / float(model.coef_[0, 0])
