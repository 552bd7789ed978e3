"""What a run is, and which runs are of the present configuration and data."""

import logging
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.networks.card import DecisionCard
from patching.errors import ArtifactError
from pipeline.artifacts import Paths, name_parts, run_name
from pipeline.config import Context, load_algorithm, load_cohort, load_stage
from pipeline.defaults import files_of
from pipeline.files import read_json, read_table
from pipeline.patch_tables import read_index, read_splits
from pipeline.training.identity import RECIPE, digest, patches_identity, rule_identity, train_identity
from pipeline.training.layout import GIVEN
from pipeline.training.patches import table_fingerprints
from pipeline.training.settings import TrainStage
from pipeline.training.thresholds import AttributeSettings
from pipeline.yaml_file import load_yaml

logger = logging.getLogger(__name__)


def identity(name: str, record: Mapping[str, Any]) -> tuple[str, str]:
    """Algorithm and threshold of a run: as run.json says, else from its name `<algorithm>-<threshold>`.

    A seed in the name, as in `<algorithm>-<threshold>-s2`, is no part of them.
    """
    algorithm, threshold, _ = name_parts(name)
    return str(record.get("algorithm", algorithm)), str(record.get("threshold", threshold))


def run_record(evaluation: Path) -> dict[str, Any]:
    """run.json of the training beside an evaluation's folder; empty where predictions came without one."""
    path = evaluation.resolve().parent.parent / "train" / evaluation.name / "run.json"
    return read_json(path, "train") if path.is_file() else {}


def run_decision(evaluation: Path) -> DecisionCard | None:
    """The decision of the model beside an evaluation's folder, where it is another than the plain one."""
    path = evaluation.resolve().parent.parent / "train" / evaluation.name / "model.json"
    content = read_json(path, "train").get("decision", {}) if path.is_file() else {}
    if content.get("version", 1) == 1:
        # The plain one: there was no other.
        return None
    try:
        decision = DecisionCard.model_validate(content)
    except ValidationError as error:
        raise ArtifactError(
            has=f"{path} with a decision that cannot be read: {error.errors()[0]['msg']}",
            needs="a model of this version",
            do="train again",
        ) from error
    return None if decision.rule == "plain" and decision.threshold == 0.5 else decision


def listed_runs(context: Context) -> tuple[str, ...]:
    """Names of the present runs, in alphabetical order: trained, evaluated, and no left-overs.

    A left-over is a run that configs/params.yaml does not list (any more), or a stale one. Runs of other
    seeds (`gerne-low-s2`) are no runs of their own here; `seed_runs` finds them.

    Raises:
        ArtifactError: there is none.
    """
    paths = context.paths
    found = [name for name in _evaluated(paths) if name_parts(name)[2] is None]
    wanted = _wanted(context) if found else set()
    reasons = {
        name: _left_over(paths, name) if name in wanted else "configs/params.yaml does not list it"
        for name in found
    }
    kept = without_left_out(reasons)
    if not kept:
        if found:
            # What is damaged is no other version.
            read_index(paths, ("patch_id",))
            read_splits(paths)
        told = "".join(f"; {name}: {reason}" for name, reason in reasons.items())
        raise ArtifactError(
            has=f"no evaluated training of the present data under {paths.evaluation('any').parent}{told}",
            needs="at least one, with metrics.json and predictions.parquet",
            do="run `evenpatch train` and `evenpatch evaluate`, or `dvc repro`",
        )
    return kept


def seed_runs(context: Context, names: Iterable[str]) -> tuple[str, ...]:
    """Present runs of other seeds of these runs, as `gerne-low-s2` of `gerne-low`, without stale ones."""
    known, paths = set(names), context.paths
    parts = {name: name_parts(name) for name in _evaluated(paths)}
    seeds = [name for name, part in parts.items() if part[2] is not None and run_name(*part[:2]) in known]
    return without_left_out({name: _left_over(paths, name) for name in seeds})


def stale(paths: Paths, name: str) -> str:
    """Why a run is not of the present data, so that its test patients may be training patients now.

    Empty where it is, or where nothing says what it was trained on.
    """
    record = run_record(paths.evaluation(name))
    used = record.get("fingerprints", {})
    present = table_fingerprints(paths, identity(name, record)[1])
    changed = [file for file, digest in used.items() if present.get(file) != digest]
    return f"{', '.join(changed)} changed since it was trained" if changed else ""


def _left_over(paths: Paths, name: str) -> str:
    """As `stale`; what does not say what it was trained on is a left-over too."""
    said = "fingerprints" in run_record(paths.evaluation(name))
    return stale(paths, name) if said else "its run.json does not say what it was trained on"


