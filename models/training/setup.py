"""What all trainings of one fit share: the same data, normalization, seed and budget for every one."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.algorithms.base import AbstractAlgorithm
from models.data.dataset import LabelledPatches, PatchData
from models.data.normalization import Normalization, measure_normalization
from models.determinism import deterministic
from models.groups import GroupLayout, TrainGroups, TrainLabels
from models.metrics.selection import LAST, Choice, Judge, choice_of
from models.networks.backbones.registry import make_backbone
from models.networks.classifier import Classifier
from models.networks.heads import only_head
from models.training.keeping import TrainResult
from models.training.loop import Trainer
from models.training.settings import CHANGES_NO_RESULT, TrainSettings


@dataclass(frozen=True)
class Setup:
    """What a fit trains on and how; makes its trainings and runs them.

    Attributes:
        train: the training split; alone decides groups, alpha and normalization.
        validation: the validation split; alone decides which state and which candidate is kept.
        settings: of the training; `attributes` says which of both splits' attributes may be used.
        seed: of initial weights, batches and augmentation.
        layout: of the groups.
        oracle: test patches for figures under that name (`FitResult.oracle`); none: no such figures.
        working_folder: where interrupted trainings are saved and taken up again.
        quiet: no progress bars.
        listen: called with the logits of every validation of every training but first models'.
    """

    train: PatchData
    validation: PatchData
    settings: TrainSettings
    seed: int
    layout: GroupLayout = field(default_factory=lambda: GroupLayout(2, 2))
    oracle: PatchData | None = None
    working_folder: Path | None = None
    quiet: bool = False
    listen: Callable[[NDArray[np.float32]], None] | None = None

    @cached_property
    def known(self) -> TrainGroups | TrainLabels:
        """What methods may know of the training split: attributes only where the regime has them there."""
        groups = TrainGroups(self.layout, self.train.label_N, self.train.attribute_N)
        return groups if self.settings.attributes == "known" else groups.labels

    @cached_property
    def normalization(self) -> Normalization:
        """Of the training split; the tissue fraction has a say only where attributes are known there."""
        known = self.settings.attributes == "known"
        weight_N = self.train.tissue_fraction_N if known else np.ones(len(self.train))
        return measure_normalization(self.train.images, weight_N, self.settings.transform)

    @property
    def _validation(self) -> PatchData | LabelledPatches:
        """As far as it is known."""
        return self.validation.labelled if self.settings.attributes == "nowhere" else self.validation

    @property
    def choice(self) -> Choice:
        """What chooses the state and the candidate."""
        own = self.settings
        return choice_of(self._validation, self.layout, own.choose_by, own.minimum_validation_patients)

    def judge(
        self,
        settings: TrainSettings,
        patches: PatchData | LabelledPatches | None = None,
        kept: float = LAST,
    ) -> Judge:
        """Of the validation split, without its attributes where the regime has none, or of other patches,
        which choose in any case.

        Args:
            settings: of the training.
            patches: in place of the validation split.
            kept: what cross-validation found (`Judge`).
        """
        return Judge(
            self._validation if patches is None else patches,
            self.layout,
            settings.selection,
            settings.minimum_validation_patches,
            settings.selection_smoothing,
            choose_by=settings.choose_by if patches is None else "validation",
            minimum_patients=settings.minimum_validation_patients,
            kept=kept,
        )

    def classifier(self, algorithm: AbstractAlgorithm[Any, Any], seed: int | None = None) -> Classifier:
        """An untrained classifier, or the first model that a second stage goes on from."""
        if algorithm.first is not None and algorithm.start == "first":
            classifier = deepcopy(algorithm.first.classifier)
        else:
            classifier = new_classifier(
                self.normalization,
                self.settings,
                self.train.images.channels,
                self.layout.n_classes,
                self.seed if seed is None else seed,
                assembly=algorithm.assembly,
            )
        if algorithm.trains == "head":
            only_head(classifier.backbone, self.seed)
        algorithm.begin(classifier)
        return classifier

    def trainer(
        self,
        algorithm: AbstractAlgorithm[Any, Any],
        settings: TrainSettings,
        data: LabelledPatches | None = None,
        judged_on: PatchData | LabelledPatches | None = None,
        beside: Mapping[str, "Setup"] | None = None,
        kept: float = LAST,
    ) -> Trainer:
        """A training of a fresh classifier, or of the first model's.

        Args:
            algorithm: bound to `data`.
            settings: of this training.
            data: what is trained on; by default the whole training split.
            judged_on: what decides which state is kept; by default the validation split.
            beside: the same setup with other attributes of the validation patches, by each of which the best
                state is kept too.
            kept: what cross-validation found (`Judge`).
        """
        if algorithm.trains == "head":
            settings = settings.model_copy(update={"batch_norm": "frozen"})
        companions = {
            name: self.classifier(algorithm, self.seed + 1 + i) for i, name in enumerate(algorithm.companions)
        }
        return Trainer(
            self.classifier(algorithm),
            algorithm,
            self.train.labelled if data is None else data,
            self.judge(settings, judged_on, kept),
            settings,
            self.seed,
            companions=companions,
            beside={name: other.judge(settings, judged_on) for name, other in (beside or {}).items()},
            oracle=self._oracle(settings),
            listen=self.listen if data is None else None,
        )

    def run(self, trainer: Trainer, name: str, title: str) -> TrainResult:
        """Run it, going on where an interrupted one of this name and content stopped.

        Raises:
            DivergenceError, CheckpointError: as `Trainer.run`.
        """
        path = self.working_folder / f"{name}.safetensors" if self.working_folder else None
        return trainer.run(
            state_path=path, fingerprint=self._fingerprint(trainer), title=title, quiet=self.quiet
        )

    def _oracle(self, settings: TrainSettings) -> Judge | None:
        if self.oracle is None:
            return None
        return Judge(self.oracle, self.layout, "worst_group", settings.minimum_validation_patches, 1)

    def _fingerprint(self, trainer: Trainer) -> str:
        """Of everything a training depends on: only a state with the same one may be taken up again."""
        algorithm = trainer.algorithm
        content = {
            "settings": {k: v for k, v in trainer.settings.identity().items() if k not in CHANGES_NO_RESULT},
            "algorithm": [type(algorithm).__name__, algorithm.settings.model_dump(mode="json")],
            "normalization": asdict(trainer.classifier.normalization),
            "seed": trainer.seed,
            "torch": torch.__version__,
            "rows": len(trainer.data),
            "oracle": self.oracle is not None,
        }
        if trainer.judge.choice.by != "validation":
            content["kept"] = str(trainer.judge.kept)
        # Who is trained on, and what chooses the state, may differ between first models of one fit.
        columns: list[NDArray[Any]] = [trainer.data.label_N, trainer.judge.patches.label_N]
        if trainer.data.patient_N is not None:
            columns.append(trainer.data.patient_N)
        columns += self.columns
        if algorithm.first is not None:
            columns += [algorithm.first.logits_NK, algorithm.first.unseen_N]
        return digest_of(content, columns)

    @property
    def columns(self) -> list[NDArray[Any]]:
        """What is known of the patches of both splits, but for their patients."""
        splits = (self.train, self.validation)
        return [each for s in splits for each in (s.label_N, s.attribute_N, s.tissue_fraction_N)]


def digest_of(content: Any, columns: Iterable[NDArray[Any]]) -> str:
    """SHA-256 of JSON and of arrays."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for column in columns:
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def new_classifier(
    normalization: Normalization,
    settings: TrainSettings,
    channels: int,
    n_classes: int,
    seed: int,
    *,
    assembly: str | None = None,
) -> Classifier:
    """An untrained classifier; the same seed gives the same weights.

    Args:
        assembly: a backbone that is built around the configured one (`backbone_of`).

    Raises:
        ConfigError: an unknown backbone or setting.
        CheckpointError: starting weights that do not fit.
    """
    name, own = backbone_of(settings, assembly)
    with deterministic(torch.device("cpu")):
        torch.manual_seed(seed)
        backbone = make_backbone(name, channels, n_classes, own, settings.weights)
    return Classifier(backbone, normalization, test_time_symmetries=settings.test_time_symmetries)


def backbone_of(settings: TrainSettings, assembly: str | None) -> tuple[str, dict[str, Any]]:
    """Name and settings of the network that is trained, as the model card holds them."""
    if assembly is None:
        return settings.backbone, settings.backbone_settings
    return assembly, {"of": settings.backbone, "of_settings": settings.backbone_settings}
