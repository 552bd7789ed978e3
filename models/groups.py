"""Labels, attributes and groups of the training split.

Label y in 0..K-1, attribute a in 0..A-1, group g = y * A + a. Arrays over groups are [K, A].
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patching.errors import EmptyGroupError, GroupError


@dataclass(frozen=True, slots=True)
class GroupLayout:
    """How many classes and attribute values there are, and how they number the groups."""

    n_classes: int
    n_attributes: int

    @property
    def n_groups(self) -> int:
        return self.n_classes * self.n_attributes

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every group in the order of its number."""
        return tuple(
            f"label {y}, attribute {a}" for y in range(self.n_classes) for a in range(self.n_attributes)
        )

    def group(self, label: ArrayLike, attribute: ArrayLike) -> NDArray[np.int64]:
        """Group number g = label * A + attribute, elementwise.

        Raises:
            GroupError: a label or attribute outside the layout, or arrays of different length.
        """
        label_N = self._checked(label, self.n_classes, "label")
        attribute_N = self._checked(attribute, self.n_attributes, "attribute")
        if label_N.shape != attribute_N.shape:
            raise GroupError(
                has=f"{label_N.size} labels and {attribute_N.size} attributes",
                needs="one attribute for every label",
                do="join both by patch_id before making groups",
            )
        return label_N * self.n_attributes + attribute_N

    def counts(self, label: ArrayLike, attribute: ArrayLike) -> NDArray[np.int64]:
        """Samples of every group, [K, A]."""
        group_N = self.group(label, attribute)
        counts_G = np.bincount(group_N.ravel(), minlength=self.n_groups)
        return counts_G.reshape(self.n_classes, self.n_attributes).astype(np.int64)

    @staticmethod
    def _checked(values: ArrayLike, n_values: int, word: str) -> NDArray[np.int64]:
        array = np.asarray(values)
        if array.size and (array.dtype.kind not in "iub" or array.min() < 0 or array.max() >= n_values):
            raise GroupError(
                has=f"{word} values {np.unique(array)[:8].tolist()} of type {array.dtype}",
                needs=f"integers from 0 to {n_values - 1}",
                do=f"drop or map the other {word} values before making groups",
            )
        return array.astype(np.int64)


@dataclass(frozen=True)
class TrainLabels:
    """Label of every training sample, and nothing of its attribute; sample n is row n of the training split.

    What a method gets that must not know attributes.

    Raises:
        GroupError: labels outside 0..n_classes-1, or no samples.
    """

    n_classes: int
    label_N: NDArray[np.int64]

    def __post_init__(self) -> None:
        self.undivided.group_N  # noqa: B018 - checks the values

    def __len__(self) -> int:
        return len(self.label_N)

    @cached_property
    def counts_K(self) -> NDArray[np.int64]:
        """Samples of every class."""
        return self.undivided.counts_KA[:, 0]

    @cached_property
    def undivided(self) -> "TrainGroups":
        """Every class as one group: A = 1."""
        return TrainGroups(GroupLayout(self.n_classes, 1), self.label_N, np.zeros_like(self.label_N))

    def divided(self, attribute_N: NDArray[np.int64], n_attributes: int = 2) -> "TrainGroups":
        """Groups by an attribute that was found, not given (pseudo-groups)."""
        return TrainGroups(GroupLayout(self.n_classes, n_attributes), self.label_N, attribute_N)


@dataclass(frozen=True)
class TrainGroups:
    """Label and attribute of every training sample; sample n is row n of the training split.

    Raises:
        GroupError: values outside the layout, or no samples.
    """

    layout: GroupLayout
    label_N: NDArray[np.int64]
    attribute_N: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.group_N.size:
            raise GroupError(
                has="a training split without samples",
                needs="at least one sample of every class",
                do="check the splits and the labels",
            )

    def __len__(self) -> int:
        return len(self.group_N)

    @property
    def n_classes(self) -> int:
        return self.layout.n_classes

    @cached_property
    def labels(self) -> TrainLabels:
        """The same samples without their attributes."""
        return TrainLabels(self.n_classes, self.label_N)

    @cached_property
    def group_N(self) -> NDArray[np.int64]:
        """Group number of every sample."""
        return self.layout.group(self.label_N, self.attribute_N)

    @cached_property
    def counts_KA(self) -> NDArray[np.int64]:
        """Samples of every group."""
        return self.layout.counts(self.label_N, self.attribute_N)

    @cached_property
    def alpha_KA(self) -> NDArray[np.float64]:
        """alpha_ya = |X_ya| / |X_y|."""
        return conditional_distribution(self.counts_KA)

    def members(self, label: int, attribute: int) -> NDArray[np.int64]:
        """Samples of one group, in ascending order; empty where the group is."""
        return np.flatnonzero(self.group_N == self.layout.group(label, attribute))

    def per_sample(self, values_KA: ArrayLike) -> NDArray[np.float64]:
        """Share of every sample in its group's value, [N]: the value by the group's size."""
        shared_KA = np.asarray(values_KA, dtype=np.float64) / np.maximum(self.counts_KA, 1)
        each_N: NDArray[np.float64] = shared_KA.ravel()[self.group_N]
        return each_N

    def summed(self, values_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of a value over the samples of every group, [K, A]."""
        sums_G = np.bincount(self.group_N, weights=values_N, minlength=self.layout.n_groups)
        return sums_G.astype(np.float64).reshape(self.layout.n_classes, self.layout.n_attributes)


def require_every_group(counts_KA: NDArray[np.int64]) -> None:
    """Check that no training group is empty.

    Raises:
        EmptyGroupError: names the empty groups, and the ways out.
    """
    names = GroupLayout(*counts_KA.shape).names
    empty = [name for name, count in zip(names, counts_KA.ravel(), strict=True) if not count]
    if empty:
        raise EmptyGroupError(
            has=f"no training sample with {' and none with '.join(empty)} (counts {counts_KA.tolist()})",
            needs="at least one training sample of every (label, attribute) group",
            do="merge attribute values or move the threshold, drop the attribute value, "
            "or gather data (more patients, or another split)",
        )


def conditional_distribution(counts_KA: ArrayLike) -> NDArray[np.float64]:
    """p(a|y) from counts: alpha_ya = |X_ya| / |X_y|, [K, A] to [K, A] (GERNE, sec. 4.1).

    >>> conditional_distribution([[3, 1], [2, 2]]).tolist()
    [[0.75, 0.25], [0.5, 0.5]]

    Raises:
        GroupError: not a table of counts.
        EmptyGroupError: a class without samples.
    """
    counts = np.asarray(counts_KA, dtype=np.float64)
    if counts.ndim != 2 or not np.isfinite(counts).all() or (counts < 0).any():
        raise GroupError(
            has=f"counts of shape {counts.shape}",
            needs="non-negative counts [classes, attributes]",
            do="count the samples of every (label, attribute) group",
        )
    totals_K1 = counts.sum(axis=1, keepdims=True)
    if not totals_K1.all():
        raise EmptyGroupError(
            has=f"no sample of label {np.flatnonzero(totals_K1[:, 0] == 0).tolist()}",
            needs="at least one sample of every class",
            do="gather data of that class, or change the split or the label rule",
        )
    alpha_KA: NDArray[np.float64] = counts / totals_K1
    return alpha_KA
