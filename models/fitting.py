"""From patches to a classifier: every candidate of an algorithm on equal terms, chosen by validation."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.algorithms.base import AbstractAlgorithm, Composition
from models.algorithms.registry import candidates, make_algorithm
from models.backbones.registry import make_backbone
from models.classifier import Classifier
from models.dataset import PatchData
from models.determinism import deterministic
from models.groups import GroupLayout, TrainGroups
from models.normalization import Normalization, measure_normalization
from models.selection import Score
from models.train_settings import TrainSettings
from models.training import Trainer
from patching.errors import DivergenceError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One candidate: what it changed, and what it reached on validation.

    Attributes:
        override: settings laid over the algorithm's.
        score: what the selection compares; none if it diverged.
        figures: the validation row of its best step; empty if it diverged.
        history: of its training; empty if it diverged.
        failure: why it diverged, or empty.
    """

    override: Mapping[str, Any]
    score: Score | None
    figures: Mapping[str, float]
    history: tuple[dict[str, float], ...]
    failure: str = ""


@dataclass(frozen=True)
class FitResult:
    """The chosen classifier and how it was found.

    Attributes:
        classifier: with the weights of the best step of the chosen candidate.
        algorithm_settings: of the chosen candidate, complete.
        history: of the chosen candidate, one row per validation (`TrainResult.history`).
        composition: of the chosen candidate.
        trials: every candidate in the order of the settings.
        chosen: its position in `trials`.
    """

    classifier: Classifier
    algorithm_settings: Mapping[str, Any]
    history: tuple[dict[str, float], ...]
    composition: Composition
    trials: tuple[Trial, ...]
    chosen: int


def fit(
    train: PatchData,
    validation: PatchData,
    *,
    algorithm: str,
    algorithm_settings: Mapping[str, Any],
    settings: TrainSettings,
    seed: int,
    n_attributes: int = 2,
    n_classes: int = 2,
    working_folder: Path | None = None,
    quiet: bool = False,
) -> FitResult:
    """Train every candidate of `algorithm` with the same budget and seed; keep the best on validation.

    Args:
        train: the training split; alone decides groups, alpha and normalization.
        validation: the validation split; alone decides which state and which candidate is kept.
        algorithm: a key of models.algorithms.registry.ALGORITHMS.
        algorithm_settings: its YAML, `candidates` included.
        settings: of the training.
        seed: of initial weights, batches and augmentation.
        n_attributes: A, attribute values.
        n_classes: K, labels.
        working_folder: where interrupted trainings are saved and taken up again.
        quiet: no progress bars.

    Raises:
        ConfigError: an unknown name or setting.
        EmptyGroupError, AlgorithmError: the algorithm cannot run on these groups.
        DivergenceError: every candidate diverged.
    """
    groups = TrainGroups(GroupLayout(n_classes, n_attributes), train.label_N, train.attribute_N)
    bound = bind_candidates(algorithm, algorithm_settings, groups)
    normalization = measure_normalization(train.images, train.tissue_fraction_N, settings.transform)
    trials: list[Trial] = []
    best: tuple[Score, int, Classifier] | None = None
    for number, (override, method) in enumerate(bound):
        classifier = new_classifier(normalization, settings, train.images.channels, n_classes, seed)
        trainer = Trainer(classifier, method, train, validation, settings, seed)
        state_path = working_folder / f"{algorithm}-{number}.safetensors" if working_folder else None
        trial = _attempt(trainer, override, state_path, f"{algorithm} {number + 1}/{len(bound)}", quiet=quiet)
        trials.append(trial)
        if trial.score is not None and (best is None or trial.score > best[0]):
            best = trial.score, number, classifier
    if best is None:
        raise _all_diverged(trials)
    _, chosen, classifier = best
    method = bound[chosen][1]
    complete = method.settings.model_dump(mode="json", exclude={"candidates"})
    history = trials[chosen].history
    return FitResult(classifier, complete, history, method.composition(), tuple(trials), chosen)


def bind_candidates(
    algorithm: str, settings: Mapping[str, Any], groups: TrainGroups
) -> tuple[tuple[Mapping[str, Any], AbstractAlgorithm[Any]], ...]:
    """Every candidate's override with its algorithm, bound to the groups; nothing is trained.

    Raises:
        ConfigError, EmptyGroupError, AlgorithmError: as `fit`.
    """
    overrides = candidates(settings)
    return tuple((o, make_algorithm(algorithm, {**settings, **o}, groups)) for o in overrides)


def new_classifier(
    normalization: Normalization, settings: TrainSettings, channels: int, n_classes: int, seed: int
) -> Classifier:
    """An untrained classifier; the same seed gives the same weights.

    Raises:
        ConfigError: an unknown backbone or setting.
        CheckpointError: starting weights that do not fit.
    """
    with deterministic(torch.device("cpu")):
        torch.manual_seed(seed)
        backbone = make_backbone(
            settings.backbone, channels, n_classes, settings.backbone_settings, settings.weights
        )
    return Classifier(backbone, normalization, test_time_symmetries=settings.test_time_symmetries)


def _attempt(
    trainer: Trainer, override: Mapping[str, Any], state_path: Path | None, title: str, *, quiet: bool
) -> Trial:
    try:
        result = trainer.run(
            state_path=state_path, fingerprint=_fingerprint(trainer), title=title, quiet=quiet
        )
    except DivergenceError as error:
        logger.warning("%s %s diverged: %s", title, dict(override), error)
        return Trial(override, None, {}, (), failure=str(error))
    figures = ", ".join(f"{k} {result.best[f'validation_{k}']:.3f}" for k in ("wga", "gba", "average"))
    logger.info("%s %s: best at step %d, validation %s", title, dict(override), result.best_step, figures)
    return Trial(override, result.score, result.best, result.history)


def _fingerprint(trainer: Trainer) -> str:
    """Of everything a training depends on: only a state with the same one may be taken up again."""
    content = {
        "settings": trainer.settings.model_dump(mode="json"),
        "algorithm": [type(trainer.algorithm).__name__, trainer.algorithm.settings.model_dump(mode="json")],
        "normalization": asdict(trainer.classifier.normalization),
        "seed": trainer.seed,
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for data in (trainer.data, trainer.validation):
        for column in (data.label_N, data.attribute_N, data.tissue_fraction_N):
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def _all_diverged(trials: Sequence[Trial]) -> DivergenceError:
    return DivergenceError(
        has=f"{len(trials)} of {len(trials)} candidates diverged; the last: {trials[-1].failure}",
        needs="one training that stays finite",
        do="lower learning_rate, set clip_norm, or lower beta",
    )
