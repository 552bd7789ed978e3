"""JTT: train twice, the second time with the first model's errors repeated."""

from dataclasses import replace

import numpy as np
from pydantic import PositiveInt

from models.algorithms.erm import AbstractErm
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.parts.two_stage import TwoStageSettings
from models.groups import TrainLabels
from patching.errors import AlgorithmError


class JttSettings(TwoStageSettings):
    """Settings of JTT."""

    lambda_up: PositiveInt = 20
    """How many times a sample that the first model gets wrong is in the second training's set."""
    folds: PositiveInt = 1
    """Above 1, every sample is judged by a first model that never saw its patient."""


class Jtt(AbstractErm[JttSettings]):
    """ERM on D_up, in which the samples E that an ERM model misclassifies are lambda_up times and all others
    once (Liu et al., "Just Train Twice", ICML 2021, arXiv 2107.09044, Algorithm 1).

    lambda_up = 1 is ERM. The first model is the state of best average accuracy within its share of the
    budget, where the paper tunes its number of epochs by the final worst-group accuracy. (The authors' code
    adds lambda_up copies to the one that is there; here it is as in the paper.)

    Raises:
        AlgorithmError: the first model misclassifies no training sample.
    """

    settings_type = JttSettings

    def __init__(self, train: TrainLabels, settings: JttSettings, first: FirstModel) -> None:
        super().__init__(train, settings, first)
        wrong_N = first.prediction_N != train.label_N
        if not wrong_N.any():
            raise AlgorithmError(
                has=f"a first model that is right about all {len(train)} training samples",
                needs="an error set that is not empty",
                do="lower first_share, so that the first model learns less, or judge out of fold (folds: 5)",
            )
        self.copies_N = np.where(wrong_N, settings.lambda_up, 1)

    @classmethod
    def first_stage(cls, settings: JttSettings) -> FirstStage:
        return replace(settings.erm_first, selection="average", folds=settings.folds)
