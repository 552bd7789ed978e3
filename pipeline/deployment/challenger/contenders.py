"""A version of the registry at hand: downloaded, loaded, and scored by its own decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from models.data.dataset import AbstractPatches
from models.determinism import deterministic
from models.networks.card import ModelCard
from models.networks.checkpoint import load_classifier
from models.networks.classifier import Classifier, Device, choose_device
from models.networks.decision import needs_tissue, verdicts
from patching.errors import CheckpointError, RegistryError
from patching.store.reading import StoreAttributes
from pipeline.config import Context, Settings, stage_mapping, validated
from pipeline.deployment.challenger.duel import Answers
from pipeline.tracking.registry import Registry, Version

_CLASSES = 2


class Scoring(Settings):
    """How patches are scored: keys of configs/evaluate.yaml."""

    device: Device
    memory_limit_gib: PositiveFloat


@dataclass(frozen=True)
class Contender:
    """A version at hand: its folder, network and card."""

    version: Version
    folder: Path
    classifier: Classifier
    card: ModelCard


def challenger_at_hand(
    registry: Registry, version: Version, folder: Path, present: StoreAttributes
) -> Contender:
    found = loaded(registry, version, folder)
    other = _difference(found.card, present.channels, present.spec, present.dtype, present.tissue)
    if other:
        raise RegistryError(
            has=f"{version.told} for {other}",
            needs="a model of the present patches",
            do="tile the cohort as for its training, or train, evaluate and track again",
        )
    return found


def champion_at_hand(
    registry: Registry, version: Version | None, folder: Path, wanted: ModelCard
) -> tuple[Contender | None, str]:
    """The champion at hand, or why it cannot be scored on the candidate's patches."""
    if version is None:
        return None, "there is no champion yet"
    try:
        found = loaded(registry, version, folder)
    except RegistryError as error:
        return None, f"the champion, {version.told}, does not load: {error.has}"
    tissue = None if wanted.tissue is None else wanted.tissue.settings
    other = _difference(found.card, wanted.channels, wanted.patch, wanted.dtype, tissue)
    return (None, f"the champion, {version.told}, is for {other}") if other else (found, "")


def loaded(registry: Registry, version: Version, folder: Path) -> Contender:
    folder.mkdir()
    files = registry.download(version, folder)
    try:
        classifier, card = load_classifier(files / "artifacts")
    except CheckpointError as error:
        raise RegistryError(
            has=f"{version.told}, which does not load: {error.has}",
            needs=error.needs,
            do="track the training again, or let the alias be",
        ) from error
    return Contender(version, files, classifier, card)


def _difference(
    card: ModelCard,
    channels: tuple[str, ...],
    spec: Mapping[str, object],
    dtype: str,
    tissue: Mapping[str, object] | None,
) -> str:
    """What a model takes that these patches are not; empty where they fit.

    How tissue is found is asked only of a model that decides by it: any other judges the pixels alone.
    """
    pairs = [
        ("channels", ", ".join(card.channels), ", ".join(channels)),
        ("patches", _spec_told(card.patch), _spec_told(spec)),
        ("dtype", card.dtype, dtype),
        ("classes", str(len(card.classes)), str(_CLASSES)),
    ]
    if needs_tissue(card.decision):
        unknown = {"method": "unknown"}
        own = unknown if card.tissue is None else card.tissue.settings
        pairs.append(("tissue fractions by", _spec_told(own), _spec_told(tissue or unknown)))
    return "; ".join(f"{name} {own} and not {other}" for name, own, other in pairs if own != other)


def _spec_told(spec: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(spec.items()) if value is not None)


def scoring_of(context: Context) -> Scoring:
    content = stage_mapping(context.configs, context.cohort, "evaluate")
    known = {name: content[name] for name in Scoring.model_fields if name in content}
    return validated(Scoring, known, str(context.configs / "evaluate.yaml"))


def scored(
    contender: Contender, images: AbstractPatches, tissue_fraction_N: NDArray[np.float64], scoring: Scoring
) -> Answers:
    """P(tumor) of every patch and the class, both by the decision of the model's card."""
    device = choose_device(scoring.device)
    with deterministic(device):
        probability_NK = contender.classifier.to(device).predict_patches(images)
    return Answers(*verdicts(contender.card.decision, probability_NK, tissue_fraction_N))
