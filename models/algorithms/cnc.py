"""CnC: pull together what shares a label but not the first model's prediction, push apart the reverse."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.algorithms.parts.sampling import SampleStream
from models.algorithms.parts.two_stage import TwoStageSettings
from models.groups import TrainLabels
from models.networks.heads import features_and_logits
from patching.errors import AlgorithmError


class CncSettings(TwoStageSettings):
    """Settings of CnC. A step holds as many sets as its K * B samples have room for, at least one."""

    anchors: PositiveInt = 8
    """Samples in a set of one class that the first model gets right; the first is contrasted."""
    positives: PositiveInt = 8
    """Of the same class, with another prediction."""
    negatives: PositiveInt = 8
    """Of other classes, with the anchors' prediction; and as many with the first positive's prediction."""
    temperature: PositiveFloat = 0.1
    """tau, by which similarities are divided."""
    contrast: float = Field(default=0.75, ge=0, le=1)
    """lambda: the objective is contrast * L_contrastive + (1 - contrast) * L_cross-entropy."""


class Cnc(AbstractAlgorithm[TrainLabels, CncSettings]):
    """lambda L_sup_con + (1 - lambda) L_CE over sets of samples chosen by an ERM model's predictions
    (Zhang et al., "Correct-N-Contrast", ICML 2022, arXiv 2203.01517, section 4).

    A set is anchors, positives, negatives, and negatives for the second side, on which the first positive is
    contrasted with the anchors. Both sides' losses are added, as in the authors' code; cross-entropy is over
    the whole set. Theirs accumulates 32 sets per step of 4 * 17 samples, ours is as large as other methods'.
    Where a class has no sample of the kind, any of its samples are positives, any of other classes negatives.

    Raises:
        AlgorithmError: the first model is right, or wrong, about every training sample.
    """

    settings_type = CncSettings
    view = TrainLabels
    additive = False

    def __init__(self, train: TrainLabels, settings: CncSettings, first: FirstModel) -> None:
        super().__init__(train, settings, first)
        self.kinds = Kinds(train.label_N, first.prediction_N)
        right_N = train.label_N == first.prediction_N
        if right_N.all() or not right_N.any():
            raise AlgorithmError(
                has=f"a first model that is right about {right_N.sum()} of {len(train)} training samples",
                needs="some of both, to tell anchors from positives and negatives",
                do="change first_share or learning_rate, so that the first model learns the bias and no more",
            )
        self.classes_T = np.unique(train.label_N[right_N])
        self.set_size = settings.anchors + settings.positives + 2 * settings.negatives
        self.sets = max(1, train.n_classes * settings.batch_size // self.set_size)

    @classmethod
    def first_stage(cls, settings: CncSettings) -> FirstStage:
        return replace(settings.erm_first, selection="average")

    @property
    def samples_per_step(self) -> float:
        return self.sets * self.set_size

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield sets one after the other, each in the order [anchors, positives, negatives, negatives]."""
        own = rng.spawn(1)[0]
        classes = SampleStream(self.classes_T, own)

        @cache
        def stream(kind: Callable[..., NDArray[np.int64]], *of: int) -> SampleStream:
            return SampleStream(kind(*of), own)

        n = int(self.samples_per_step)
        weights_RN = np.full((1, n), 1 / n)
        while True:
            drawn = [self._set(int(y), stream) for y in classes.draw(self.sets)]
            yield BatchPlan(np.concatenate(drawn), weights_RN)

    def _set(self, y: int, stream: Callable[..., SampleStream]) -> NDArray[np.int64]:
        wanted, kinds = self.settings, self.kinds
        positives_M = stream(kinds.positives, y).draw(wanted.positives)
        others = int(kinds.prediction_N[positives_M[0]])
        return np.concatenate(
            [
                stream(kinds.anchors, y).draw(wanted.anchors),
                positives_M,
                stream(kinds.negatives, y, y).draw(wanted.negatives),
                stream(kinds.negatives, y, others).draw(wanted.negatives),
            ]
        )

    def expectation(self) -> Expectation:
        """Shares are those in the cross-entropy."""
        wanted, kinds, total_N = self.settings, self.kinds, np.zeros(len(self.train))
        for y in self.classes_T.tolist():
            positives_M = kinds.positives(y)
            expected = [(wanted.anchors, kinds.anchors(y)), (wanted.positives, positives_M)]
            expected.append((wanted.negatives, kinds.negatives(y, y)))
            predicted, times = np.unique(kinds.prediction_N[positives_M], return_counts=True)
            for other, share in zip(predicted.tolist(), times / len(positives_M), strict=True):
                expected.append((wanted.negatives * share, kinds.negatives(y, other)))
            for samples, members_M in expected:
                total_N[members_M] += samples / len(members_M)
        share_N = total_N / total_N.sum()
        return Expectation(share_N, share_N * self.samples_per_step)

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        features_BD, logits_BK = features_and_logits(
            networks.main, networks.classifier.backbone, batch.images_BCHW
        )
        crossed = self.loss(self.sample_losses(logits_BK.float(), batch), batch.plan)
        contrasted = self.contrastive_loss(features_BD.float())
        return self.settings.contrast * contrasted + (1 - self.settings.contrast) * crossed

    def contrastive_loss(self, features_BD: torch.Tensor) -> torch.Tensor:
        """Mean over sets of both sides' losses, of features in the order of `batches`."""
        wanted = self.settings
        unit_BD = torch.nn.functional.normalize(features_BD, dim=1)
        sizes = [wanted.anchors, wanted.positives, wanted.negatives, wanted.negatives]
        parts = torch.split(unit_BD.reshape(-1, self.set_size, unit_BD.shape[1]), sizes, dim=1)
        anchors_SMD, positives_SMD, negatives_SMD, other_negatives_SMD = parts
        sides_S = contrastive(anchors_SMD[:, 0], positives_SMD, negatives_SMD, wanted.temperature)
        sides_S = sides_S + contrastive(
            positives_SMD[:, 0], anchors_SMD, other_negatives_SMD, wanted.temperature
        )
        return sides_S.mean()


