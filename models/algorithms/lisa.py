"""LISA: mix samples of one label and different attributes, or of one attribute and different labels.

Yao, Wang, Li, Zhang, Liang, Zou, Finn, "Improving Out-of-Distribution Robustness via Selective
Augmentation", ICML 2022 (arXiv 2201.00299), Algorithm 1.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.mixing import Mixing, mixed
from models.algorithms.parts.plans import Batch, BatchPlan
from models.algorithms.parts.sampling import GroupStreams
from models.groups import TrainGroups, require_every_group
from patching.errors import AlgorithmError


class LisaSettings(AlgorithmSettings):
    """Settings of LISA."""

    p_sel: float = Field(default=0.5, ge=0, le=1)
    """Probability that a batch mixes inside labels; else it mixes inside attribute values."""
    alpha: PositiveFloat = 2.0
    """Of the Beta distribution that lambda is drawn from."""
    mixing: Mixing = "mixup"
    """Whole patches are mixed, never cut: see models.algorithms.parts.mixing."""


class Lisa(AbstractAlgorithm[TrainGroups, LisaSettings]):
    """ERM on x = lambda x_i + (1 - lambda) x_j and the labels mixed likewise, of chosen pairs.

    Every batch is intra-label (y_i = y_j, a_i != a_j: the label survives a change of the attribute) with
    probability p_sel, else intra-domain (a_i = a_j, y_i != y_j: the attribute does not tell the label).
    lambda ~ Beta(alpha, alpha) for every pair. Groups are drawn equally often, as in the authors' code.

    A batch holds K * B samples (rounded down to pairs), row n paired with row n + half. Unlike the paper,
    every pair gives two mixed samples, the second with the roles of i and j exchanged: so a batch costs as
    many forward passes as it has samples, and every sample's share in the loss is the same as unmixed.
    Groups are those of the sources; of the tissue area, see models.algorithms.parts.mixing.

    Raises:
        EmptyGroupError: a group without samples.
        AlgorithmError: one attribute value alone, or one label.
    """

    settings_type = LisaSettings
    view = TrainGroups
    additive = False

    def __init__(self, train: TrainGroups, settings: LisaSettings) -> None:
        super().__init__(train, settings)
        require_every_group(train.counts_KA)
        if min(train.counts_KA.shape) < 2:
            raise AlgorithmError(
                has=f"{train.layout.n_classes} labels and {train.layout.n_attributes} attribute values",
                needs="at least two of each: LISA mixes samples that differ in one of them",
                do="use mixup, or an attribute of several values",
            )

    @property
    def samples_per_step(self) -> float:
        return 2 * self._pairs

    @property
    def _pairs(self) -> int:
        return self.train.n_classes * self.settings.batch_size // 2

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches of pairs."""
        own = rng.spawn(1)[0]
        streams = GroupStreams(self.train, own)
        n = 2 * self._pairs
        while True:
            yield BatchPlan(self._drawn(streams, self._groups(own)), np.full((1, n), 1 / n))

    def _groups(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Group of every row of a batch: first partners pass through the groups, second ones differ."""
        n_classes, n_attributes = self.train.counts_KA.shape
        turn = int(rng.integers(n_classes * n_attributes))
        first_P = (np.arange(self._pairs) + turn) % (n_classes * n_attributes)
        label_P, attribute_P = np.divmod(first_P, n_attributes)
        if rng.random() < self.settings.p_sel:
            second_P = label_P * n_attributes + _another(attribute_P, n_attributes, rng)
        else:
            second_P = _another(label_P, n_classes, rng) * n_attributes + attribute_P
        return np.concatenate([first_P, second_P])

    def _drawn(self, streams: GroupStreams, group_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples of the given groups."""
        quota_G = np.bincount(group_N, minlength=self.train.layout.n_groups)
        indices_N = np.empty_like(group_N)
        indices_N[np.argsort(group_N, kind="stable")] = np.concatenate(streams.draw(quota_G))
        return indices_N

    def prepared(self, batch: Batch) -> Batch:
        """Every sample mixed with its partner, half a batch away."""
        half = len(batch) // 2
        lam_P = np.random.default_rng(batch.mixing_seed).beta(self.settings.alpha, self.settings.alpha, half)
        partner_N = np.roll(np.arange(2 * half), half)
        return mixed(batch, partner_N, np.tile(lam_P, 2), self.train.n_classes)

    def expectation(self) -> Expectation:
        share_N = self.train.per_sample(np.full(self.train.counts_KA.shape, 1 / self.train.layout.n_groups))
        return Expectation(share_N, share_N * self.samples_per_step)


def _another(value_P: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """For each of the values 0..n-1 one of the others, equally likely."""
    return (value_P + rng.integers(1, n, size=len(value_P))) % n
