"""What every debiasing method is: a plan of batches, and what is minimized on them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt

from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.groups import TrainGroups, TrainLabels
from models.networks.classifier import Classifier


class AlgorithmSettings(BaseModel):
    """What every algorithm's YAML may hold; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: PositiveInt = 32
    """Samples per class, B. A batch of one role holds K * B samples."""
    candidates: tuple[dict[str, Any], ...] = ({},)
    """Overrides that the train stage tries and selects by validation; not used by the algorithm."""


ViewT = TypeVar("ViewT", bound=TrainLabels | TrainGroups)
SettingsT = TypeVar("SettingsT", bound=AlgorithmSettings)


class AbstractAlgorithm(ABC, Generic[ViewT, SettingsT]):
    """A debiasing method, bound to one training split. Subclasses state their difference from ERM.

    `ViewT` says what the method may know: `TrainLabels` hold no attributes, so that a method that must
    not see them cannot. By default the loss of a step is sum_r coefficients[r] * L_r, with L_r the
    weighted mean of the per-sample losses in role r. A method differs by one or more of these, each a
    line or a few: `batches` (what is drawn), `prepared` (what is done to the images), `sample_losses`,
    `loss` (how they are combined), `objective` (all of it), `descend` (how a gradient is made of it).

    A method whose training knows a first model asks for it in `first_stage` and takes it as the third
    argument; `start`, `trains` and `begin` say how the second classifier begins.

    Attributes:
        train: the training split, as far as the method may know it.
        first: the trained first model; none where none is asked for.
        state: tensors that the method changes from step to step; saved and restored with the training.
    """

    settings_type: ClassVar[type[AlgorithmSettings]] = AlgorithmSettings
    view: ClassVar[type[TrainLabels] | type[TrainGroups]]
    """The type behind ViewT."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Names of classifiers that are trained beside the main one, in `Networks.companions`."""
    additive: ClassVar[bool] = True
    """Whether the objective is a sum over samples, given the plan: only then can a step be computed in
    parts, by several processes or one after the other."""
    assembly: ClassVar[str | None] = None
    """A backbone of models.networks.backbones.registry that is built around the configured one, or none."""
    start: ClassVar[Literal["fresh", "first"]] = "fresh"
    """Whether the classifier is a fresh one, or goes on from the first model's."""
    trains: ClassVar[Literal["all", "head"]] = "all"
    """Whether all of it is trained, or its last layer alone: anew, with features and BatchNorm frozen."""
    roles: tuple[str, ...] = ("all",)
    coefficients: tuple[float, ...] = (1.0,)

    def __init__(self, train: ViewT, settings: SettingsT, first: FirstModel | None = None) -> None:
        self.train = train
        self.settings = settings
        self.first = first
        self.state: dict[str, torch.Tensor] = {}

    @classmethod
    def first_stage(cls, settings: SettingsT) -> FirstStage | None:
        """What the method asks of a first model; none where it needs none."""
        return None

    def begin(self, classifier: Classifier) -> None:
        """Hand weights over to the classifier before it is trained; by default none."""

    @property
    def samples_per_step(self) -> float:
        """Expected forward passes per step; budgets in samples seen are divided by it."""
        return self.train.n_classes * self.settings.batch_size

    @property
    def strata_N(self) -> NDArray[np.int64]:
        """Group of every training sample, as far as the method knows it: where a step is done in parts, each
        gets its share of every one."""
        return self.train.group_N if isinstance(self.train, TrainGroups) else self.train.label_N

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batch plans without end; all randomness comes from children spawned from `rng`."""

    @abstractmethod
    def expectation(self) -> Expectation:
        """What happens to every sample on average; by groups it is the table printed at start."""

    def prepared(self, batch: Batch) -> Batch:
        """The batch as the network sees it; mixing methods change it here."""
        return batch

    def sample_losses(self, logits_BK: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Per-sample losses [B] of fp32 logits; cross-entropy."""
        return torch.nn.functional.cross_entropy(
            logits_BK,
            batch.label_B if batch.target_BK is None else batch.target_BK,
            reduction="none",
            label_smoothing=batch.label_smoothing,
        )

    def loss(self, losses_N: torch.Tensor, plan: BatchPlan) -> torch.Tensor:
        """Combine per-sample losses [N] into the step's loss, in fp32.

        The value may be negative for GERNE; never stop early on it.
        """
        weights_N = torch.as_tensor(self.sample_weights(plan), dtype=torch.float32, device=losses_N.device)
        return (weights_N * losses_N.float()).sum()

    def sample_weights(self, plan: BatchPlan) -> NDArray[np.float64]:
        """Weight of every sample in the combined loss: sum_r coefficients[r] * weights[r], shape [N]."""
        weights_N: NDArray[np.float64] = np.asarray(self.coefficients) @ plan.weights_RN
        return weights_N

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        """What is minimized in a step, fp32."""
        parts = networks.forward(batch)
        return torch.stack(
            [self.loss(self.sample_losses(logits_BK, part), part.plan) for logits_BK, part in parts]
        ).sum()

    def descend(
        self,
        objective: Callable[[], torch.Tensor],
        parameters: Sequence[torch.nn.Parameter],
        backward: Callable[[torch.Tensor], None],
    ) -> float:
        """Fill the parameters' gradients; returns the objective's value.

        Args:
            objective: computes the step's objective anew, with the same random draws, at every call.
            parameters: of all networks.
            backward: of a loss; adds to the gradients.
        """
        loss = objective()
        backward(loss)
        return float(loss.detach())
