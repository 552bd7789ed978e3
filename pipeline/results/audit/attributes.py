"""An attribute of patches that a network might use in place of tumor, as bins with names."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.metrics.audit.bins import category_bins, quantile_bins, quantile_edges
from pipeline.look.numbers import plain

N_BINS = 4
"""Of a number: quarters of the training patches."""
MOST_VALUES = 12
"""Of a category; more are no groups, but names of slides or patients."""
_QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")


class Kind(StrEnum):
    """What an attribute is of, which decides what can be concluded from it."""

    TISSUE = "tissue"
    SLIDE = "of the slide’s making"
    PLACE = "place in the slide"
    LOOK = "look of the patch"


@dataclass(frozen=True)
class Attribute:
    """Bins of an attribute over all patches of a cohort.

    Attributes:
        name: for files, as `slide.mean_cars`. title: for people.
        bin_N: of every patch of the index; models.metrics.audit.bins.NONE where it has no value.
        bins: names of the bins.
    """

    name: str
    title: str
    kind: Kind
    bin_N: NDArray[np.int64]
    bins: tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """A column that is no attribute here, with the reason."""

    title: str
    reason: str


def of_number(
    name: str, title: str, kind: Kind, value_N: NDArray[np.float64], known_N: NDArray[np.bool_]
) -> Attribute | LeftOut:
    """Quarters of the training patches.

    Args:
        value_N: NaN where a patch has none.
        known_N: training patches.
    """
    value_N = np.where(np.isfinite(value_N), value_N, np.nan)
    if not np.isfinite(value_N[known_N]).any():
        return LeftOut(title, "no training patch has a value")
    edges = quantile_edges(value_N[known_N], N_BINS)
    if not edges.size:
        return LeftOut(title, "nearly all training patches have one value")
    bin_N = quantile_bins(value_N, edges)
    return Attribute(name, title, kind, bin_N, _ranges(edges))


def of_category(
    name: str, title: str, value_N: NDArray[np.str_], patient_N: NDArray[np.int64], known_N: NDArray[np.bool_]
) -> Attribute | LeftOut:
    """The values of a text column; numbers of many values are quarters.

    Args:
        value_N: empty where a patch has none.
        patient_N: number of every patch's patient.
        known_N: training patches.
    """
    values = sorted(set(value_N[known_N].tolist()) - {""})
    if len(values) < 2:
        return LeftOut(title, "one value" if values else "no training patch has a value")
    if len(values) > MOST_VALUES:
        number_N = _numbers(value_N)
        if number_N is not None:
            return of_number(name, title, Kind.SLIDE, number_N, known_N)
        return LeftOut(title, f"{len(values)} values, more than {MOST_VALUES}: no groups, but names")
    if len(values) >= len(np.unique(patient_N[known_N])):
        return LeftOut(title, "as many values as patients: it names them")
    bin_N = category_bins(value_N, {value: number for number, value in enumerate(values)})
    return Attribute(name, title, Kind.SLIDE, bin_N, tuple(f"“{value}”" for value in values))


def _numbers(value_N: NDArray[np.str_]) -> NDArray[np.float64] | None:
    """The column as numbers; none where a value is not one."""
    names_V, place_N = np.unique(value_N, return_inverse=True)
    try:
        number_V = np.array([float(name) if name else np.nan for name in names_V.tolist()])
    except ValueError:
        return None
    return number_V[place_N]


def _ranges(edges: NDArray[np.float64]) -> tuple[str, ...]:
    """Names of the bins between edges, the quarters' where there are all of them.

    >>> _ranges(np.array([0.5]))
    ('up to 0.5', 'above 0.5')
    """
    told = [plain(edge) for edge in edges.tolist()]
    between = [f"{low} to {high}" for low, high in pairwise(told)]
    ranges = (f"up to {told[0]}", *between, f"above {told[-1]}")
    if len(ranges) < N_BINS:
        return ranges
    return tuple(f"{quarter} ({each})" for quarter, each in zip(_QUARTERS, ranges, strict=True))


def split_up(found: Sequence[Attribute | LeftOut]) -> tuple[tuple[Attribute, ...], tuple[LeftOut, ...]]:
    """Attributes, and what is none."""
    kept = tuple(each for each in found if isinstance(each, Attribute))
    return kept, tuple(each for each in found if isinstance(each, LeftOut))
