"""Which samples a training step sees: quotas of groups, and streams of samples inside them."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.algorithms.parts.plans import BatchPlan
from models.groups import TrainGroups
from patching.errors import AlgorithmError

Rounding = Literal["stochastic", "largest_remainder", "exact_weights"]


class SampleStream:
    """Draws from a set of samples by passing through it in random order, again and again.

    Against independent uniform draws, every sample is used equally often (to one pass), so that
    small groups are exhausted and the variance over an epoch is lower; each single draw is still
    marginally uniform, because the passes are shuffled.
    """

    def __init__(self, members_M: NDArray[np.int64], rng: np.random.Generator) -> None:
        self._members_M = members_M
        self._rng = rng
        self._queue: deque[int] = deque()

    def draw(self, n: int, avoid: Iterable[int] = ()) -> NDArray[np.int64]:
        """Take `n` samples, none twice and none of `avoid` unless the set is too small for that.

        Where it is too small, a sample comes again only after all others have come.
        """
        used, skipped, taken = set(avoid), list[int](), list[int]()
        while len(taken) < n:
            if len(used) >= len(self._members_M):
                used.clear()
            if not self._queue:
                # What this draw cannot use is in its batch already: the new pass starts without a debt.
                skipped.clear()
                self._queue.extend(self._rng.permutation(self._members_M).tolist())
            member = self._queue.popleft()
            if member in used:
                skipped.append(member)
            else:
                taken.append(member)
                used.add(member)
        self._queue.extendleft(reversed(skipped))
        return np.array(taken, dtype=np.int64)


def passes(members_M: NDArray[np.int64], n: int, rng: np.random.Generator) -> Iterator[BatchPlan]:
    """Plans of `n` equal samples that pass through `members_M` in random order, without end.

    A sample that is listed twice comes twice in every pass, and may come twice in a batch.
    """
    stream, weights_RN = SampleStream(np.arange(len(members_M)), rng), np.full((1, n), 1 / n)
    while True:
        yield BatchPlan(members_M[stream.draw(n)], weights_RN)


class GroupStreams:
    """One stream per group of the training split."""

    def __init__(self, groups: TrainGroups, rng: np.random.Generator) -> None:
        layout = groups.layout
        cells = [(y, a) for y in range(layout.n_classes) for a in range(layout.n_attributes)]
        self._streams = [SampleStream(groups.members(y, a), rng) for y, a in cells]

    def draw(
        self, quota_KA: NDArray[np.int64], avoid: Iterable[Iterable[int]] | None = None
    ) -> list[NDArray[np.int64]]:
        """Take `quota_KA` samples; returns one array per group, in the order of group numbers."""
        avoided = [()] * len(self._streams) if avoid is None else avoid
        triples = zip(self._streams, quota_KA.ravel().tolist(), avoided, strict=True)
        return [stream.draw(n, used) for stream, n, used in triples]


@dataclass(frozen=True)
class Quota:
    """How many samples of every group a batch of one role holds, and what each weighs.

    Attributes:
        p_KA: wanted p(a|y); every row sums to 1.
        batch_size: samples per class, B.
        rounding: `stochastic`: floor or ceiling of B p(a|y), right in expectation;
            `largest_remainder`: always the same nearest integers, p(a|y) is then only approximate;
            `exact_weights`: at least one sample of every group with p > 0, weighted to p exactly.
    """

    p_KA: NDArray[np.float64]
    batch_size: int
    rounding: Rounding

    def __post_init__(self) -> None:
        needed = int((self.p_KA > 0).sum(axis=1).max())
        if self.rounding == "exact_weights" and self.batch_size < needed:
            raise AlgorithmError(
                has=f"batch_size {self.batch_size} per class and {needed} groups in a class",
                needs="at least one sample per group for rounding exact_weights",
                do=f"set batch_size to {needed} or more, or rounding to stochastic",
            )

    def round(self, offset_K: NDArray[np.float64]) -> NDArray[np.int64]:
        """Integer quotas [K, A] whose rows sum to B.

        Args:
            offset_K: one uniform number in [0, 1) per class, used by stochastic rounding: the
                quota of a group is the number of integers passed by B times the cumulative
                distribution, shifted by the offset. Two quotas rounded with the same offset
                differ by no more than they must.
        """
        if self.rounding == "stochastic":
            # An offset just below 1 may round B plus it up to B + 1.
            ends_KA = (
                np.floor(self.cumulative_KA + offset_K[:, None]).clip(max=self.batch_size).astype(np.int64)
            )
            return np.diff(ends_KA, axis=1, prepend=0)
        quota_KA = np.stack([self._largest_remainder(p_A) for p_A in self.p_KA])
        if self.rounding == "exact_weights":
            for y, a in np.argwhere((quota_KA == 0) & (self.p_KA > 0)):
                quota_KA[y, quota_KA[y].argmax()] -= 1
                quota_KA[y, a] = 1
        return quota_KA

    def sample_weight(self, quota_KA: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weight of one sample of every group [K, A]; summed over the batch it is 1."""
        n_classes = len(self.p_KA)
        if self.rounding == "exact_weights":
            weight_KA: NDArray[np.float64] = self.p_KA / (n_classes * np.maximum(quota_KA, 1))
            return weight_KA
        return np.full(self.p_KA.shape, 1 / (n_classes * self.batch_size))

    def effective(self) -> NDArray[np.float64]:
        """The p(a|y) [K, A] that the rounded batches have in expectation."""
        if self.rounding == "largest_remainder":
            return self.round(np.zeros(len(self.p_KA))) / self.batch_size
        return self.p_KA

    @property
    def cumulative_KA(self) -> NDArray[np.float64]:
        """B times the cumulative distribution of every class; the last column is B."""
        # Rounded, so that B p = 16 never becomes 15 by an error in the last digit.
        return np.cumsum(self.p_KA * self.batch_size, axis=1).round(9)

    def _largest_remainder(self, p_A: NDArray[np.float64]) -> NDArray[np.int64]:
        wanted_A = np.round(p_A * self.batch_size, 9)
        quota_A = np.floor(wanted_A).astype(np.int64)
        missing = self.batch_size - int(quota_A.sum())
        quota_A[np.argsort(quota_A - wanted_A, kind="stable")[:missing]] += 1
        return quota_A


def expected_samples(*quotas: Quota) -> NDArray[np.float64]:
    """Expected size [K, A] of the union of nested batches rounded with the same offsets.

    The quotas are step functions of the offset: their mean is an exact, finite sum over the steps.
    """
    steps = np.concatenate([(-quota.cumulative_KA.ravel()) % 1 for quota in quotas])
    ends = np.unique(np.concatenate([[0.0, 1.0], steps]))
    offsets, widths = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
    n_classes = len(quotas[0].p_KA)
    total_KA = np.zeros(quotas[0].p_KA.shape)
    for offset, width in zip(offsets, widths, strict=True):
        rounded = [quota.round(np.full(n_classes, offset)) for quota in quotas]
        total_KA += width * np.max(rounded, axis=0)
    return total_KA
