"""GERNE's bounds, distributions and batches against METHOD's worked numbers and by hand."""

import logging
import re
from itertools import islice

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.algorithms.gerne import (
    Gerne,
    GerneSettings,
    beta_bounds,
    extrapolated_distribution,
    less_biased_distribution,
)
from models.algorithms.parts.composition import composition
from models.groups import GroupLayout, TrainGroups, conditional_distribution
from patching.errors import AlgorithmError, BetaBoundsError

WATERBIRDS = conditional_distribution([[3498, 184], [56, 1057]])


def colored_mnist(ratio: float = 0.005) -> np.ndarray:
    """alpha of Colored MNIST: ten digits, ten colors, one of them with share 1 - ratio."""
    alpha_KA = np.full((10, 10), ratio / 9)
    np.fill_diagonal(alpha_KA, 1 - ratio)
    return alpha_KA


def train_groups(counts: list[list[int]]) -> TrainGroups:
    layout = GroupLayout(len(counts), len(counts[0]))
    group_N = np.random.default_rng(1).permutation(np.repeat(np.arange(layout.n_groups), np.ravel(counts)))
    return TrainGroups(layout, group_N // layout.n_attributes, group_N % layout.n_attributes)


@st.composite
def alphas(draw: st.DrawFn) -> np.ndarray:
    n_classes, n_attributes = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    counts = st.lists(st.integers(1, 1000), min_size=n_attributes, max_size=n_attributes)
    return conditional_distribution([draw(counts) for _ in range(n_classes)])


def paper_bounds(alpha_KA: np.ndarray, c: float) -> tuple[float, float]:
    """max min(i1, i2) and min max(i1, i2), as the paper writes the range that keeps p_ext in [0, 1]."""
    uniform = 1 / alpha_KA.shape[1]
    alpha = alpha_KA[np.abs(alpha_KA - uniform) > 1e-9]
    i1 = -alpha / (c * (uniform - alpha)) - 1
    i2 = (1 - alpha) / (c * (uniform - alpha)) - 1
    return float(np.minimum(i1, i2).max()), float(np.maximum(i1, i2).min())


@pytest.mark.parametrize(
    ("alpha_KA", "c", "beta_max"),
    [(WATERBIRDS, 0.5, 3.222088), (WATERBIRDS, 1.0, 1.111044), (colored_mnist(), 0.5, 1.2234637)],
    ids=["waterbirds c=0.5", "waterbirds c=1", "colored mnist"],
)
def test_bounds_of_the_worked_examples(alpha_KA: np.ndarray, c: float, beta_max: float) -> None:
    assert beta_bounds(alpha_KA, c) == (-1.0, pytest.approx(beta_max, abs=1e-6))


@given(alphas(), st.floats(0.05, 1))
def test_the_upper_bound_is_the_papers(alpha_KA: np.ndarray, c: float) -> None:
    assume(np.abs(alpha_KA - 1 / alpha_KA.shape[1]).max() > 1e-3)
    lower, upper = paper_bounds(alpha_KA, c)
    assert beta_bounds(alpha_KA, c)[1] == pytest.approx(upper, rel=1e-6)
    # Below -1, too, p_ext is a distribution for a while; it is only more biased than the data.
    assert lower <= -1


@given(alphas(), st.floats(0.05, 1), st.floats(-1, 30))
def test_p_ext_is_a_distribution_within_the_bounds_and_only_there(
    alpha_KA: np.ndarray, c: float, beta: float
) -> None:
    beta_min, beta_max = beta_bounds(alpha_KA, c)
    assume(abs(beta - beta_max) > 1e-6)
    p_KA = extrapolated_distribution(alpha_KA, c, beta)
    np.testing.assert_allclose(p_KA.sum(axis=1), 1)
    inside = bool((p_KA >= -1e-12).all() and (p_KA <= 1 + 1e-12).all())
    assert inside == (beta_min <= beta <= beta_max)


@given(alphas(), st.floats(0.05, 1))
def test_special_cases_of_p_ext(alpha_KA: np.ndarray, c: float) -> None:
    uniform_KA = np.full(alpha_KA.shape, 1 / alpha_KA.shape[1])
    np.testing.assert_allclose(extrapolated_distribution(alpha_KA, c, -1), alpha_KA)
    np.testing.assert_allclose(extrapolated_distribution(alpha_KA, 1, 0), uniform_KA)
    np.testing.assert_allclose(extrapolated_distribution(alpha_KA, c, 1 / c - 1), uniform_KA)
    np.testing.assert_allclose(
        extrapolated_distribution(alpha_KA, c, 0), less_biased_distribution(alpha_KA, c)
    )


def test_p_ext_by_hand() -> None:
    # alpha 0.9 0.1, c (beta + 1) = 0.5 * 2.5 = 1.25: 0.9 - 1.25 * 0.4 = 0.4.
    np.testing.assert_allclose(extrapolated_distribution([[0.9, 0.1]], 0.5, 1.5), [[0.4, 0.6]])


def test_uniform_attributes_have_no_upper_bound() -> None:
    assert beta_bounds([[0.5, 0.5], [0.5, 0.5]], 0.5) == (-1.0, np.inf)


@pytest.mark.parametrize(
    ("alpha", "c"),
    [([[0.5, 0.6]], 0.5), ([[-0.1, 1.1]], 0.5), ([0.5, 0.5], 0.5), ([[0.9, 0.1]], 0), ([[0.9, 0.1]], 1.1)],
    ids=["sum", "negative", "shape", "c zero", "c above one"],
)
def test_what_is_no_distribution_is_refused(alpha: list[list[float]], c: float) -> None:
    for function in (beta_bounds, less_biased_distribution):
        with pytest.raises(AlgorithmError):
            function(alpha, c)


@pytest.mark.parametrize("beta", [-1.1, 3.3])
def test_beta_outside_the_bounds_is_an_error_that_tells_them(beta: float) -> None:
    with pytest.raises(BetaBoundsError, match=r"from -1 to 3\.222088111 "):
        Gerne(train_groups([[3498, 184], [56, 1057]]), GerneSettings(c=0.5, beta=beta))


ROUND_BOUNDS = [
    (percent, c, (percent / 100 / (c * (percent - 50) / 100)) - 1)
    for percent in (60, 70, 75, 80, 90, 95)
    for c in (0.25, 0.5, 0.8, 1.0)
]
"""Share of the larger groups in %, c, and the bound as one computes it by hand."""


@pytest.mark.parametrize(("percent", "c", "bound"), ROUND_BOUNDS)
def test_a_beta_on_its_bound_is_taken(percent: int, c: float, bound: float) -> None:
    groups = train_groups([[percent, 100 - percent], [100 - percent, percent]])
    for beta in (bound, float(f"{bound:.10g}"), beta_bounds(groups.alpha_KA, c)[1]):
        gerne = Gerne(groups, GerneSettings(c=c, beta=beta))
        assert gerne.beta <= gerne.bounds[1]
        assert gerne.beta == pytest.approx(bound, rel=1e-9)
    assert Gerne(groups, GerneSettings(c=c, beta=-1 - 1e-12)).beta == -1


@given(alphas(), st.floats(0.02, 1), st.floats(1.1e-9, 1e-3))
def test_a_refusal_never_contradicts_itself(alpha_KA: np.ndarray, c: float, beyond: float) -> None:
    """The bound that is told is taken, and what lies above it is told by another number."""
    assume(np.abs(alpha_KA - 1 / alpha_KA.shape[1]).max() > 1e-3)
    groups = train_groups(np.rint(1000 * alpha_KA).astype(int).clip(1).tolist())
    largest = beta_bounds(groups.alpha_KA, c)[1]
    assume(np.isfinite(largest))
    with pytest.raises(BetaBoundsError) as refused:
        Gerne(groups, GerneSettings(c=c, beta=largest + beyond * max(1.0, largest)))
    found = re.search(r"beta = (\S+) at .*needs: beta from -1 to (\S+) ", str(refused.value), re.DOTALL)
    assert found is not None
    assert float(found[1]) > float(found[2])
    Gerne(groups, GerneSettings(c=c, beta=float(found[2])))


def test_a_beta_close_to_its_bound_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """p_ext of the larger groups is 0.9 - 0.2 (beta + 1) and 0.8 - 0.15 (beta + 1)."""
    groups = train_groups([[90, 10], [20, 80]])
    Gerne(groups, GerneSettings(c=0.5, beta=3.3))
    assert not caplog.records
    gerne = Gerne(groups, GerneSettings(c=0.5, beta=3.4))
    list(islice(gerne.batches(np.random.default_rng(0)), 5))
    told = "close to its bound of 3.5; training may diverge: p_ext below 0.03 in label 0, attribute 0 (0.020)"
    assert [record.getMessage() for record in caplog.records] == [f"beta = 3.4 is {told}"]


@pytest.mark.parametrize("beta", [-1.0, 0.0, 1.0])
def test_what_is_rare_in_training_is_not_warned_of(beta: float, caplog: pytest.LogCaptureFixture) -> None:
    Gerne(train_groups([[99, 1], [1, 99]]), GerneSettings(c=0.5, beta=beta))
    # Resampling with many attribute values: each is rare, and none is taken out.
    Gerne(train_groups([[200, *[1] * 39], [*[1] * 39, 200]]), GerneSettings(batch_size=80, c=1, beta=0))
    assert not caplog.records


def test_clamping_warns(caplog: pytest.LogCaptureFixture) -> None:
    settings = GerneSettings(c=0.5, beta=7, outside_bounds="clamp")
    with caplog.at_level(logging.WARNING):
        gerne = Gerne(train_groups([[3498, 184], [56, 1057]]), settings)
    assert gerne.beta == pytest.approx(3.222088, abs=1e-6)
    assert "clamped to 3.222088111" in caplog.text
    assert composition(gerne.expectation(), gerne.train).p_KA.min() == pytest.approx(0, abs=1e-12)


def test_fixed_rounding_moves_the_bounds() -> None:
    """3.6 and 2.8 of 4 samples become 4 and 3: p_ext of the majority is 0 at beta = 3, not at 3.5."""
    groups = train_groups([[90, 10], [10, 90]])
    Gerne(groups, GerneSettings(batch_size=4, beta=3.4))
    with pytest.raises(BetaBoundsError, match="from -1 to 3 "):
        Gerne(groups, GerneSettings(batch_size=4, beta=3.4, rounding="largest_remainder"))
    kept = composition(
        Gerne(groups, GerneSettings(batch_size=4, beta=1, rounding="largest_remainder")).expectation(), groups
    )
    np.testing.assert_allclose(kept.p_KA, [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(kept.p_by_role["ext"], [[0.5, 0.5], [0.5, 0.5]])


def test_composition_by_hand() -> None:
    """Counts 90/10 and 20/80, B = 10, c = 0.5, beta = 1.5."""
    gerne = Gerne(train_groups([[90, 10], [20, 80]]), GerneSettings(batch_size=10, c=0.5, beta=1.5))
    table = composition(gerne.expectation(), gerne.train)
    np.testing.assert_allclose(table.p_by_role["biased"], [[0.9, 0.1], [0.2, 0.8]])
    np.testing.assert_allclose(table.p_by_role["less_biased"], [[0.7, 0.3], [0.35, 0.65]])
    np.testing.assert_allclose(table.p_by_role["ext"], [[0.4, 0.6], [0.575, 0.425]])
    np.testing.assert_allclose(table.samples_KA, [[9, 3], [3.5, 8]])
    assert gerne.samples_per_step == pytest.approx(23.5)
    independent = Gerne(gerne.train, GerneSettings(batch_size=10, draws="independent"))
    assert independent.samples_per_step == pytest.approx(40)
    assert Gerne(gerne.train, GerneSettings(batch_size=10, beta=-1)).samples_per_step == pytest.approx(20)


def test_nested_batches_replace_only_what_they_must() -> None:
    """Counts 90/10 and 20/80, B = 10: B_lb keeps 7 + 1 and 2 + 6.5 samples of B_b and adds 2 and 1.5."""
    groups = train_groups([[90, 10], [20, 80]])
    gerne = Gerne(groups, GerneSettings(batch_size=10, c=0.5, beta=1.0))
    assert gerne.roles == ("biased", "less_biased")
    assert gerne.coefficients == (-1.0, 2.0)
    for plan in islice(gerne.batches(np.random.default_rng(0)), 50):
        assert len(set(plan.indices_N.tolist())) == len(plan.indices_N)
        role_b_N, role_lb_N = plan.weights_RN > 0
        assert role_b_N.sum() == role_lb_N.sum() == 20
        group_N = groups.group_N[plan.indices_N]
        assert np.bincount(group_N[role_b_N & role_lb_N], minlength=4)[:3].tolist() == [7, 1, 2]
        assert np.bincount(group_N[~role_b_N], minlength=4)[[0, 1, 3]].tolist() == [0, 2, 0]
        # Shared samples weigh 1 / (K B), new ones 1 + beta times, left out ones -beta times that.
        weights_N = gerne.sample_weights(plan) * 20
        np.testing.assert_allclose(weights_N[role_b_N & role_lb_N], 1)
        np.testing.assert_allclose(weights_N[~role_b_N], 2)
        np.testing.assert_allclose(weights_N[~role_lb_N], -1)


def test_independent_batches_share_nothing() -> None:
    gerne = Gerne(train_groups([[90, 10], [20, 80]]), GerneSettings(batch_size=10, draws="independent"))
    for plan in islice(gerne.batches(np.random.default_rng(0)), 20):
        assert len(plan.indices_N) == 40
        assert ((plan.weights_RN > 0).sum(axis=0) == 1).all()


@pytest.mark.parametrize("rounding", ["stochastic", "exact_weights"])
@pytest.mark.parametrize("draws", ["nested", "independent"])
def test_every_sample_weighs_what_p_ext_says(rounding: str, draws: str) -> None:
    """In expectation a sample of group (y, a) weighs p_ext(a|y) / (K |X_ya|), whatever the coupling."""
    groups = train_groups([[30, 5], [6, 20]])
    settings = GerneSettings(batch_size=8, c=0.5, beta=1.5, draws=draws, rounding=rounding)
    gerne = Gerne(groups, settings)
    total_N, n_steps = np.zeros(len(groups)), 6000
    for plan in islice(gerne.batches(np.random.default_rng(0)), n_steps):
        np.add.at(total_N, plan.indices_N, gerne.sample_weights(plan) / n_steps)
    p_KA = extrapolated_distribution(groups.alpha_KA, 0.5, 1.5)
    expected_KA = p_KA / (2 * groups.counts_KA)
    np.testing.assert_allclose(total_N, expected_KA.ravel()[groups.group_N], atol=0.0025)
    by_group_G = np.bincount(groups.group_N, weights=total_N, minlength=4)
    np.testing.assert_allclose(by_group_G, p_KA.ravel() / 2, atol=0.006)
