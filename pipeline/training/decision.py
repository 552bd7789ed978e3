"""A training's decision: what it is fitted to, and whether it can be."""

from dataclasses import dataclass

import pandas as pd

from models.data.dataset import AbstractPatches
from models.decisions.fitting import check_decision, fit_decision
from models.determinism import deterministic
from models.networks.card import DecisionCard
from models.networks.classifier import Classifier, choose_device
from models.networks.decision import network_logit
from pipeline.training.settings import TrainStage


@dataclass(frozen=True)
class Deciding:
    """Fits the decision of a trained classifier to its validation patches.

    Attributes:
        stage: settings of the train stage.
        table: the validation split's rows of the index.
        n_classes: of the classifier.
        above: the attribute's threshold on the tissue fraction; None where tissue does not make it.
    """

    stage: TrainStage
    table: pd.DataFrame
    n_classes: int
    above: float | None

    def check(self) -> None:
        """Check before the training what can be known before.

        Raises:
            AlgorithmError, ConfigError: as `check_decision`.
        """
        check_decision(
            self.stage.decision,
            n_classes=self.n_classes,
            grouped=self.stage.attributes != "nowhere",
            label_N=self.table["label"],
            tissue_fraction_N=self.table["tissue_fraction"],
            above=self.above,
            patient_N=self.table["patient_id"],
        )

    def fitted(self, classifier: Classifier, images: AbstractPatches) -> DecisionCard:
        """The decision, by what the classifier says of the rows of `table`.

        Args:
            classifier: trained.
            images: of the validation patches, row by row.

        Raises:
            AlgorithmError, ConfigError: as `fit_decision`.
        """
        if self.n_classes != 2:
            return DecisionCard(uncalibrated="more than two classes")
        device = choose_device(self.stage.device)
        with deterministic(device):
            probability_N2 = classifier.to(device).predict_patches(images)
        return fit_decision(
            self.stage.decision.rule,
            logit_N=network_logit(probability_N2),
            label_N=self.table["label"],
            tissue_fraction_N=self.table["tissue_fraction"],
            above=self.above,
            patient_N=self.table["patient_id"],
            settings=self.stage.decision,
        )
