"""The label rule at its borders."""

import numpy as np
import pytest
from pydantic import ValidationError

from patching.labels import LabelRule


def test_both_borders_belong_to_a_label() -> None:
    rule = LabelRule(tau=0.5, negative=0.05)
    fractions = np.array([0, 0.05, 0.0500001, 0.4999, 0.5, 1])
    assert rule.labels(fractions).tolist() == [0, 0, -1, -1, 1, 1]


def test_any_overlap_can_be_tumor() -> None:
    assert LabelRule(tau=1e-9, negative=0).labels(np.array([0, 0.001])).tolist() == [0, 1]


def test_an_empty_band_is_refused() -> None:
    with pytest.raises(ValidationError, match="must lie under tau"):
        LabelRule(tau=0.3, negative=0.3)
