"""Many trainings on the same patches that differ in settings alone: what `tune` and `sweep` are made of.

They are made of training and validation patches; test patches are read where a stage asks for them by name.
"""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models.data.dataset import PatchData
from models.data.splitting import TRAIN, VALIDATION
from models.groups import TrainGroups, TrainLabels
from models.metrics.selection import FIGURES, Choice, Judge
from models.training.attempts import FitResult
from models.training.fit import fit
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import AlgorithmError, ConfigError, DivergenceError, EmptyGroupError
from pipeline.config import Context, load_stage, validated
from pipeline.training.layout import NamedLayout, read_layout
from pipeline.training.patches import gathered, patch_table, store_attributes, table_fingerprints
from pipeline.training.settings import TrainStage

logger = logging.getLogger(__name__)

DECISIVE = ("torch", "monai", "numpy")
"""Packages whose versions tell one training from another."""


@dataclass(frozen=True)
class Attempt:
    """One training, or why there is none.

    Attributes:
        result: of `fit`; none if it failed.
        failure: why it failed, or empty.
        diverged: whether it failed because a loss or gradient was no longer finite.
        seconds: it took.
    """

    result: FitResult | None
    failure: str
    diverged: bool
    seconds: float


@dataclass(frozen=True)
class Bench:
    """The patches and settings that all attempts share.

    Attributes:
        cohort, threshold: whose patches.
        train, validation: the splits.
        layout: names of classes and attribute values.
        stage: settings of the train stage, with the epochs asked for.
        settings: the training's own part of them.
        data: SHA-256 of the tables, and what the patch stores say of themselves.
    """

    context: Context
    threshold: str
    train: PatchData
    validation: PatchData
    layout: NamedLayout
    stage: TrainStage
    settings: TrainSettings
    data: Mapping[str, Any]

    @cached_property
    def known(self) -> TrainGroups | TrainLabels:
        """What methods may know of the training split."""
        return self.groups if self.settings.attributes == "known" else self.groups.labels

    @cached_property
    def groups(self) -> TrainGroups:
        """The true groups of the training split, for figures."""
        return TrainGroups(self.layout.groups, self.train.label_N, self.train.attribute_N)

    @cached_property
    def rule(self) -> str:
        """The validation figure that the attributes' regime selects by, as `validation_wga`.

        Raises:
            ConfigError: a rule over groups where attributes are known nowhere.
        """
        own, grouped = self.settings, self.settings.attributes != "nowhere"
        patches = self.validation if grouped else self.validation.labelled
        judge = Judge(patches, self.layout.groups, own.selection, own.minimum_validation_patches, 1)
        return FIGURES[judge.rule]

    @cached_property
    def choice(self) -> Choice:
        """What chooses the state of every training."""
        return self._setup(self.settings, None).choice

    @property
    def validation_counts(self) -> dict[str, int]:
        """Validation patches of every group, by its name."""
        counts_KA = self.layout.groups.counts(self.validation.label_N, self.validation.attribute_N)
        return dict(zip(self.layout.names, counts_KA.ravel().tolist(), strict=True))

    def identity(self, **own: Any) -> str:
        """SHA-256 of the data, the training's settings and `own`: equal for what may be taken up again."""
        content = {
            "cohort": self.context.cohort,
            "threshold": self.threshold,
            "train": {key: value for key, value in self.stage.identity().items() if key != "decision"},
            "data": dict(self.data),
            "versions": {name: version(name) for name in DECISIVE},
            **own,
        }
        if self.choice.by != "validation":
            content["kept"] = self.choice.by
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def attempt(
        self,
        algorithm: str,
        algorithm_settings: Mapping[str, Any],
        working_folder: Path,
        *,
        seed: int | None = None,
        **changes: Any,
    ) -> Attempt:
        """Train once; what cannot work with these settings is told in the result.

        Args:
            algorithm: a name of the registry.
            algorithm_settings: its YAML; other candidates than the settings themselves are not tried.
            working_folder: of interrupted trainings. A first model of the same settings is found there too.
            seed: none: the train stage's.
            changes: of the training's settings.

        Raises:
            ConfigError: an unknown name or setting.
        """
        started = time.monotonic()
        result, failure, diverged = None, "", False
        try:
            # What was saved for other data or settings is not found there.
            own_folder = working_folder / self.identity()[:12]
            setup = self._setup(self.settings.model_copy(update=changes), own_folder, seed)
            result = fit(setup, algorithm, {**algorithm_settings, "candidates": ({},)})
        except DivergenceError as error:
            failure, diverged = error.in_one_line, True
        except (AlgorithmError, EmptyGroupError) as error:
            failure = error.in_one_line
        return Attempt(result, failure, diverged, round(time.monotonic() - started, 1))

    def _setup(self, settings: TrainSettings, working_folder: Path | None, seed: int | None = None) -> Setup:
        return Setup(
            self.train,
            self.validation,
            settings=settings,
            seed=self.stage.seed if seed is None else seed,
            layout=self.layout.groups,
            working_folder=working_folder,
            quiet=True,
        )


def load_bench(context: Context, threshold: str, epochs: float | None = None) -> Bench:
    """Read the tables and patches of a threshold.

    Args:
        context: of the cohort.
        threshold: of the attribute stage, or `given`.
        epochs: budget of every training in place of the train stage's.

    Raises:
        ArtifactError: an earlier stage's output is missing.
        ConfigError, StoreError: a wrong setting, or patches that do not fit together.
    """
    stage = load_stage(context.configs, context.cohort, "train", TrainStage)
    if stage.choose_by == "cross_validation":
        raise ConfigError(
            has="choose_by: cross_validation, and a search or sweep over many trainings",
            needs="trainings that are compared by the same validation patients, whatever their steps",
            do="set choose_by to auto, validation or last in the cohort's `train:` section while searching, "
            "or list the settings as `candidates` of the algorithm and run `evenpatch train`",
        )
    if epochs is not None:
        stage = validated(TrainStage, stage.model_dump() | {"epochs": epochs}, "epochs")
    paths = context.paths
    train, validation = (read_split(context, threshold, split, stage) for split in (TRAIN, VALIDATION))
    store = store_attributes(paths, patch_table(paths, threshold))
    bench = Bench(
        context=context,
        threshold=threshold,
        train=train,
        validation=validation,
        layout=read_layout(paths, threshold),
        stage=stage,
        settings=stage.training(paths),
        data={
            **table_fingerprints(paths, threshold),
            "patch": {"spec": dict(store.spec), "channels": list(store.channels), "dtype": store.dtype},
        },
    )
    if bench.choice.by == "last":
        logger.warning(
            "every training keeps its last step (%s); they are compared by validation figures all the same",
            bench.choice.why,
        )
    return bench


def read_split(context: Context, threshold: str, split: str, stage: TrainStage) -> PatchData:
    """The patches of one split, in memory up to the train stage's limit.

    Raises:
        ArtifactError, StoreError: as `load_bench`.
    """
    table = patch_table(context.paths, threshold)
    return gathered(context.paths, table[table["split"] == split], stage.memory_limit)
