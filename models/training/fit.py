"""From patches to a classifier: every candidate of an algorithm on equal terms, chosen by validation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.networks.patch_sizes import check_patch_size
from models.training.attempts import Announce, Attempts, FitResult
from models.training.cross_validation import cross_validated
from models.training.making import algorithm_type, sees_attributes
from models.training.setup import Setup, backbone_of
from patching.errors import AlgorithmError, ConfigError


def fit(
    setup: Setup,
    algorithm: str,
    algorithm_settings: Mapping[str, Any],
    announce: Announce | None = None,
) -> FitResult:
    """Train every candidate of `algorithm` with the same budget and seed; keep the best on validation.

    `TrainSettings.choose_by` has other ways of choosing; `FitResult.choice` tells which it was.

    Args:
        setup: what is trained on, and how.
        algorithm: a key of models.algorithms.registry.ALGORITHMS.
        algorithm_settings: its YAML, `candidates` included.
        announce: called with a candidate's override and composition before it is trained.

    Raises:
        ConfigError: an unknown name or setting, or patches of a size that the backbone does not take.
        EmptyGroupError, AlgorithmError: the algorithm cannot run on these groups, with any candidate.
        DivergenceError: every candidate failed, and not all for that reason.
    """
    _check_patches(setup, algorithm)
    if setup.settings.choose_by == "cross_validation":
        return cross_validated(setup, algorithm, algorithm_settings, announce)
    return Attempts({"": setup}, algorithm, algorithm_settings, announce).run()[""]


def fit_each(
    setup: Setup,
    algorithm: str,
    algorithm_settings: Mapping[str, Any],
    validation_attributes: Mapping[str, NDArray[np.int64]],
) -> dict[str, FitResult]:
    """What `fit` gives for each of several attributes of the same patches, of one training of each candidate.

    A method that sees no attribute trains the same for all of them, and only which state and which candidate
    are kept depends on them. For each, that is kept: one more copy of the weights in memory. A first model
    too is trained once; where the attributes keep different states of it, a second training follows on each.

    Args:
        setup: without a working folder: an interrupted training starts anew. The attributes of its training
            split and of its oracle are for the tables `composition` and `oracle` alone.
        algorithm: one that sees no attribute (`models.training.making.sees_attributes`).
        algorithm_settings: its YAML, `candidates` included.
        validation_attributes: attribute of every validation patch, by a name for each result.

    Raises:
        ConfigError: no attributes, a working folder, or as `fit`.
        GroupError: attributes of another number of patches.
        AlgorithmError: the method sees attributes, or cross-validation does: each is another training.
        EmptyGroupError, DivergenceError: as `fit`, where it is so for any of the attributes.
    """
    if not validation_attributes or setup.working_folder is not None:
        raise ConfigError(
            has=f"{len(validation_attributes)} sets of validation attributes, working folder "
            f"{setup.working_folder}",
            needs="at least one set, and no working folder: best states beside the first are not saved",
            do="name the attributes, and leave the working folder out or call `fit` for each",
        )
    inner = setup.settings.choose_by == "cross_validation"
    if inner or sees_attributes(algorithm, algorithm_settings):
        by = "is chosen by" if inner else "is given"
        raise AlgorithmError(
            has=f"algorithm {algorithm}, which {by} the training samples' attributes",
            needs="one that sees none, so that its training is the same whatever they are",
            do="call `fit` for each",
        )
    _check_patches(setup, algorithm)
    views = {
        name: replace(setup, validation=replace(setup.validation, attribute_N=attribute_N))
        for name, attribute_N in validation_attributes.items()
    }
    found: dict[str, FitResult] = {}
    # The attributes may differ in whether every label has a group of patients enough.
    for by in ("validation", "last"):
        alike = {name: view for name, view in views.items() if view.choice.by == by}
        found |= Attempts(alike, algorithm, algorithm_settings).run() if alike else {}
    return {name: found[name] for name in views}


def _check_patches(setup: Setup, algorithm: str) -> None:
    """Before the first pass over the patches: a network that cannot take them trains for nothing."""
    backbone, own = backbone_of(setup.settings, algorithm_type(algorithm).assembly)
    _, height, width, channels = setup.train.images.shape_NHWC
    check_patch_size(backbone, own, height, width, channels, setup.layout.n_classes)
