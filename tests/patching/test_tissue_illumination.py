"""The illumination is fitted as least squares over all pixels would, and no round is missed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from patching.tissue.parts import illumination
from patching.tissue.parts.histogram import otsu_threshold
from patching.tissue.parts.strips import Projected

HEIGHT, WIDTH = 40, 60


def lit(seed: int, height: int = HEIGHT, width: int = WIDTH, noise: float = 0.3) -> NDArray[np.float32]:
    """Log intensity of two classes under light that falls off to the right, with noise."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:height, :width]
    tissue = (x - 0.3 * width) ** 2 + (y - 0.6 * height) ** 2 < (0.25 * height) ** 2
    light = -0.5 * (x / width) ** 2 + 0.2 * y / height
    return (tissue + light + rng.normal(0, noise, tissue.shape)).astype(np.float32)


@given(seed=st.integers(0, 99), share=st.sampled_from([0, 0.001, 0.3, 1]), side=st.sampled_from([1, 2, 40]))
@settings(deadline=None, max_examples=40)
def test_a_fit_is_that_of_all_pixels(seed: int, share: float, side: int) -> None:
    values = lit(seed, side).astype(np.float64).ravel()
    basis = illumination._surface(np.linspace(-1, 1, side), np.linspace(-1, 1, WIDTH))
    tissue = np.random.default_rng(seed).random(values.size) < share
    design = np.column_stack([tissue, ~tissue, basis]).astype(np.float64)
    expected = np.linalg.lstsq(design, values, rcond=None)[0]
    found, error = illumination._Model(values, basis).fit(tissue)
    np.testing.assert_allclose(found, expected[2:], rtol=0, atol=1e-10)
    assert error == pytest.approx(np.square(values - design @ expected).mean(), abs=1e-10)


@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_a_round_that_changes_no_class_is_the_last(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    log = lit(1, noise=noise)
    projected = Projected(log.shape, lambda rows: log[rows])
    seen = []

    def threshold(flat_N: NDArray[np.float64]) -> float:
        seen.append(flat_N)
        return otsu_threshold(flat_N)

    found = illumination.fit_gain(projected, threshold).coefficient_K
    ended = len(seen) < 2 * illumination._ROUNDS
    monkeypatch.setattr(illumination.np, "array_equal", lambda *_: False)
    np.testing.assert_array_equal(illumination.fit_gain(projected, otsu_threshold).coefficient_K, found)
    assert ended == (noise < 0.1)