@dataclass(frozen=True, eq=False)
class Kinds:
    """Training samples by label and first prediction.

    Attributes:
        label_N: of every training sample.
        prediction_N: of the first model, the pseudo-attribute.
    """

    label_N: NDArray[np.int64]
    prediction_N: NDArray[np.int64]

    def anchors(self, y: int) -> NDArray[np.int64]:
        """Samples of class y that were predicted as such."""
        return np.flatnonzero((self.label_N == y) & (self.prediction_N == y))

    def positives(self, y: int) -> NDArray[np.int64]:
        """Samples of class y that were predicted as another; where there are none, all of the class."""
        return _first_of((self.label_N == y) & (self.prediction_N != y), self.label_N == y)

    def negatives(self, y: int, predicted: int) -> NDArray[np.int64]:
        """Samples of other classes than y with this prediction; where there are none, all of those."""
        return _first_of((self.label_N != y) & (self.prediction_N == predicted), self.label_N != y)


def contrastive(
    anchor_SD: torch.Tensor, positives_SMD: torch.Tensor, negatives_SND: torch.Tensor, temperature: float
) -> torch.Tensor:
    """-mean_m log(exp(z z_m / tau) / (sum_m exp(z z_m / tau) + sum_n exp(z z_n / tau))), shape [S], with z
    the anchor, z_m its positives and z_n its negatives, all of length 1 (CnC's L_con^sup).
    """
    positive_SM = torch.einsum("sd,smd->sm", anchor_SD, positives_SMD) / temperature
    negative_SN = torch.einsum("sd,snd->sn", anchor_SD, negatives_SND) / temperature
    total_S = torch.cat([positive_SM, negative_SN], dim=1).logsumexp(dim=1)
    return total_S - positive_SM.mean(dim=1)


def _first_of(wanted_N: NDArray[np.bool_], otherwise_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(wanted_N if wanted_N.any() else otherwise_N)
