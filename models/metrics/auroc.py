"""The AUROC of resampled patients, over all patches and within each value of the attribute.

A pair of a positive and a negative patch is in the right order or not, and a tie counts half. With few
patients such pairs are counted once for every two patients. With many, that table would not fit: a patient
then is a row of counts, of positives and negatives in every bin of the score.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.metrics.accuracy import ratio

MOST_PAIRED = 300
"""Patients up to which pairs are counted by two patients: exact, and faster than bins."""
MOST_BINS = 4096
"""Bins of the scores of more patients: exact where there are no more different scores, else to about 1e-6."""
_MOST_COUNTED = 2**23
"""Patients times patches up to which pairs are counted by two patients: a fraction of a second."""
_CELLS = 2**18
"""Numbers that a chunk of draws takes at once: 2 MiB, which a core's cache holds."""
Pairs = tuple[NDArray[np.float64], NDArray[np.float64]]


class Ranking(Protocol):
    """One network's patches of two classes, whose patients may be drawn again."""

    def pairs(self, weights_DP: NDArray[np.float64], /) -> Pairs:
        """Pairs in the right order, and all: of all patches, and within each of the A attribute values.

        Args:
            weights_DP: how often every patient is in a draw.

        Returns:
            [D, 1 + A] both.
        """
        ...


@dataclass(frozen=True)
class Rankings:
    """One repeat's patches. Those of a study come from several networks, and each pair from one of them.

    Log-odds of two networks have no scale in common: what moves the threshold of one would else count as if
    it ranked otherwise.

    Attributes:
        parts: by network, the numbers of its patients, and their patches.
    """

    parts: tuple[tuple[NDArray[np.int64], Ranking], ...]

    def auroc(self, weights_DP: NDArray[np.float64], /) -> NDArray[np.float64]:
        """AUROC of all patches, and within each of the A values of the attribute, [D, 1 + A].

        NaN where there is no pair.

        Args:
            weights_DP: how often every patient is in a draw.
        """
        found = [each.pairs(weights_DP[:, own]) for own, each in self.parts]
        wins_FDS, pairs_FDS = (np.stack(part) for part in zip(*found, strict=True))
        return ratio(wins_FDS.sum(axis=0), pairs_FDS.sum(axis=0))


@dataclass(frozen=True)
class PairedPatches:
    """Pairs by patients, of S = 1 + A strata: all patches, and those of every value of the attribute.

    Attributes:
        wins_SPP: pairs (positive of patient p, negative of q) in the right order: Mann-Whitney, split up.
        positive_SP, negative_SP: patches.
    """

    wins_SPP: NDArray[np.float64]
    positive_SP: NDArray[np.float64]
    negative_SP: NDArray[np.float64]

    def pairs(self, weights_DP: NDArray[np.float64], /) -> Pairs:
        wins_DS = np.stack([((weights_DP @ t_PP) * weights_DP).sum(axis=1) for t_PP in self.wins_SPP], axis=1)
        return wins_DS, (weights_DP @ self.positive_SP.T) * (weights_DP @ self.negative_SP.T)


