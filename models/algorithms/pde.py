"""PDE: from a group-balanced subset to ever more of the training split."""

from collections.abc import Iterator

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.sampling import SampleStream
from models.algorithms.subg import balanced_subset
from models.groups import TrainGroups, require_every_group


class PdeSettings(AlgorithmSettings):
    """Settings of PDE. Its times are in epochs of samples seen, as the training's budget: multiples of the
    training split, not passes over the subset."""

    warm_up: NonNegativeFloat = 6.0
    """Epochs on the group-balanced subset alone; 0 expands at once."""
    every: PositiveFloat = 0.5
    """Epochs from one expansion to the next; the first comes at the warm-up's end."""
    added: PositiveInt = 10
    """Training samples that every expansion adds."""


class Pde(AbstractAlgorithm[TrainGroups, PdeSettings]):
    """ERM on a set S that grows: group-balanced for a while, as large as the smallest group allows, then with
    `added` samples more, drawn from all that are left, every few epochs (Deng et al., "Robust Learning with
    Progressive Data Expansion Against Spurious Correlation", NeurIPS 2023, arXiv 2306.04949).

    A budget within the warm-up makes it SUBG. Its defaults are the authors' on Waterbirds (140 epochs of a
    subset of 224 are 6.5 of the split, 10 samples every 10 epochs). Momentum goes on over every expansion,
    as in their code; the learning rate follows the training's schedule, where theirs falls to a hundredth
    at the end of the warm-up.

    Raises:
        EmptyGroupError: a group without training samples.
    """

    settings_type = PdeSettings
    view = TrainGroups

    def __init__(self, train: TrainGroups, settings: PdeSettings) -> None:
        super().__init__(train, settings)
        require_every_group(train.counts_KA)

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches that pass through S in random order; at an expansion a new pass begins."""
        rng_subset, rng_stream, rng_rest = rng.spawn(3)
        start_M = balanced_subset(self.train, rng_subset)
        rest_M = rng_rest.permutation(np.setdiff1d(np.arange(len(self.train)), start_M))
        n = int(self.samples_per_step)
        stream, weights_RN = SampleStream(start_M, rng_stream), np.full((1, n), 1 / n)
        seen = expansions = 0
        while True:
            if expansions < self.expansions(seen) and expansions * self.settings.added < len(rest_M):
                expansions = self.expansions(seen)
                grown_M = np.concatenate([start_M, rest_M[: expansions * self.settings.added]])
                stream = SampleStream(grown_M, rng_stream)
            yield BatchPlan(stream.draw(n), weights_RN)
            seen += n

    def expansions(self, samples_seen: int) -> int:
        """How many expansions come before the step that follows so many samples."""
        since = samples_seen / len(self.train) - self.settings.warm_up
        # Rounded, so that the tenth expansion at every 0.1 epochs comes after one epoch.
        return 0 if since < 0 else 1 + int(np.floor(round(since / self.settings.every, 9)))

    def expectation(self) -> Expectation:
        """Of the warm-up; where everything is added in the end, it is ERM's."""
        balanced_KA = np.full(self.train.counts_KA.shape, 1 / self.train.layout.n_groups)
        share_N = self.train.per_sample(balanced_KA)
        uniform_KA = np.full(balanced_KA.shape, 1 / self.train.layout.n_attributes)
        by_role = {"warm_up": uniform_KA, "all_added": self.train.alpha_KA}
        return Expectation(share_N, share_N * self.samples_per_step, by_role)
