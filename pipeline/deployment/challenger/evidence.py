"""What the rules judge by: candidate and champion, as the registry has them, on the test patients of now."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.data.splitting import TEST, VALIDATION
from patching.errors import ArtifactError, RegistryError
from pipeline.artifacts import SPLITS, Paths
from pipeline.config import Context
from pipeline.deployment.challenger.contenders import (
    Contender,
    challenger_at_hand,
    champion_at_hand,
    loaded,
    scored,
    scoring_of,
)
from pipeline.deployment.challenger.duel import Duel, claimed, duel_of
from pipeline.files import file_fingerprint, read_json, read_table
from pipeline.results.claims import StudyClaim, study_claim
from pipeline.tracking.probing import Probe, probe
from pipeline.tracking.registry import Registry, Version
from pipeline.tracking.served import patch_form
from pipeline.training.patches import gathered, patch_table, store_attributes

_PROBED = 32
"""Patches that the served model is asked for."""
_CLASSES = 2
_NOBODY = "no patient was kept apart from the candidate, so that there is nobody to compare it on"


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
        claim: where no patient was kept apart from the candidate, what the cohort's study says of it: the
            candidate's figures of `duel` are those then; else None.
    """

    candidate: Version
    champion: Version | None
    duel: Duel
    unscored: str
    seen: Mapping[str, str]
    validation_patients_K: tuple[int, ...]
    probe: Probe
    served_apart: float
    claim: StudyClaim | None = None


def gather_evidence(
    context: Context, registry: Registry, threshold: str, candidate: Version, champion: Version | None
) -> Evidence:
    """Score both on the present test patients, and try the candidate as it is served.

    Where the split has no test patients, the cohort's study stands for the candidate, nobody is compared with
    it, and it is asked for validation patches as it is served.

    Raises:
        ArtifactError, StoreError: patches or tables are missing.
        RegistryError: the candidate does not load, or is of other patches; or there are neither test patients
            nor a study of models trained alike.
    """
    table = patch_table(context.paths, threshold)
    tested = table[table["split"] == TEST].reset_index(drop=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if tested.empty:
            return _studied(context, registry, threshold, table, (candidate, champion), folder)
        return _on_test_patients(context, registry, threshold, table, (candidate, champion), folder)


def _studied(
    context: Context,
    registry: Registry,
    threshold: str,
    table: pd.DataFrame,
    versions: tuple[Version, Version | None],
    folder: Path,
) -> Evidence:
    """What the study says of the candidate, which is tried as it is served on validation patches."""
    (candidate, champion), paths = versions, context.paths
    chosen = table[table["split"] == VALIDATION].reset_index(drop=True)
    challenger = challenger_at_hand(
        registry, candidate, folder / "candidate", store_attributes(paths, chosen)
    )
    claim = _claim(context, registry, threshold, challenger, folder)
    asked = chosen.iloc[_probed(len(chosen))].reset_index(drop=True)
    scoring = scoring_of(context)
    images = gathered(paths, asked, int(scoring.memory_limit_gib * 2**30)).images
    tissue_N = asked["tissue_fraction"].to_numpy(np.float64)
    own = scored(challenger, images, tissue_N, scoring)
    served = probe(challenger.folder, images.read(np.arange(len(asked))), tissue_N)
    return Evidence(
        candidate=candidate,
        champion=champion,
        duel=claimed(claim),
        unscored="there is no champion yet" if champion is None else _NOBODY,
        seen={},
        validation_patients_K=_patients(chosen),
        probe=served,
        served_apart=_apart(served, own.probability_N),
        claim=claim,
    )


def _claim(
    context: Context, registry: Registry, threshold: str, contender: Contender, folder: Path
) -> StudyClaim:
    """What the study says of the candidate, whose training the registry recorded."""
    logged = registry.run_file(contender.version, "training/run.json", folder)
    try:
        if logged is None:
            raise ArtifactError(
                has="its run holds no run.json", needs="how it was trained", do="train and track again"
            )
        if contender.card.threshold != threshold:
            raise ArtifactError(
                has=f"a study tests it at its threshold, {contender.card.threshold}",
                needs=f"a model trained at {threshold}",
                do=f"give --threshold {contender.card.threshold}",
            )
        return study_claim(context, contender.card, read_json(logged, "track"))
    except ArtifactError as error:
        raise RegistryError(
            has=f"{contender.version.told}, from which no patient was kept apart: {error.has}",
            needs=error.needs,
            do=error.do,
        ) from error


def _on_test_patients(
    context: Context,
    registry: Registry,
    threshold: str,
    table: pd.DataFrame,
    versions: tuple[Version, Version | None],
    folder: Path,
) -> Evidence:
    (candidate, champion), paths = versions, context.paths
    tested = table[table["split"] == TEST].reset_index(drop=True)
    challenger = challenger_at_hand(
        registry, candidate, folder / "candidate", store_attributes(paths, tested)
    )
    holder, unscored = champion_at_hand(registry, champion, folder / "champion", challenger.card)
    scoring = scoring_of(context)
    images = gathered(paths, tested, int(scoring.memory_limit_gib * 2**30)).images
    tissue_N = tested["tissue_fraction"].to_numpy(np.float64)
    own = scored(challenger, images, tissue_N, scoring)
    asked = _probed(len(images))
    served = probe(challenger.folder, images.read(asked), tissue_N[asked])
    seen = {"candidate": _seen(paths, registry, challenger, tested, folder)}
    if holder is not None:
        seen["champion"] = _seen(paths, registry, holder, tested, folder)
    other = None if holder is None else scored(holder, images, tissue_N, scoring)
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
        found = loaded(registry, version, folder / "version")
    except RegistryError as error:
        return error.has
    shape, dtype = patch_form(found.card)
    return probe(found.folder, np.zeros((1, *shape), dtype), np.zeros(1)).trouble


def _probed(patches: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, patches - 1, min(_PROBED, patches)).astype(np.int64))


def _apart(served: Probe, judged_N: NDArray[np.float64]) -> float:
    if served.failure:
        return float("nan")
    return float(np.abs(np.array(served.probability) - judged_N[_probed(len(judged_N))]).max())


def _seen(paths: Paths, registry: Registry, contender: Contender, tested: pd.DataFrame, folder: Path) -> str:
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
