"""Do patches of one label or group look different in more than tissue? Means of every quality column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PREFIX = "quality_"
LARGE = 0.5
"""Standardized difference from which a column is pointed out; Cohen (1988) calls 0.5 medium."""


@dataclass(frozen=True)
class QualityRow:
    """One quality column.

    Attributes:
        name: without the prefix.
        means: one per part of the patches, NaN where there is nothing to average.
        difference: tumor minus non-tumor in pooled standard deviations.
    """

    name: str
    means: tuple[float, ...]
    difference: float

    @property
    def large(self) -> bool:
        """Whether this column could serve a network as a shortcut to the label."""
        return abs(self.difference) >= LARGE


def quality_rows(patches: pd.DataFrame, parts: Mapping[str, pd.Series]) -> tuple[QualityRow, ...]:
    """Every quality column that has values; none where quality was not measured.

    Args:
        patches: rows of the patch index.
        parts: name -> which rows of `patches` belong to it.
    """
    tumor_N = (patches["label"] == 1).to_numpy(bool)
    rows = []
    for column in quality_columns(patches):
        value_N = patches[column].to_numpy(np.float64)
        means = tuple(_mean(value_N[chosen.to_numpy(bool)]) for chosen in parts.values())
        difference = standardized_difference(value_N[tumor_N], value_N[~tumor_N])
        rows.append(QualityRow(column.removeprefix(PREFIX), means, difference))
    return tuple(rows)


def quality_columns(patches: pd.DataFrame) -> Sequence[str]:
    """Columns of the index that hold at least one finite quality."""
    columns = [str(name) for name in patches.columns if str(name).startswith(PREFIX)]
    return [name for name in columns if np.isfinite(patches[name].to_numpy(np.float64)).any()]


def standardized_difference(one_N: NDArray[np.float64], other_N: NDArray[np.float64]) -> float:
    """Difference of means over the root of the mean of both variances; NaN under two finite values each.

    Austin, Statistics in Medicine 28, 2009. Where nothing varies it is 0 or infinite.
    """
    one_N, other_N = one_N[np.isfinite(one_N)], other_N[np.isfinite(other_N)]
    if min(len(one_N), len(other_N)) < 2:
        return float("nan")
    gap = float(one_N.mean() - other_N.mean())
    pooled = float(np.sqrt((one_N.var(ddof=1) + other_N.var(ddof=1)) / 2))
    return gap / pooled if pooled > 0 else 0.0 if gap == 0 else float(np.copysign(np.inf, gap))


def _mean(value_N: NDArray[np.float64]) -> float:
    finite_N = value_N[np.isfinite(value_N)]
    return float(finite_N.mean()) if len(finite_N) else float("nan")
