"""Sample streams and group quotas."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.algorithms.parts.sampling import Quota, Rounding, SampleStream, expected_samples
from patching.errors import AlgorithmError

ROUNDINGS: tuple[Rounding, ...] = ("stochastic", "largest_remainder", "exact_weights")


@st.composite
def distributions(draw: st.DrawFn) -> np.ndarray:
    """p(a|y) of 1-3 classes and 1-5 attribute values, zeros included."""
    n_classes, n_attributes = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    rows = st.lists(st.integers(0, 1000), min_size=n_attributes, max_size=n_attributes).filter(any)
    counts_KA = np.array([draw(rows) for _ in range(n_classes)], dtype=float)
    return counts_KA / counts_KA.sum(axis=1, keepdims=True)


@given(st.integers(1, 40), st.lists(st.integers(0, 100), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_a_stream_repeats_only_what_it_must(n_members: int, sizes: list[int], seed: int) -> None:
    stream = SampleStream(np.arange(n_members) + 7, np.random.default_rng(seed))
    for n in sizes:
        times = Counter(stream.draw(n).tolist())
        assert sum(times.values()) == n
        assert set(times) <= set(range(7, 7 + n_members))
        expected = {n // n_members, -(-n // n_members)}
        assert {times[m] for m in range(7, 7 + n_members)} <= expected


def test_a_stream_passes_through_all_samples() -> None:
    stream = SampleStream(np.arange(10), np.random.default_rng(3))
    draws = [stream.draw(4).tolist() for _ in range(50)]
    assert Counter(itertools.chain(*draws)) == dict.fromkeys(range(10), 20)
    assert all(len(set(draw)) == 4 for draw in draws)


def test_a_stream_avoids_what_the_batch_holds_while_it_can() -> None:
    stream = SampleStream(np.arange(6), np.random.default_rng(0))
    for step in range(60):
        held = [step % 6, (step + 1) % 6]
        assert not set(stream.draw(4, avoid=held).tolist()) & set(held)
    # Six of four left: these four first, then others again.
    taken = stream.draw(6, avoid=[0, 1]).tolist()
    assert set(taken[:4]) == {2, 3, 4, 5}
    assert len(set(taken[4:])) == 2


def test_an_avoided_sample_is_not_owed_later() -> None:
    stream = SampleStream(np.arange(2), np.random.default_rng(0))
    for _ in range(50):
        assert stream.draw(1, avoid=[0]).tolist() == [1]
    assert [stream.draw(1).item() for _ in range(20)].count(0) <= 11


def test_every_member_is_equally_likely_beside_a_coupled_stream() -> None:
    """B_lb = part of B_b plus new samples: each member must be in B_lb equally often."""
    rng = np.random.default_rng(5)
    first, second = SampleStream(np.arange(9), rng), SampleStream(np.arange(9), rng)
    times_M = np.zeros(9)
    for _ in range(6000):
        held = first.draw(2)
        times_M[held] += 1
        times_M[second.draw(3, avoid=held.tolist())] += 1
    np.testing.assert_allclose(times_M / 6000, 5 / 9, rtol=0.04)


@example(np.array([[1.0]]), 5, "stochastic", np.nextafter(1, 0))
@given(distributions(), st.integers(5, 64), st.sampled_from(ROUNDINGS), st.floats(0, 1, exclude_max=True))
def test_quotas_sum_to_the_batch_size(p_KA: np.ndarray, batch: int, rounding: Rounding, u: float) -> None:
    quota = Quota(p_KA, batch, rounding)
    quota_KA = quota.round(np.full(len(p_KA), u))
    assert (quota_KA.sum(axis=1) == batch).all()
    assert (quota_KA >= 0).all()
    assert (quota_KA[p_KA == 0] == 0).all()
    weight = (quota.sample_weight(quota_KA) * quota_KA).sum()
    assert weight == pytest.approx(1)


@given(distributions(), st.integers(1, 64), st.floats(0, 1, exclude_max=True))
def test_stochastic_quotas_are_floor_or_ceiling_and_right_in_expectation(
    p_KA: np.ndarray, batch: int, u: float
) -> None:
    quota = Quota(p_KA, batch, "stochastic")
    quota_KA = quota.round(np.full(len(p_KA), u))
    assert (np.abs(quota_KA - batch * p_KA) < 1 + 1e-8).all()
    np.testing.assert_allclose(expected_samples(quota), batch * p_KA, atol=1e-7)


def test_the_exact_expectation_of_a_union_is_the_mean_over_offsets() -> None:
    p_KA = np.array([[0.9, 0.06, 0.04], [0.2, 0.5, 0.3]])
    biased, less = Quota(p_KA, 7, "stochastic"), Quota(0.5 * p_KA + 0.5 / 3, 7, "stochastic")
    offsets = (np.arange(20000) + 0.5) / 20000
    mean_KA = np.mean(
        [np.maximum(biased.round(np.full(2, u)), less.round(np.full(2, u))) for u in offsets], axis=0
    )
    np.testing.assert_allclose(expected_samples(biased, less), mean_KA, atol=1e-3)


def test_the_same_offset_couples_two_quotas() -> None:
    """With two attribute values, the group that loses samples never gains one by chance."""
    p_KA = np.array([[0.83, 0.17]])
    biased, less = Quota(p_KA, 9, "stochastic"), Quota(0.5 * p_KA + 0.25, 9, "stochastic")
    for u in np.linspace(0, 0.999, 200):
        difference = less.round(np.array([u])) - biased.round(np.array([u]))
        assert difference[0, 0] in (-2, -1)
        assert difference.sum() == 0


def test_largest_remainder_by_hand() -> None:
    # 10 p = 6.1, 2.7, 1.2: floors 6 2 1, the one missing goes to the largest remainder.
    quota = Quota(np.array([[0.61, 0.27, 0.12]]), 10, "largest_remainder")
    assert quota.round(np.zeros(1)).tolist() == [[6, 3, 1]]
    np.testing.assert_allclose(quota.effective(), [[0.6, 0.3, 0.1]])


def test_exact_weights_keep_rare_groups_at_their_share() -> None:
    quota = Quota(np.array([[0.99, 0.01], [0.5, 0.5]]), 4, "exact_weights")
    quota_KA = quota.round(np.zeros(2))
    assert quota_KA.tolist() == [[3, 1], [2, 2]]
    np.testing.assert_allclose(quota.sample_weight(quota_KA) * quota_KA * 2, quota.p_KA)


def test_exact_weights_need_a_sample_of_every_group() -> None:
    with pytest.raises(AlgorithmError, match="batch_size 2 per class and 3 groups"):
        Quota(np.array([[0.5, 0.3, 0.2]]), 2, "exact_weights")
