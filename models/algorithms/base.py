"""What every debiasing algorithm is: a plan of batches, and a linear combination of batch losses."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt

from models.groups import TrainGroups


class AlgorithmSettings(BaseModel):
    """What every algorithm's YAML may hold; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: PositiveInt = 32
    """Samples per class, B. A batch of one role holds K * B samples."""
    candidates: tuple[dict[str, Any], ...] = ({},)
    """Overrides that the train stage tries and selects by validation; not used by the algorithm."""


@dataclass(frozen=True)
class BatchPlan:
    """The samples of one training step and their weight in every role.

    A role is a batch of the paper's text (GERNE: biased, less biased; ERM: all). A sample may
    serve several roles and is then forwarded once.

    Attributes:
        indices_N: samples of the training split, int64.
        weights_RN: float64; row r sums to 1, so that role r's batch loss is sum_n w[r, n] * loss[n]. Where
            samples are weighted by their group, it does so on average over batches.
    """

    indices_N: NDArray[np.int64]
    weights_RN: NDArray[np.float64]


@dataclass(frozen=True)
class Composition:
    """What an algorithm makes of the groups, [K, A] each; printed at start and stored with the run.

    Attributes:
        groups: of the training split; gives count and alpha.
        p_by_role: p(a|y) of every role's batch, where there are several roles.
        p_KA: the p(a|y) trained on, in expectation and as far as rounding keeps it.
        share_KA: share of the group in the expected loss; sums to 1.
        samples_KA: expected forward passes of the group per step.
    """

    groups: TrainGroups
    p_by_role: Mapping[str, NDArray[np.float64]]
    p_KA: NDArray[np.float64]
    share_KA: NDArray[np.float64]
    samples_KA: NDArray[np.float64]

    def rows(self) -> list[dict[str, str | int | float]]:
        """One row per group: group, count, alpha, p_<role>, p_trained, share, samples_per_step."""
        columns = {
            "alpha": self.groups.alpha_KA,
            **{f"p_{role}": p_KA for role, p_KA in self.p_by_role.items()},
            "p_trained": self.p_KA,
            "share": self.share_KA,
            "samples_per_step": self.samples_KA,
        }
        counts_G = self.groups.counts_KA.ravel().tolist()
        names = self.groups.layout.names
        return [
            {"group": name, "count": count, **{key: float(values.flat[g]) for key, values in columns.items()}}
            for g, (name, count) in enumerate(zip(names, counts_G, strict=True))
        ]


SettingsT = TypeVar("SettingsT", bound=AlgorithmSettings)


class AbstractAlgorithm(ABC, Generic[SettingsT]):
    """A debiasing method, bound to the groups of one training split.

    The training loss of a step is sum_r coefficients[r] * L_r, with L_r the weighted mean of the
    per-sample losses in role r. Subclasses state their difference from ERM and nothing else.
    """

    settings_type: ClassVar[type[AlgorithmSettings]]
    roles: tuple[str, ...]
    coefficients: tuple[float, ...]

    def __init__(self, groups: TrainGroups, settings: SettingsT) -> None:
        self.groups = groups
        self.settings = settings

    @property
    @abstractmethod
    def samples_per_step(self) -> float:
        """Expected forward passes per step; budgets in samples seen are divided by it."""

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batch plans without end; all randomness comes from children spawned from `rng`."""

    @abstractmethod
    def composition(self) -> Composition:
        """The table of groups printed at start; `.rows()` for storing."""

    def sample_weights(self, plan: BatchPlan) -> NDArray[np.float64]:
        """Weight of every sample in the combined loss: sum_r coefficients[r] * weights[r], shape [N]."""
        weights_N: NDArray[np.float64] = np.asarray(self.coefficients) @ plan.weights_RN
        return weights_N

    def loss(self, losses_N: torch.Tensor, plan: BatchPlan) -> torch.Tensor:
        """Combine per-sample losses [N] into the step's loss, in fp32.

        The value may be negative for GERNE; never stop early on it.
        """
        weights_N = torch.as_tensor(self.sample_weights(plan), dtype=torch.float32, device=losses_N.device)
        return (weights_N * losses_N.float()).sum()
