"""What decides a training, and nothing else: by it a study knows a finished one again.

Only columns of the index that reach a training count, and only settings that are not at their defaults: a new
column or key leaves everything that was trained valid. A default that changes, or code that gives other
weights for the same settings, must raise RECIPE (tests/pipeline/study_defaults.json holds the defaults).
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from models.data.attributes import ThresholdRule
from models.training.settings import CHANGES_NO_RESULT
from patching.store.reading import PatchStore
from pipeline.artifacts import Paths
from pipeline.files import file_fingerprint
from pipeline.patch_tables import read_index
from pipeline.training.fixed import fixed_splits
from pipeline.training.settings import TrainStage
from pipeline.workspace import located

RECIPE = 1
"""Raised by whoever changes what a training of equal settings gives."""
_COLUMNS = ("patch_id", "slide_id", "patient_id", "x", "y", "extent", "label", "tissue_fraction")
_NO_WEIGHTS = (*CHANGES_NO_RESULT, "decision", "memory_limit_gib", "log_gradients", "log_gradients_every")


def digest(content: Any) -> str:
    """SHA-256 of JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def patches_identity(paths: Paths) -> str:
    """SHA-256 of the patches: which pixels of which slides, whose they are, their labels and tissue.

    The splits that slides.csv fixes count where it fixes some.

    Raises:
        ArtifactError, StoreError: the index or a store is missing.
    """
    index = read_index(paths)
    stores = [PatchStore.open(paths.store(slide_id)).attributes for slide_id in index["slide_id"].unique()]
    slides = [
        [store.slide_id, store.fingerprint, store.spec, list(store.channels), store.dtype] for store in stores
    ]
    # Six decimals: the last bits of a fraction differ between processors.
    rows = index[list(_COLUMNS)].to_csv(index=False, float_format="%.6f", lineterminator="\n")
    known = [slides, hashlib.sha256(rows.encode()).hexdigest()]
    fixed = fixed_splits(paths).to_dict() if paths.slides.is_file() else {}
    return digest([*known, fixed] if fixed else known)


def train_identity(stage: TrainStage, paths: Paths) -> dict[str, Any]:
    """Settings of the train stage that are not at their defaults and change weights.

    Of a file of starting weights it is what it holds that counts, besides its name.
    """
    own = stage.model_dump(mode="json", exclude_defaults=True, exclude=set(_NO_WEIGHTS))
    if stage.weights is None:
        return own
    file = located(stage.weights, paths.root)
    return own | {"weights_sha256": file_fingerprint([file]) if file.is_file() else "no file"}


def training_identity(
    stage: TrainStage, paths: Paths, algorithm: str, settings: Mapping[str, Any]
) -> dict[str, str]:
    """SHA-256 of the settings that a training is made with, by the names that a study gives them.

    Args:
        stage: settings of the train stage.
        paths: of the cohort.
        algorithm: its name.
        settings: of the algorithm, `candidates` included.
    """
    return {
        "recipe": digest(RECIPE),
        "train": digest(train_identity(stage, paths)),
        f"algorithms.{algorithm}": digest(settings),
    }


def rule_identity(rule: ThresholdRule) -> dict[str, Any]:
    """How a threshold is made."""
    return rule.model_dump(mode="json", exclude_defaults=True)
