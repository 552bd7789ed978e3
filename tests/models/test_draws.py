"""Draws of patients: the same for a seed, kept or made anew, at once or part by part."""

import numpy as np
import pytest

from models.metrics import draws
from models.metrics.intervals import patient_statistics
from models.metrics.patients import PatientSums


def statistics(n_patients: int) -> PatientSums:
    rng = np.random.default_rng(n_patients)
    label_N, attribute_N = rng.integers(0, 2, (2, 12 * n_patients))
    told_RN = np.where(rng.random((1, len(label_N))) < 0.8, label_N, 1 - label_N)
    patient_N = np.repeat(np.arange(n_patients), 12)
    return patient_statistics(label_N, told_RN, 2 * label_N + attribute_N, patient_N, 4)


def test_draws_that_are_kept_are_those_of_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = statistics(11), statistics(7)
    drawn_DP = np.random.default_rng(5).multinomial(11, np.full(11, 1 / 11), size=40)
    expected_DM = own.metrics(drawn_DP.astype(float))[:, 0]
    asked = [draws.drawn(each, 40, seed) for each, seed in ((own, 5), (other, 5), (own, 6), (own, 5))]
    np.testing.assert_array_equal(asked[0], expected_DM)
    np.testing.assert_array_equal(asked[3], expected_DM)
    assert not np.array_equal(asked[2], expected_DM, equal_nan=True)
    monkeypatch.setattr(draws, "_CELLS", 33)  # three draws at a time
    np.testing.assert_array_equal(draws.drawn(own, 40, 5), expected_DM)
    assert len(draws.drawn(own, 4, 5)) == 4