def study_left_out(context: Context) -> str:
    """Why there is no study of the present patches and settings; empty where there is one."""
    files = [context.paths.study / name for name in ("predictions.parquet", "study.json")]
    if not all(path.is_file() for path in files):
        return "there is no finished study"
    return _stale_study(context)


def present_study(context: Context) -> bool:
    """Whether there is a finished study of the present patches and settings; logs why one does not count."""
    files = [context.paths.study / name for name in ("predictions.parquet", "study.json")]
    finished = all(path.is_file() for path in files)
    return finished and bool(without_left_out({"the study": _stale_study(context)}))


def _stale_study(context: Context) -> str:
    paths = context.paths
    used = read_json(paths.study / "study.json", "study").get("fingerprints")
    if used is None:
        # Predictions of other origin, with a record that holds no more than their trials: the patches tell.
        tested = read_table(paths.study / "predictions.parquet", ("patch_id",), "study")
        strange = set(tested["patch_id"]) ^ set(read_index(paths, ("patch_id",))["patch_id"])
        return f"{len(strange)} patches are only in it or only in the present index" if strange else ""
    if "patches" not in used:
        return "it is of an earlier version; run `evenpatch study` again"
    kinds: dict[str, list[str]] = {}
    for name in used:
        kind, _, own = name.partition(".")
        kinds.setdefault(kind, []).append(own)
    present = study_fingerprints(context, kinds.get("algorithms", ()), kinds.get("thresholds", ()))
    changed = [name for name, digest in used.items() if present.get(name) != digest]
    return f"{', '.join(changed)} changed since; run `evenpatch study` again" if changed else ""


def study_fingerprints(
    context: Context, algorithms: Iterable[str], thresholds: Iterable[str]
) -> dict[str, str]:
    """SHA-256 of the patches, and of settings and recipe that a study's trainings are made with, by name.

    Settings of an algorithm or threshold that is gone count as changed.
    """
    configs, cohort = context.configs, context.cohort
    train = load_stage(configs, cohort, "train", TrainStage)
    rules = load_stage(configs, cohort, "attribute", AttributeSettings).thresholds
    settings: dict[str, Any] = {"recipe": RECIPE, "train": train_identity(train, context.paths)}
    for name in algorithms:
        known = files_of(configs, f"algorithms/{name}")
        settings[f"algorithms.{name}"] = load_algorithm(configs, cohort, name) if known else {}
    for name in thresholds:
        settings[f"thresholds.{name}"] = rule_identity(rules[name]) if name in rules else {}
    found = {name: digest(content) for name, content in settings.items()}
    return {"patches": patches_identity(context.paths), **found}


def without_left_out(reasons: Mapping[str, str]) -> tuple[str, ...]:
    """The names without a reason against them; the others are logged with it."""
    for name, reason in reasons.items():
        if reason:
            logger.warning("%s is left out: %s", name, reason)
    return tuple(name for name, reason in reasons.items() if not reason)


def made_by(cohort: str, name: str) -> tuple[str, str]:
    """The commands that train and evaluate a run.

    >>> made_by("idc", "erm-low-s2")[1]
    'evenpatch evaluate --cohort idc --algorithm erm --threshold low --seed 2'
    """
    algorithm, threshold, seed = name_parts(name)
    told = {"cohort": cohort, "algorithm": algorithm, "threshold": threshold, "seed": seed}
    options = " ".join(
        f"--{option} {shlex.quote(str(value))}" for option, value in told.items() if value is not None
    )
    return f"evenpatch train {options}", f"evenpatch evaluate {options}"


def tuning_trials(folder: Path, settings: Mapping[str, Any]) -> int:
    """How many trials of `evenpatch tune` these settings are the best of; 0 where they are not.

    Such a search chose from validation patients, too.

    Args:
        folder: of the search (artifacts.Paths.trials).
        settings: of the algorithm.

    Raises:
        ArtifactError: tune.json is damaged.
    """
    path = folder / "tune.json"
    if not path.is_file():
        return 0
    content = read_json(path, "tune")
    best = content["best"]["settings"]
    if any(key not in settings or settings[key] != value for key, value in best.items()):
        return 0
    return int(content["n_trials"]) + int(content["n_earlier"])


def _evaluated(paths: Paths) -> list[str]:
    folders = (path.parent for path in sorted(paths.evaluation("any").parent.glob("*/metrics.json")))
    return [folder.name for folder in folders if (paths.training(folder.name) / "run.json").is_file()]


def _wanted(context: Context) -> set[str]:
    """Names of the runs that configs/params.yaml lists."""
    listed = load_yaml(context.configs / "params.yaml")
    imported = load_cohort(context.configs, context.cohort).benchmark is not None
    thresholds = (GIVEN,) if imported else listed.get("thresholds", ())
    return {run_name(algorithm, t) for algorithm in listed.get("algorithms", ()) for t in thresholds}
