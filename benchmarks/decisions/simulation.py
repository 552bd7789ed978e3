"""Simulated validation cohorts: how far a fitted decision varies with the patients it is fitted to."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.decisions.rules import WAYS, Patches
from models.decisions.settings import FitSettings
from patching.errors import AlgorithmError

ABOVE = 0.6
"""The attribute's threshold."""
_PATCHES = 40
"""Of a patient."""
_TESTED = 500
"""Patients that stand for all there are."""


def cohort(patients: int, rng: np.random.Generator, *, one_label: bool) -> Patches:
    """Patches of a network that takes tissue for tumor, as ERM does; over patients, log-odds vary by 1.5.

    Args:
        patients: how many.
        rng: of everything.
        one_label: all patches of a patient have the same label; else patients have both.
    """
    patient_N = np.repeat(np.arange(patients), _PATCHES)
    own_P = rng.permutation(patients) % 2
    label_N = own_P[patient_N] if one_label else rng.binomial(1, 0.45, len(patient_N))
    tissue_N = np.where(label_N == 1, rng.beta(4, 1.6, len(label_N)), rng.beta(1.6, 2, len(label_N)))
    signal_N = 2.0 * (2 * label_N - 1) + 6.0 * (tissue_N - 0.55)
    noise_N = rng.normal(0, 1.5, patients)[patient_N] + rng.normal(0, 1.8, len(label_N))
    return Patches(signal_N + noise_N, label_N, tissue_N, patient_N, ABOVE)


def simulated(patients: Sequence[int], draws: int, seed: int = 0) -> pd.DataFrame:
    """Test WGA of every way to decide; `low` is its 5th percentile.

    Draws in which a group is empty count for `refused` alone: the share of draws that the default minimum of
    patients a group refuses.
    """
    rows = []
    for one_label in (False, True):
        tested = cohort(_TESTED, np.random.default_rng(seed), one_label=one_label)
        for count in patients:
            rng = np.random.default_rng([seed, count, one_label])
            drawn = [cohort(count, rng, one_label=one_label) for _ in range(draws)]
            refused = np.mean([each.fewest_patients < FitSettings().minimum_patients for each in drawn])
            for way in WAYS:
                wga_D = [_tried(way, each, tested) for each in drawn if each.fewest_patients]
                rows.append(
                    {
                        "labels": "one a patient" if one_label else "both in a patient",
                        "patients": count,
                        "way": way,
                        "mean": np.nanmean(wga_D),
                        "sd": np.nanstd(wga_D),
                        "low": np.nanquantile(wga_D, 0.05),
                        "refused": refused,
                    }
                )
    return pd.DataFrame(rows)


def _tried(way: str, validation: Patches, tested: Patches) -> float:
    """Test WGA; plain where the fit refuses a slope that is not positive."""
    try:
        return tested.worst_group(WAYS[way](validation))
    except AlgorithmError:
        return tested.worst_group(WAYS["plain"](validation))
