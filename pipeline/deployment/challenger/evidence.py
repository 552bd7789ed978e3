"""What the rules judge by: candidate and champion, as the registry has them, on the test patients of now."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import PositiveFloat

from models.data.dataset import AbstractPatches
from models.data.splitting import TEST, VALIDATION
from models.determinism import deterministic
from models.networks.card import ModelCard
from models.networks.checkpoint import load_classifier
from models.networks.classifier import Classifier, Device, choose_device
from models.networks.decision import needs_tissue, verdicts
from patching.errors import CheckpointError, RegistryError
from patching.store.reading import StoreAttributes
from pipeline.artifacts import SPLITS, Paths
from pipeline.config import Context, Settings, stage_mapping, validated
from pipeline.deployment.challenger.duel import Answers, Duel, duel_of
from pipeline.files import file_fingerprint, read_table
from pipeline.tracking.probing import Probe, probe
from pipeline.tracking.registry import Registry, Version
from pipeline.tracking.served import patch_form
from pipeline.training.patches import gathered, patch_table, store_attributes

_PROBED = 32
"""Patches that the served model is asked for."""
_CLASSES = 2


class Scoring(Settings):
    """How patches are scored: keys of configs/evaluate.yaml."""

    device: Device
    memory_limit_gib: PositiveFloat


@dataclass(frozen=True)
class Evidence:
    """Everything that was measured, and what could not be.

    Attributes:
        candidate, champion: versions of the registry; no champion where the alias points nowhere.
        duel: figures on the test patches; the champion's only where it could be scored.
        unscored: why there is no comparison, in words; empty where there is one.
        seen: by `candidate` and `champion`, why test patients may not be new to it; empty where they are.
        validation_patients_K: validation patients with patches of each class.
        probe: the candidate as it is served.
        served_apart: largest difference of a served probability from the judged one; NaN without an answer.
    """

    candidate: Version
    champion: Version | None
    duel: Duel
    unscored: str
    seen: Mapping[str, str]
    validation_patients_K: tuple[int, ...]
    probe: Probe
    served_apart: float


@dataclass(frozen=True)
class _Contender:
    """A version at hand: its folder, network and card."""

    version: Version
    folder: Path
    classifier: Classifier
    card: ModelCard


def gather_evidence(
    context: Context, registry: Registry, threshold: str, candidate: Version, champion: Version | None
) -> Evidence:
    """Score both on the present test patients, and try the candidate as it is served.

    Raises:
        ArtifactError, StoreError: patches or tables are missing.
        RegistryError: the candidate does not load, or is of other patches.
    """
    paths = context.paths
    table = patch_table(paths, threshold)
    tested = table[table["split"] == TEST].reset_index(drop=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        challenger = _challenger(registry, candidate, folder / "candidate", store_attributes(paths, tested))
        holder, unscored = _holder(registry, champion, folder / "champion", challenger.card)
        scoring = _scoring(context)
        images = gathered(paths, tested, int(scoring.memory_limit_gib * 2**30)).images
        tissue_N = tested["tissue_fraction"].to_numpy(np.float64)
        own = _scored(challenger, images, tissue_N, scoring)
        asked = _probed(len(images))
        served = probe(challenger.folder, images.read(asked), tissue_N[asked])
        seen = {"candidate": _seen(paths, registry, challenger, tested, folder)}
        if holder is not None:
            seen["champion"] = _seen(paths, registry, holder, tested, folder)
        other = None if holder is None else _scored(holder, images, tissue_N, scoring)
    return Evidence(
        candidate=candidate,
        champion=champion,
        duel=duel_of(context, threshold, tested, own, other),
        unscored=unscored,
        seen=seen,
        validation_patients_K=_patients(table[table["split"] == VALIDATION]),
        probe=served,
        served_apart=_apart(served, own.probability_N),
    )


def answers(registry: Registry, version: Version, folder: Path) -> str:
    """Why a version cannot be served, in words; empty where it loads and answers its own example."""
    try:
        found = _loaded(registry, version, folder / "version")
    except RegistryError as error:
        return error.has
    shape, dtype = patch_form(found.card)
    return probe(found.folder, np.zeros((1, *shape), dtype), np.zeros(1)).trouble


def _challenger(registry: Registry, version: Version, folder: Path, present: StoreAttributes) -> _Contender:
    found = _loaded(registry, version, folder)
    other = _difference(found.card, present.channels, present.spec, present.dtype, present.tissue)
    if other:
        raise RegistryError(
            has=f"{version.told} for {other}",
            needs="a model of the present patches",
            do="tile the cohort as for its training, or train, evaluate and track again",
        )
    return found


def _holder(
    registry: Registry, version: Version | None, folder: Path, wanted: ModelCard
) -> tuple[_Contender | None, str]:
    """The champion at hand, or why it cannot be scored on the candidate's patches."""
    if version is None:
        return None, "there is no champion yet"
    try:
        found = _loaded(registry, version, folder)
    except RegistryError as error:
        return None, f"the champion, {version.told}, does not load: {error.has}"
    tissue = None if wanted.tissue is None else wanted.tissue.settings
    other = _difference(found.card, wanted.channels, wanted.patch, wanted.dtype, tissue)
    return (None, f"the champion, {version.told}, is for {other}") if other else (found, "")


def _loaded(registry: Registry, version: Version, folder: Path) -> _Contender:
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
    return _Contender(version, files, classifier, card)


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


def _scoring(context: Context) -> Scoring:
    content = stage_mapping(context.configs, context.cohort, "evaluate")
    known = {name: content[name] for name in Scoring.model_fields if name in content}
    return validated(Scoring, known, str(context.configs / "evaluate.yaml"))


def _scored(
    contender: _Contender, images: AbstractPatches, tissue_fraction_N: NDArray[np.float64], scoring: Scoring
) -> Answers:
    """P(tumor) of every patch and the class, both by the decision of the model's card."""
    device = choose_device(scoring.device)
    with deterministic(device):
        probability_NK = contender.classifier.to(device).predict_patches(images)
    return Answers(*verdicts(contender.card.decision, probability_NK, tissue_fraction_N))


def _probed(patches: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, patches - 1, min(_PROBED, patches)).astype(np.int64))


def _apart(served: Probe, judged_N: NDArray[np.float64]) -> float:
    if served.failure:
        return float("nan")
    return float(np.abs(np.array(served.probability) - judged_N[_probed(len(judged_N))]).max())


def _seen(paths: Paths, registry: Registry, contender: _Contender, tested: pd.DataFrame, folder: Path) -> str:
    """Why the test patients of now may not be new to a model; empty where they are.

    The splits that it was trained with are the present ones, or were logged with its run.
    """
    used = contender.card.fingerprints.get(paths.splits.name)
    if used == file_fingerprint([paths.splits]):
        return ""
    if used is None:
        return "its card does not say which patients it was trained on"
    logged = registry.run_file(contender.version, f"data/{paths.splits.name}", folder)
    if logged is None or file_fingerprint([logged]) != used:
        return (
            "the split of patients changed since its training, and the one it was trained with is not at hand"
        )
    then = read_table(logged, SPLITS, "split")
    known = set(then["patient_id"][then["split"] != TEST])
    now = sorted(set(tested["patient_id"].astype(str)))
    again = [patient for patient in now if patient in known]
    return f"{len(again)} of {len(now)} test patients were in its training or validation" if again else ""


def _patients(table: pd.DataFrame) -> tuple[int, ...]:
    return tuple(int(table["patient_id"][table["label"] == label].nunique()) for label in range(_CLASSES))
