"""First models of two-stage methods: trained once for all candidates that ask for the same."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.groups import TrainGroups, TrainLabels
from models.networks.classifier import Classifier
from models.training.loop import Trainer
from models.training.making import make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import AlgorithmError

logger = logging.getLogger(__name__)

_Scored = tuple[Classifier, NDArray[np.float32]]
"""A state of a first model, and its logits of the samples that it is asked about."""


@dataclass
class FirstModels:
    """Trains first models on demand and keeps them.

    Args:
        setup: of the fit.
        name: of the method, for files and progress bars.
        beside: the same setup with other attributes of the validation patches, by name.
    """

    setup: Setup
    name: str
    beside: Mapping[str, Setup] = field(default_factory=dict)
    _made: list[tuple[FirstStage, dict[str | None, FirstModel]]] = field(default_factory=list)

    def get(self, wanted: FirstStage, beside: str | None = None) -> FirstModel:
        """The first model of this description.

        Args:
            wanted: what is asked of it.
            beside: a name in `beside` whose attributes shall have chosen its state. Names that chose the same
                get the same object; by a rule without groups they do, but for ties.

        Raises:
            AlgorithmError: patients are too few for the folds or for holding some out, or folds are asked
                for and patients are not known.
            DivergenceError, CheckpointError: of its training.
        """
        found = next((models for stage, models in self._made if stage == wanted), None)
        if found is None:
            found = self._train(wanted)
            self._made.append((wanted, found))
        return found[beside]

    def _train(self, wanted: FirstStage) -> dict[str | None, FirstModel]:
        train, folded, number = self.setup.train, wanted.folds > 1, len(self._made)
        fold_N = self._folds(wanted.folds) if folded else np.zeros(len(train), np.int64)
        unseen_N = self._held_out(wanted.held_out)
        states: list[dict[int, _Scored]] = []
        steps: dict[str | None, tuple[int, ...]] = dict.fromkeys((None, *self.beside), ())
        for fold in range(wanted.folds):
            seen_N = (fold_N != fold) & ~unseen_N if folded else ~unseen_N
            name = f"{self.name}-first-{number}" + (f"-{fold}" if folded else "")
            trainer, step = self._fit(wanted, seen_N, unseen_N, name)
            scored = train.subset(np.flatnonzero(fold_N == fold)) if folded else train
            states.append({step: (trainer.classifier, trainer.logits(scored))})
            steps[None] += (step,)
            for other in self.beside:
                classifier, result = trainer.restored(other)
                steps[other] += (result.best_step,)
                if result.best_step not in states[-1]:
                    states[-1][result.best_step] = classifier, trainer.logits(scored, classifier)
        models = {kept: _joined(states, kept, fold_N, unseen_N) for kept in set(steps.values())}
        return {name: models[kept] for name, kept in steps.items()}

    def _fit(
        self, wanted: FirstStage, seen_N: NDArray[np.bool_], held_out_N: NDArray[np.bool_], name: str
    ) -> tuple[Trainer, int]:
        """One training, and the step that was kept."""
        rows_M = np.flatnonzero(seen_N)
        data = self.setup.train.subset(rows_M).labelled
        algorithm = make_algorithm(
            wanted.algorithm, wanted.algorithm_settings, _subset(self.setup.known, rows_M)
        )
        settings = first_settings(self.setup.settings, wanted, 1 - float(held_out_N.mean()))
        judged_on = data if wanted.judged_on == "training" else None
        trainer = self.setup.trainer(algorithm, settings, data, judged_on, self.beside)
        result = self.setup.run(trainer, name, f"{self.name}, first model")
        figures = ", ".join(
            f"{k} {result.best[f'validation_{k}']:.3f}" for k in ("worst_class", "class_balanced")
        )
        logger.info("%s: first model best at step %d, validation %s", name, result.best_step, figures)
        return trainer, result.best_step

    def _held_out(self, share: float) -> NDArray[np.bool_]:
        """Samples of about that share of the patients; none where patients are not known."""
        if share and self.setup.train.patient_N is None:
            logger.warning("%s: patients are not known, so that none is held out", self.name)
        if not share or self.setup.train.patient_N is None:
            return np.zeros(len(self.setup.train), dtype=bool)
        held_N: NDArray[np.bool_] = self._folds(max(2, round(1 / share))) == 0
        return held_N

    def _folds(self, folds: int) -> NDArray[np.int64]:
        train = self.setup.train
        owner = f"{self.name}'s first model"
        return patient_folds(train.patient_N, train.label_N, folds, self.setup.seed, owner)


def patient_folds(
    patient_N: NDArray[np.str_] | None, stratum_N: NDArray[np.int64], folds: int, seed: int, owner: str
) -> NDArray[np.int64]:
    """Fold of every sample: patients in random order, each into the fold that has the fewest samples of the
    patient's most frequent stratum so far, so that every fold has every one.

    Args:
        patient_N: patient of every sample; none: not known.
        stratum_N: what shall be alike in all folds: class or group, from 0.
        folds: how many.
        seed: of the order.
        owner: whose folds they are, for the error.

    Raises:
        AlgorithmError: fewer patients than folds.
    """
    n_patients = 0 if patient_N is None else len(np.unique(patient_N))
    if patient_N is None or n_patients < folds:
        raise AlgorithmError(
            has=f"{n_patients} known training patients, {folds} folds of {owner}",
            needs="at least one patient per fold, so that no model scores a patient it has seen",
            do="lower the number of folds, or score in sample (folds: 1, held_out: 0)",
        )
    names, number_N = np.unique(patient_N, return_inverse=True)
    size_PS = np.zeros((len(names), int(stratum_N.max()) + 1), np.int64)
    np.add.at(size_PS, (number_N, stratum_N), 1)
    fold_P, filled_FS = np.zeros(len(names), np.int64), np.zeros((folds, size_PS.shape[1]), np.int64)
    for patient in np.random.default_rng(seed).permutation(len(names)):
        of_stratum_F = filled_FS[:, size_PS[patient].argmax()]
        fold_P[patient] = np.lexsort((filled_FS.sum(axis=1), of_stratum_F))[0]
        filled_FS[fold_P[patient]] += size_PS[patient]
    fold_N: NDArray[np.int64] = fold_P[number_N]
    return fold_N


def first_settings(settings: TrainSettings, wanted: FirstStage, seen: float = 1.0) -> TrainSettings:
    """Settings of the first training.

    Args:
        settings: of the whole.
        wanted: how the first training differs.
        seen: share of the training split that is not held out. The fewer samples are passed through more
            often, so that the first training has its share of the budget in samples seen.
    """
    changes: dict[str, Any] = {
        "epochs": settings.epochs * wanted.share / seen,
        "learning_rate": settings.learning_rate * wanted.learning_rate,
        "weight_decay": settings.weight_decay * wanted.weight_decay,
        "selection": wanted.selection or settings.selection,
    }
    return settings.model_copy(update=changes)


def second_settings(settings: TrainSettings, wanted: FirstStage) -> TrainSettings:
    """Settings of the second training: what the first left of the budget."""
    return settings.model_copy(update={"epochs": settings.epochs * (1 - wanted.share)})


def _joined(
    states: Sequence[Mapping[int, _Scored]],
    kept: Sequence[int],
    fold_N: NDArray[np.int64],
    unseen_N: NDArray[np.bool_],
) -> FirstModel:
    """The first model made of one state of every fold, by the step that was kept."""
    chosen = [of_fold[step] for of_fold, step in zip(states, kept, strict=True)]
    logits_NK = np.empty((len(fold_N), chosen[0][1].shape[1]), np.float32)
    for fold, (_, logits_MK) in enumerate(chosen):
        logits_NK[fold_N == fold] = logits_MK
    return FirstModel(chosen[0][0], logits_NK, unseen_N)


def _subset(known: TrainGroups | TrainLabels, rows_M: NDArray[np.int64]) -> TrainGroups | TrainLabels:
    if len(rows_M) == len(known):
        return known
    if isinstance(known, TrainLabels):
        return TrainLabels(known.n_classes, known.label_N[rows_M])
    return TrainGroups(known.layout, known.label_N[rows_M], known.attribute_N[rows_M])
