"""Intervals of the AUROC, over all patches and within attribute values, of simulated scores."""

from collections import defaultdict

import numpy as np
from scipy.special import ndtr

from benchmarks.intervals.cohorts import PATCHES, SHARES
from benchmarks.intervals.tally import Tally
from models.metrics.intervals import bootstrap, patient_statistics

DRAWS = 1000
PATIENT_SD = 1.0
MEANS = (-0.8, 0.3, -0.1, 1.0)
"""Of the score, by group: the attribute moves it by about as much as the label."""


def ranked_tallies(n_cohorts: int, n_patients: int) -> dict[str, Tally]:
    """Counts of the AUROC's intervals: a patient's scores share an effect; a patch adds its own, of SD 1."""
    rng, tallies = np.random.default_rng(n_patients), defaultdict[str, Tally](Tally)
    label_P = np.arange(n_patients) % 2
    for seed in range(n_cohorts):
        effect_P = PATIENT_SD * rng.standard_normal(n_patients)
        count_PA = rng.poisson(PATCHES * np.array(SHARES).reshape(2, 2)[label_P])
        patient_N = np.repeat(np.arange(n_patients), count_PA.sum(axis=1))
        attribute_N = np.repeat(np.tile([0, 1], n_patients), count_PA.ravel())
        label_N = label_P[patient_N]
        group_N = 2 * label_N + attribute_N
        score_N = np.array(MEANS)[group_N] + effect_P[patient_N] + rng.standard_normal(len(group_N))
        statistics = patient_statistics(
            label_N, score_N > 0, group_N, np.char.zfill(patient_N.astype(str), 4), 4, probability=score_N
        )
        found = bootstrap(statistics, n_draws=DRAWS, seed=seed)
        for name, truth in true_aurocs().items():
            tallies[name].add(found[name].low, found[name].high, truth)
    return tallies


def true_aurocs() -> dict[str, float]:
    """Of a positive and a negative patch of two patients, drawn by their shares."""
    deviation = np.sqrt(2 * (PATIENT_SD**2 + 1))
    negative_A, positive_A = np.array(MEANS).reshape(2, 2)
    ordered_AA = ndtr((positive_A[:, None] - negative_A) / deviation)
    of_negative_A, of_positive_A = np.array(SHARES).reshape(2, 2)
    within_A = np.diag(ordered_AA)
    return {
        "auroc": float(of_positive_A @ ordered_AA @ of_negative_A),
        "auroc_0": float(within_A[0]),
        "auroc_1": float(within_A[1]),
        "auroc_within": float(within_A.mean()),
    }