@dataclass(frozen=True)
class BinnedPatches:
    """Counts by patient, group g = y * A + a, and bin of the score.

    Attributes:
        counts_XP: sparse; X runs over the classes, the attribute's values, and B bins in ascending order.
        share_SB: of the pairs of one bin, the share in the right order, S = 1 + A as in PairedPatches. It is
            counted on all patients and kept in every draw.
    """

    counts_XP: csr_array
    share_SB: NDArray[np.float64]

    def pairs(self, weights_DP: NDArray[np.float64], /) -> Pairs:
        rows = max(1, _CELLS // max(self.counts_XP.shape[0], 1))
        chunks = range(0, len(weights_DP), rows)
        found = [self._pairs(weights_DP[at : at + rows]) for at in chunks]
        wins_DS, pairs_DS = (np.concatenate(part) for part in zip(*found, strict=True))
        return wins_DS, pairs_DS

    def _pairs(self, weights_DP: NDArray[np.float64]) -> Pairs:
        n_strata, n_bins = self.share_SB.shape
        counts_YABD = (self.counts_XP @ weights_DP.T).reshape(2, n_strata - 1, n_bins, len(weights_DP))
        found = []
        for s, share_B in enumerate(self.share_SB):
            negative_BD, positive_BD = counts_YABD[:, s - 1] if s else counts_YABD.sum(axis=1)
            below_BD = np.cumsum(negative_BD, axis=0)
            pairs_D = below_BD[-1] * positive_BD.sum(axis=0)
            # Of the negatives of the bin itself only this share is below: the rest is taken off again.
            below_BD -= negative_BD * (1 - share_B)[:, None]
            found.append((np.einsum("bd,bd->d", positive_BD, below_BD), pairs_D))
        wins_DS, pairs_DS = (np.stack(part, axis=1) for part in zip(*found, strict=True))
        return wins_DS, pairs_DS


def rankings(
    score_N: NDArray[np.float64],
    group_N: NDArray[np.int64],
    patient_N: NDArray[np.int64],
    network_N: NDArray[Any],
    *,
    n_attributes: int,
) -> Rankings:
    """Count the patches of one repeat, see `ranking`.

    Args:
        network_N: which one scored a patch.
    """
    parts = []
    for network in np.unique(network_N) if network_N.size else (0,):
        own = network_N == network
        members_Q, patient_Q = np.unique(patient_N[own], return_inverse=True)
        given = {"n_patients": len(members_Q), "n_attributes": n_attributes}
        parts.append((members_Q, ranking(score_N[own], group_N[own], patient_Q, **given)))
    return Rankings(tuple(parts))


def ranking(
    score_N: NDArray[np.float64],
    group_N: NDArray[np.int64],
    patient_N: NDArray[np.int64],
    *,
    n_patients: int,
    n_attributes: int,
    most_paired: int = MOST_PAIRED,
    most_bins: int = MOST_BINS,
) -> Ranking:
    """Count the patches of two classes for the AUROC of any draw of their patients.

    Args:
        score_N: what ranks the patches, higher for the positive class.
        group_N: y * n_attributes + a, y in 0..1.
        patient_N: number of every patch's patient, 0 to n_patients - 1.
        most_paired, most_bins: as MOST_PAIRED and MOST_BINS.
    """
    positive_N, attribute_N = group_N // n_attributes == 1, group_N % n_attributes
    strata_SN = [np.ones(len(group_N), dtype=bool), *(attribute_N == a for a in range(n_attributes))]
    if n_patients <= most_paired and n_patients * len(score_N) <= _MOST_COUNTED:
        tables = [_paired(score_N[s], positive_N[s], patient_N[s], n_patients) for s in strata_SN]
        return PairedPatches(*(np.stack(part) for part in zip(*tables, strict=True)))
    bin_N, n_bins = score_bins(score_N, most_bins)
    shape = (2 * n_attributes * n_bins, n_patients)
    ones, places = np.ones(len(score_N)), (group_N * n_bins + bin_N, patient_N)
    shares = [_shares(score_N[s], positive_N[s], bin_N[s], n_bins) for s in strata_SN]
    return BinnedPatches(csr_array((ones, places), shape=shape), np.stack(shares))


def _paired(
    score_N: NDArray[np.float64], positive_N: NDArray[np.bool_], patient_N: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    own_N, owner_N = score_N[positive_N], patient_N[positive_N]
    wins_PP = np.zeros((n, n))
    for q in range(n):
        below_N = _below(own_N, score_N[~positive_N & (patient_N == q)])
        wins_PP[:, q] = np.bincount(owner_N, weights=below_N, minlength=n)
    positive_P, negative_P = (np.bincount(patient_N[side], minlength=n) for side in (positive_N, ~positive_N))
    return wins_PP, positive_P.astype(np.float64), negative_P.astype(np.float64)


def score_bins(score_N: NDArray[np.float64], most: int) -> tuple[NDArray[np.int64], int]:
    """Bin of every patch and how many there are: of about equally many patches, equal scores in one."""
    values, place_N = np.unique(score_N, return_inverse=True)
    if len(values) > most:
        above = np.cumsum(np.bincount(place_N)) - 1
        values, place = np.unique(above * most // len(score_N), return_inverse=True)
        place_N = place[place_N]
    return place_N, max(len(values), 1)


def _shares(
    score_N: NDArray[np.float64], positive_N: NDArray[np.bool_], bin_N: NDArray[np.int64], n_bins: int
) -> NDArray[np.float64]:
    """Share of every bin's own pairs that are in the right order, [B]; a half where it has none."""
    positive_B, negative_B = (
        np.bincount(bin_N[side], minlength=n_bins) for side in (positive_N, ~positive_N)
    )
    own_N = bin_N[positive_N]
    in_lower_bins_N = (np.cumsum(negative_B) - negative_B)[own_N]
    inside_N = _below(score_N[positive_N], score_N[~positive_N]) - in_lower_bins_N
    share_B = ratio(np.bincount(own_N, weights=inside_N, minlength=n_bins), positive_B * negative_B)
    return np.where(np.isnan(share_B), 0.5, share_B)


def _below(score_N: NDArray[np.float64], others_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of the others are below every score, ties counting half, [N]."""
    sorted_M = np.sort(others_M)
    left, right = (np.searchsorted(sorted_M, score_N, side=side) for side in ("left", "right"))
    return (left + right) / 2
